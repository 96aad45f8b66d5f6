"""The process that owns a control plane's components.

It starts them, starts again one that dies, and kills all of them when it is told to stop (SIGTERM), when its owner's
end of its standard input closes, because the owner ended or died, or when it dies itself (on Linux, by the kernel).
A clean stop removes the cluster's folder.
"""

from __future__ import annotations

import http.client
import os
import secrets
import selectors
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import Any

from controlplane import components, credentials
from controlplane.components import Layout, Ports
from controlplane.nodes import initial_nodes
from controlplane.processes import free_ports, kill_all, spawn
from controlplane.real import dns
from controlplane.real.addresses import SITE
from controlplane.real.debian import Packages
from controlplane.real.site import NodePrograms, Site, groups_of_real_nodes
from controlplane.rest import RestClient, RestError
from controlplane.settings import Settings
from controlplane.state import Phase, State, write_state

_START_TIMEOUT = 60.0
_RESTARTS_ALLOWED = 5
_VOLCANO_QUEUE = "/apis/scheduling.volcano.sh/v1beta1/queues/default"
# What Volcano's scheduler and the three controllers that run here read; the other CRDs are 500 KB of schema.
_VOLCANO_CRDS = (
    "batch.volcano.sh_jobs.yaml",
    "bus.volcano.sh_commands.yaml",
    "nodeinfo.volcano.sh_numatopologies.yaml",
    "scheduling.volcano.sh_podgroups.yaml",
    "scheduling.volcano.sh_queues.yaml",
    "shard.volcano.sh_nodeshards.yaml",
    "topology.volcano.sh_hypernodes.yaml",
)


class Stopped(Exception):
    """Told to stop, or left alone by the owner."""


class Failed(Exception):
    """The control plane does not come up, or a component keeps dying."""


class Supervisor:
    """One control plane's components. Runs in the main thread of a process of its own."""

    def __init__(
        self,
        layout: Layout,
        settings: Settings,
        path_by_name: Mapping[str, Path],
        volcano_crds: Path | None,
        packages: Packages | None,
        *,
        owned: bool,
    ) -> None:
        self._layout = layout
        self._settings = settings
        self._path_by_name = path_by_name
        self._volcano_crds = volcano_crds
        first, second, third = free_ports(3)
        # The certificate that kube-apiserver makes for an address which others reach holds the loopback's name alone.
        host = "127.0.0.1" if packages is None else "localhost"
        self._ports = Ports(etcd=first, etcd_peer=second, apiserver=third, host=host)
        self._site = None if packages is None else self._new_site(packages)
        self._token = secrets.token_urlsafe(24)
        self._command_by_name: dict[str, tuple[str, ...]] = {}
        self._child_by_name: dict[str, subprocess.Popen[bytes]] = {}
        self._deaths: list[float] = []
        self._state = State("starting", server=self._ports.server)
        self._told_to_stop = False
        self._events = selectors.DefaultSelector()
        self._watch_signals()
        if owned:
            self._events.register(0, selectors.EVENT_READ)

    def run(self) -> int:
        """Start, watch, stop. The exit code: 0 when told to stop, 1 when the control plane failed."""
        try:
            self._start()
            self._say("ready")
            while True:
                self._pause(0.5)
        except Stopped:
            self._end()
            shutil.rmtree(self._layout.folder, ignore_errors=True)
            return 0
        except Exception as error:
            self._end()
            self._say("failed", str(error) if isinstance(error, Failed) else repr(error))
            raise

    def _new_site(self, packages: Packages) -> Site:
        programs = NodePrograms(self._path_by_name, packages)
        return Site(self._layout, self._ports, programs, self._settings.real_nodes)

    def _end(self) -> None:
        kill_all(list(self._child_by_name.values()))
        self._child_by_name.clear()
        if self._site is not None:
            self._site.close()

    def _start(self) -> None:
        self._write_credentials()
        if self._site is not None:
            self._site.open()
        self._launch(components.etcd(self._layout, self._ports))
        self._launch(components.kube_apiserver(self._layout, self._ports, self._settings))
        # Its key is written after it: without the key, the certificate may be there and empty.
        self._wait("kube-apiserver's certificate", self._layout.authority.with_suffix(".key").exists)
        self._write_kubeconfigs()
        client = RestClient(self._ports.server, self._layout.authority, self._token)
        self._wait("kube-apiserver", lambda: client.request("GET", "/readyz") == b"ok")
        if self._volcano_crds is not None:
            self._install_volcano(client, self._volcano_crds)
        for command in components.clients(self._layout, self._settings):
            self._launch(command)
        for node in initial_nodes(self._settings):
            client.post("/api/v1/nodes", node)
        if self._site is not None:
            self._start_real_nodes(client, self._site)
        count = self._settings.nodes + self._settings.real_nodes
        self._wait("the nodes", lambda: _nodes_are_ready(client, count))
        self._wait("the default service account", lambda: bool(client.get(_DEFAULT_SERVICE_ACCOUNT)))
        if self._settings.volcano:
            self._wait("Volcano's default queue", lambda: _queue_is_open(client))
        if self._site is not None:
            self._wait("cluster DNS", lambda: _is_available(client.get(dns.DEPLOYMENT_PATH)))
        client.close()

    def _start_real_nodes(self, client: RestClient, site: Site) -> None:
        site.start_nodes()
        self._say(self._state.phase, "started the real nodes")
        for path, body in dns.objects():
            client.post(path, body)

    def _write_credentials(self) -> None:
        self._layout.certificates.mkdir()
        self._token_by_user = {user: secrets.token_urlsafe(24) for user in components.clients_of(self._settings)}
        self._token_by_user[credentials.ADMIN] = secrets.token_urlsafe(24)
        self._token_by_user["hack-cluster"] = self._token
        groups_by_user = groups_of_real_nodes(self._settings.real_nodes) if self._settings.real_nodes else {}
        self._token_by_user |= {user: secrets.token_urlsafe(24) for user in groups_by_user}
        self._layout.tokens.write_text(credentials.token_file(self._token_by_user, groups_by_user))
        self._layout.service_account_key.write_text(credentials.service_account_key())
        self._layout.audit_policy.write_text(components.audit_policy(self._settings.audit))
        self._layout.stages.write_text(components.kwok_stages(self._settings))

    def _write_kubeconfigs(self) -> None:
        for user, token in self._token_by_user.items():
            path = self._layout.kubeconfig if user == credentials.ADMIN else self._layout.kubeconfig_of(user)
            server = self._ports.server
            if user.startswith("system:"):
                # A node's own loopback is not the site's.
                server = f"https://{SITE}:{self._ports.apiserver}"
            path.write_text(credentials.kubeconfig(server, self._layout.authority, token, user))

    def _install_volcano(self, client: RestClient, crds: Path) -> None:
        for name in _VOLCANO_CRDS:
            body = (crds / name).read_bytes()
            path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
            client.request("POST", path, body, media_type="application/yaml")
        client.post("/api/v1/namespaces", {"metadata": {"name": "volcano-system"}})
        self._wait("Volcano's CRDs", lambda: client.get("/apis/scheduling.volcano.sh/v1beta1/queues") is not None)
        self._wait("Volcano's CRDs", lambda: client.get("/apis/topology.volcano.sh/v1alpha1/hypernodes") is not None)

    def _launch(self, command: Sequence[str]) -> None:
        name = command[0]
        self._command_by_name[name] = tuple(command)
        path = str(self._path_by_name[name])
        prefix = self._site.prefix if self._site is not None else ()
        self._child_by_name[name] = spawn((*prefix, path, *command[1:]), self._layout.log_of(name))
        self._say(self._state.phase, f"started {name}")

    def _wait(self, what: str, is_there: Callable[[], bool]) -> None:
        deadline = time.monotonic() + _START_TIMEOUT
        last: Exception | None = None
        while time.monotonic() < deadline:
            try:
                if is_there():
                    return
            except (OSError, http.client.HTTPException, RestError) as error:
                last = error
            self._pause(0.05)
        raise Failed(f"{what}: not there after {_START_TIMEOUT:.0f} s{f' ({last})' if last else ''}")

    def _pause(self, seconds: float) -> None:
        """Let time pass; raise Stopped when it is time to go, and look after children that died."""
        for key, _ in self._events.select(seconds):
            if not os.read(key.fd, 4096):
                raise Stopped
        if self._told_to_stop:
            raise Stopped
        for name, child in list(self._child_by_name.items()):
            if child.poll() is not None:
                self._start_again(name, child.returncode)
        if self._site is not None and self._site.look_after():
            self._say(self._state.phase, self._state.message)

    def _start_again(self, name: str, code: int) -> None:
        now = time.monotonic()
        self._deaths = [then for then in self._deaths if now - then < 30.0] + [now]
        print(f"{name} ended with {code}", file=sys.stderr, flush=True)
        if len(self._deaths) > _RESTARTS_ALLOWED:
            raise Failed(f"{name} ended with {code}, as it or others did {_RESTARTS_ALLOWED} times in 30 s before")
        self._launch(self._command_by_name[name])

    def _say(self, phase: Phase, message: str = "") -> None:
        pids = {name: child.pid for name, child in self._child_by_name.items()}
        pids |= self._site.pid_by_name if self._site is not None else {}
        self._state = State(phase, message, self._ports.server, {"supervisor": os.getpid(), **pids})
        write_state(self._layout.state, self._state)

    def _watch_signals(self) -> None:
        reader, writer = os.pipe()
        for fd in (reader, writer):
            os.set_blocking(fd, False)
        signal.set_wakeup_fd(writer)
        self._events.register(reader, selectors.EVENT_READ)
        signal.signal(signal.SIGTERM, self._stop)
        signal.signal(signal.SIGINT, self._stop)
        signal.signal(signal.SIGCHLD, lambda *_: None)

    def _stop(self, number: int, frame: FrameType | None) -> None:
        self._told_to_stop = True


_DEFAULT_SERVICE_ACCOUNT = "/api/v1/namespaces/default/serviceaccounts/default"


def _nodes_are_ready(client: RestClient, count: int) -> bool:
    """All there, ready, and without the taint that a new node has."""
    nodes = client.get("/api/v1/nodes?resourceVersion=0")["items"]
    return len(nodes) >= count and all(
        not node["spec"].get("taints")
        and any(c["type"] == "Ready" and c["status"] == "True" for c in node["status"].get("conditions", []))
        for node in nodes
    )


def _is_available(deployment: dict[str, Any]) -> bool:
    return bool(deployment.get("status", {}).get("availableReplicas"))


def _queue_is_open(client: RestClient) -> bool:
    return bool(client.get(_VOLCANO_QUEUE).get("status", {}).get("state") == "Open")
