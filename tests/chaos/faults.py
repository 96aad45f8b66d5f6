"""The catalogue of faults. Each begins, acts at random instants, and ends without a trace of its own."""

from __future__ import annotations

import json
import signal
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import yaml
from controller_process import NAMESPACE as SYSTEM

from chaos.arena import CRDS, NAMESPACE, Arena
from chaos.fault_proxy import KillPoint, Weather
from chaos.fleet import LEASE, LEASE_SECONDS
from chaos.webhook import Mode

_HOUR = 3600.0
_WEBHOOKS = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations"
_QUOTAS = f"/api/v1/namespaces/{NAMESPACE}/resourcequotas"
_CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
_LEASE = f"/apis/coordination.k8s.io/v1/namespaces/{SYSTEM}/leases/{LEASE}"


class Fault:
    """One kind. `acts_once`: a second time in the same round would only cost time."""

    acts_once: ClassVar[bool] = False

    def __init__(self, arena: Arena) -> None:
        self.arena = arena
        self.random = arena.random

    def begin(self) -> None: ...

    def act(self) -> None: ...

    def end(self) -> None: ...


class Killed(Fault):
    """kill -9 of the leader as it sends its nth write: before the server has it, or before the answer is back."""

    def act(self) -> None:
        point = KillPoint(self.random.randint(1, 6), self.random.random() < 0.5)
        self.arena.fleet.leader().route.kill_point = point

    def end(self) -> None:
        for replica in self.arena.fleet.replicas:
            replica.route.kill_point = None


class KilledAnytime(Fault):
    """kill -9 of the leader at any instant."""

    def act(self) -> None:
        self.arena.fleet.leader().send(signal.SIGKILL)


class Stopped(Fault):
    """SIGTERM: a planned hand-over."""

    acts_once = True

    def act(self) -> None:
        self.arena.fleet.leader().send(signal.SIGTERM)


class FrozenLeader(Fault):
    """SIGSTOP past the lease, and on."""

    acts_once = True

    def act(self) -> None:
        leader = self.arena.fleet.leader()
        leader.send(signal.SIGSTOP)
        self.arena.sleep(LEASE_SECONDS + self.random.uniform(0.3, 2.5))
        leader.send(signal.SIGCONT)


class LostLease(Fault):
    """Somebody else's name in the Lease."""

    acts_once = True

    def act(self) -> None:
        self.arena.patch(_LEASE, {"spec": {"holderIdentity": "stranger"}})


@dataclass(frozen=True)
class Proxied:
    """A fault of the way to the server: a share of all requests meets one of these kinds."""

    share: float
    kinds: tuple[str, ...]

    def __call__(self, arena: Arena) -> Fault:
        weather = Weather(self.share, self.kinds)

        class OnTheWay(Fault):
            def begin(self) -> None:
                arena.proxy.weather = weather

            def act(self) -> None:
                if "410" in weather.kinds:
                    arena.proxy.cut_watches()

        return OnTheWay(arena)


class Tokens(Fault):
    """The tokens of both expire; their files have new ones a moment later."""

    acts_once = True

    def act(self) -> None:
        old = {replica.token for replica in self.arena.fleet.replicas}
        self.arena.proxy.refused_tokens = old
        self.arena.sleep(self.random.uniform(0, 1))
        for replica in self.arena.fleet.replicas:
            self.arena.insist(replica.renew_token)


class Clocks(Fault):
    """The clock of each controller steps by an hour, to and fro."""

    def act(self) -> None:
        for replica in self.arena.fleet.replicas:
            replica.set_clock(self.random.choice((-_HOUR, 0.0, _HOUR)))

    def end(self) -> None:
        for replica in self.arena.fleet.replicas:
            replica.set_clock(0.0)


class ServerKilled(Fault):
    """kill -9 of kube-apiserver, which is started again."""

    acts_once = True

    def act(self) -> None:
        self.arena.control_plane.kill("kube-apiserver")


class ServerFrozen(Fault):
    """kube-apiserver stands still for longer than a leader may go on without having renewed."""

    acts_once = True

    def act(self) -> None:
        self.arena.control_plane.pause("kube-apiserver")
        self.arena.sleep(self.random.uniform(1.5, 4.0))
        self.arena.control_plane.resume("kube-apiserver")


class Compacted(Fault):
    """etcd forgets its history, and kube-apiserver its watch cache: no watch can go on where it was."""

    acts_once = True

    def act(self) -> None:
        revision = self._etcd("/v3/maintenance/status", {})["header"]["revision"]
        self._etcd("/v3/kv/compaction", {"revision": revision, "physical": True})
        self.arena.control_plane.kill("kube-apiserver")

    def _etcd(self, path: str, body: Mapping[str, Any]) -> Any:
        pid = self.arena.control_plane.state.pid_by_component["etcd"]
        arguments = Path(f"/proc/{pid}/cmdline").read_text().split("\0")
        url = next(one for one in arguments if one.startswith("--listen-client-urls=")).partition("=")[2]
        request = urllib.request.Request(url + path, json.dumps(body).encode(), {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.loads(answer.read())


@dataclass(frozen=True)
class Admission:
    """A webhook that every new pod of the namespace passes."""

    mode: Mode

    def __call__(self, arena: Arena) -> Fault:
        mode = self.mode

        class OfWebhook(Fault):
            def begin(self) -> None:
                arena.webhook.mode = mode
                arena.create(_WEBHOOKS, arena.webhook.configuration("chaos", NAMESPACE))

            def end(self) -> None:
                arena.delete(f"{_WEBHOOKS}/chaos")

        return OfWebhook(arena)


class Quotas(Fault):
    """A quota that leaves little or no room comes and goes."""

    def begin(self) -> None:
        self._is_there = False

    def act(self) -> None:
        if self._is_there:
            self.end()
        else:
            body = {"metadata": {"name": "chaos"}, "spec": {"hard": {"pods": str(self.random.randint(0, 8))}}}
            self.arena.create(_QUOTAS, body)
        self._is_there = not self._is_there

    def end(self) -> None:
        self.arena.delete(f"{_QUOTAS}/chaos")


class DefinitionReplaced(Fault):
    """The CRD is replaced by one with another column, and back: the server ends its watches each time."""

    def begin(self) -> None:
        [file] = CRDS.glob("*.yaml")
        self._original = yaml.load(file.read_text(), Loader=yaml.CSafeLoader)
        self._columns = self._original["spec"]["versions"][0]["additionalPrinterColumns"]
        self._is_changed = False

    def act(self) -> None:
        column = {"name": "Chaos", "type": "string", "jsonPath": ".metadata.uid"}
        self._is_changed = not self._is_changed
        self._use([*self._columns, column] if self._is_changed else self._columns)

    def end(self) -> None:
        self._use(self._columns)

    def _use(self, columns: list[Any]) -> None:
        path = f"{_CRDS}/{self._original['metadata']['name']}"
        operation = {"op": "replace", "path": "/spec/versions/0/additionalPrinterColumns", "value": columns}
        self.arena.request("PATCH", path, [operation], "application/json-patch+json")


FAULTS: Mapping[str, Callable[[Arena], Fault]] = {
    "killed": Killed,
    "killed-anytime": KilledAnytime,
    "stopped": Stopped,
    "frozen-leader": FrozenLeader,
    "lost-lease": LostLease,
    "errors": Proxied(0.3, ("409", "429", "500", "503")),
    "html": Proxied(0.2, ("html",)),
    "broken-connections": Proxied(0.25, ("reset", "lost-answer")),
    "hung-requests": Proxied(0.15, ("hang", "late", "late")),
    "watches": Proxied(0.5, ("410", "twice", "twice")),
    "tokens": Tokens,
    "clocks": Clocks,
    "server-killed": ServerKilled,
    "server-frozen": ServerFrozen,
    "compacted": Compacted,
    "webhook-refuses": Admission("refuses"),
    "webhook-hangs": Admission("hangs"),
    "webhook-mutates": Admission("mutates"),
    "quotas": Quotas,
    "definition-replaced": DefinitionReplaced,
}
