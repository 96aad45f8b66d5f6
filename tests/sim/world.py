"""A simulated cluster with the whole controller on it, and everything that can happen to them."""

import asyncio
import copy
import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Any

from support import specs

from modelinfer_controller.api import well_known
from modelinfer_controller.api.names import ObjectName
from modelinfer_controller.kube.clock import Clock
from modelinfer_controller.kube.transport import Request, Response
from modelinfer_controller.simulator.apiserver.admission import Operation, Plugin
from modelinfer_controller.simulator.control_plane import SimulatedControlPlane
from modelinfer_controller.simulator.controllers.node_lifecycle import UNREACHABLE
from modelinfer_controller.simulator.faults.admission import Deny, Match
from modelinfer_controller.simulator.faults.transport import NO_FAULTS, Faults, Rates
from modelinfer_controller.simulator.nodes.node import NodeShape
from modelinfer_controller.simulator.nodes.stages import HEALTHY, Behaviour
from modelinfer_controller.simulator.resources import PlainObject
from sim.facts import CHILD_KINDS, MODEL_INFERS, NAME, NAMESPACE, PODS, REVISIONS, Facts, Object, Pod
from sim.journal import CONTROLLER, Journal, JournaledTransport
from sim.process import ControllerProcess

CRD = Path(__file__).parents[2] / "manifests" / "crd" / "modelinfers.yaml"
API_VERSION = "workload.volcano.sh/v1alpha1"
USER = "user"
MERGE_PATCH = "application/merge-patch+json"
_COLLECTIONS = {
    "pods": f"/api/v1/namespaces/{NAMESPACE}/pods",
    "services": f"/api/v1/namespaces/{NAMESPACE}/services",
    "resourcequotas": f"/api/v1/namespaces/{NAMESPACE}/resourcequotas",
    "controllerrevisions": f"/apis/apps/v1/namespaces/{NAMESPACE}/controllerrevisions",
    "volcano": f"/apis/scheduling.volcano.sh/v1beta1/namespaces/{NAMESPACE}/podgroups",
    "native": f"/apis/scheduling.k8s.io/v1beta1/namespaces/{NAMESPACE}/podgroups",
    "modelinfers": f"/apis/{API_VERSION}/namespaces/{NAMESPACE}/modelinfers",
}

IMAGES: Mapping[str, Behaviour] = {
    "good:1": replace(HEALTHY, ready_after=timedelta(seconds=1)),
    "good:2": replace(HEALTHY, ready_after=timedelta(seconds=2)),
    "good:3": HEALTHY,
    "slow:1": replace(HEALTHY, ready_after=timedelta(seconds=45), terminate_after=timedelta(seconds=20)),
    "never:1": replace(HEALTHY, never_ready=True),
    "crash:1": replace(HEALTHY, crash_loop=True),
    "fails:1": replace(HEALTHY, ready_after=timedelta(seconds=1), fail_after=timedelta(seconds=8)),
}


def behaviour_of_image(pod: PlainObject) -> Behaviour:
    return IMAGES[pod.spec["containers"][0]["image"]]


class Refused(Exception):
    """The server's answer to a request of the user's."""

    def __init__(self, status: int, body: Any) -> None:
        super().__init__(f"{status}: {body.get('message')}")
        self.status = status
        self.body = body


class SteppingClock:
    """A wall clock that somebody may set: `offset` is how far it goes before the true time."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.offset = timedelta()

    def now(self) -> datetime:
        return self._clock.now() + self.offset


class World:
    """An async context, in virtual time: inside it everything runs.

    controller and user go through the journal; `faults` strike the controller's calls alone.
    """

    def __init__(
        self,
        seed: int = 0,
        *,
        nodes: int = 3,
        volcano: bool = False,
        native_gang: bool = False,
        script: Callable[[PlainObject], Behaviour] = behaviour_of_image,
        definition: Path | Object = CRD,
        decision_time: float = 0.0,
    ) -> None:
        self.never_pulls = ""  # how the names of pods begin whose images never arrive
        self._script = script
        self.cluster = SimulatedControlPlane(
            seed,
            nodes=nodes,
            volcano=volcano,
            native_gang=native_gang,
            definitions=[definition],
            script=self._behaviour_of,
        )
        # The real one takes its time too. At once, it and a controller behind on the news would take turns for ever.
        self.cluster.gc.latency = 0.2
        self.has_volcano, self.has_native_gang = volcano, native_gang
        self.volcano_since = -3600.0  # when its PodGroups were last installed or removed
        self.journal = Journal(self.cluster.api)
        self.facts = Facts(self.cluster.api.store)
        self.faults = Faults(seed)
        self.controller_clock = SteppingClock(self.cluster.clock)
        self.controller = ControllerProcess(self._connect, self.controller_clock, seed, decision_time=decision_time)
        self._transport = JournaledTransport(self.cluster.api, self.journal, USER)
        self.frozen: set[str] = set()
        self._cut_at = -3600.0

    def _behaviour_of(self, pod: PlainObject) -> Behaviour:
        if self.never_pulls and pod.metadata.name.startswith(self.never_pulls):
            return replace(HEALTHY, image_pull_error=True)
        return self._script(pod)

    def _connect(self) -> Any:
        return self.faults.wrap(JournaledTransport(self.cluster.api, self.journal, CONTROLLER))

    async def __aenter__(self) -> "World":
        await self.cluster.__aenter__()
        self.controller.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.controller.kill()
        await self.cluster.__aexit__(kind, error, trace)

    @property
    def now(self) -> float:
        return asyncio.get_running_loop().time()

    async def sleep(self, seconds: float) -> None:
        """Let the world go on. Raises what the journal's observers found, or what the controller died of."""
        await asyncio.sleep(seconds)
        self.check()

    def check(self) -> None:
        self.journal.check()
        assert not self.controller.died, f"the controller died of {self.controller.died}"

    async def until(self, look: Callable[[], bool], timeout: float = 600.0, step: float = 0.25) -> None:
        """Returns at the first step at which `look` holds."""
        deadline = self.now + timeout
        while not look():
            assert self.now < deadline, f"not within {timeout} s"
            await self.sleep(step)

    # -- the user ----------------------------------------------------------------------------------------------------

    async def send(self, method: str, path: str, body: Any = None, type_: str = "application/json") -> Any:
        """The decoded answer. Raises Refused."""
        raw = None if body is None else json.dumps(body).encode()
        response: Response = await self._transport.request(Request(method, path, {}, {"Content-Type": type_}, raw))
        decoded = json.loads(response.body)
        if response.status >= 300:
            raise Refused(response.status, decoded)
        return decoded

    async def create_model(
        self, spec: Object, annotations: Mapping[str, str] | None = None, *, name: str = NAME
    ) -> Object:
        body = {
            "apiVersion": API_VERSION,
            "kind": "ModelInfer",
            "metadata": {"name": name, "annotations": dict(annotations or {})},
            "spec": spec,
        }
        created: Object = await self.send("POST", _COLLECTIONS["modelinfers"], body)
        return created

    async def replace_spec(self, spec: Object) -> None:
        """Raises Refused where admission says no."""
        model = copy.deepcopy(self.facts.model)
        assert model is not None
        await self.send("PUT", path_of("modelinfers", NAME), {**model, "spec": spec})

    async def patch_spec(self, **fields: Any) -> None:
        await self.send("PATCH", path_of("modelinfers", NAME), {"spec": fields}, MERGE_PATCH)

    async def edit(self, change: Callable[[Object], None]) -> None:
        """Changes the spec as `change` does to a copy of it."""
        spec = copy.deepcopy(self.facts.spec)
        change(spec)
        await self.replace_spec(spec)

    async def delete(self, resource: str, name: str, *, propagation: str = "Background") -> None:
        """Does nothing where it is gone."""
        body = {"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": propagation}
        try:
            await self.send("DELETE", path_of(resource, name), body)
        except Refused as error:
            if error.status != 404:
                raise

    async def patch(self, resource: str, name: str, body: Object, subresource: str = "") -> None:
        await self.send("PATCH", f"{path_of(resource, name)}{subresource}", body, MERGE_PATCH)

    async def create(self, resource: str, body: Object) -> None:
        await self.send("POST", _COLLECTIONS[resource], body)

    # -- what refuses and hangs ----------------------------------------------------------------------------------------

    def deny(
        self, operation: Operation, resource: str, name_part: str = "", *, message: str = "not today", **match: Any
    ) -> Deny:
        """From now on a policy refuses this, until `allow`."""
        policy = Deny(Match({operation}, resource, name_part, **match), message)
        self.cluster.api.admission.add(policy)
        return policy

    def allow(self, plugin: Plugin) -> None:
        self.cluster.api.admission.remove(plugin)

    # -- nodes and pods ----------------------------------------------------------------------------------------------

    def live_pods(self) -> list[Pod]:
        return sorted((pod for pod in self.facts.pods() if not pod.is_terminating), key=lambda pod: pod.name)

    def behave(self, pod: str, **behaviour: Any) -> bool:
        """Override what one living pod does from now on. False where the kubelet does not know it yet."""
        try:
            self.cluster.kubelet.behave(ObjectName(NAMESPACE, pod), replace(IMAGES["good:1"], **behaviour))
        except KeyError:
            return False
        return True

    def evict(self, pod: str) -> bool:
        """As the kubelet does under pressure: the pod is Failed, and stays."""
        return self.behave(pod, fail_after=timedelta(), reason="Evicted", exit_code=137)

    def restart_container(self, pod: str, exit_code: int = 1) -> bool:
        try:
            self.cluster.kubelet.exit_container(ObjectName(NAMESPACE, pod), exit_code)
        except KeyError:
            return False
        return True

    def install_volcano(self) -> None:
        if not self.has_volcano:
            self.cluster.install_volcano()
            self.has_volcano, self.volcano_since = True, self.now

    def remove_volcano(self) -> None:
        if self.has_volcano:
            self.cluster.remove_volcano()
            self.has_volcano, self.volcano_since = False, self.now

    async def cordon(self, node: str) -> None:
        await self._patch_node(node, {"unschedulable": True})

    async def uncordon(self, node: str) -> None:
        """It is schedulable again, and has no taint that somebody has set."""
        await self._patch_node(node, {"unschedulable": None, "taints": self._own_taints(node)})

    async def taint(self, node: str, key: str, effect: str = "NoSchedule") -> None:
        """In place of any other taint that somebody has set."""
        await self._patch_node(node, {"taints": [*self._own_taints(node), {"key": key, "effect": effect}]})

    def _own_taints(self, node: str) -> list[Object]:
        """Those that the control plane sets and takes off by itself."""
        found = self.facts.node(node) or {"spec": {}}
        return [one for one in found["spec"].get("taints") or () if one["key"] == UNREACHABLE]

    async def _patch_node(self, node: str, spec: Object) -> None:
        """Does nothing where it is gone."""
        with suppress(Refused):
            await self.send("PATCH", f"/api/v1/nodes/{node}", {"spec": spec}, MERGE_PATCH)

    async def remove_node(self, node: str) -> None:
        """It is gone for good: its kubelet is silent, and its pods go when the control plane notices."""
        self.freeze(node)
        with suppress(Refused):
            await self.send("DELETE", f"/api/v1/nodes/{node}")

    def add_node(self, node: str) -> None:
        """Where it is not there: a machine of its name comes."""
        if self.facts.node(node) is None:
            self.frozen.discard(node)
            self.cluster.kubelet.thaw(node)
            self.cluster.add_node(NodeShape(node))

    def freeze(self, node: str) -> None:
        self.frozen.add(node)
        self.cluster.kubelet.freeze(node)

    def thaw(self) -> None:
        for node in sorted(self.frozen):
            self.cluster.kubelet.thaw(node)
        self.frozen.clear()

    def storm(self, rates: Rates) -> None:
        self.faults.rates = rates

    def cut_watches(self, *, expire: bool = False) -> None:
        if expire:
            for kind in (*CHILD_KINDS, MODEL_INFERS):
                self.cluster.api.store.compact(kind)
        self.cluster.api.watches.end_all()
        self._cut_at = self.now

    @property
    def is_behind(self) -> bool:
        """Whether the controller's caches may lag: it takes watches up again with a back-off."""
        return self.now - self._cut_at < 60

    def heal(self) -> None:
        """No more faults, every node is back, and every pod, present and to come, becomes and stays ready."""
        self.storm(NO_FAULTS)
        self.thaw()
        if self._needs_volcano():
            self.install_volcano()
        self._script = lambda pod: HEALTHY
        for pod in self.facts.objects(PODS):
            name = pod["metadata"]["name"]
            if self.never_pulls and name.startswith(self.never_pulls):
                continue
            with suppress(KeyError):  # one that it does not know yet will follow the script
                self.cluster.kubelet.behave(ObjectName(NAMESPACE, name), HEALTHY)
        self.controller.start()

    def _needs_volcano(self) -> bool:
        """Whether pods wait for a PodGroup: Volcano's scheduler places no pod of a gang that it does not know."""
        spec = self.facts.spec
        shapes = [revision["data"] for revision in self.facts.owned(REVISIONS)]
        shapes.append({**spec, "gangScheduler": spec["template"].get("gangSchedule")})
        return any(s.get("schedulerName") == "volcano" and s.get("gangScheduler") is not None for s in shapes)


def path_of(resource: str, name: str) -> str:
    return f"{_COLLECTIONS[resource]}/{name}"


# -- specs -----------------------------------------------------------------------------------------------------------


def a_role(name: str = "decode", replicas: int = 1, workers: int = 0, image: str = "good:1") -> Object:
    return specs.role(name, replicas, workers, specs.pod_template(image))


def a_spec(replicas: int = 1, *roles: Object, **fields: Any) -> Object:
    """See `specs.rolling`."""
    return specs.rolling(replicas, *(roles or (a_role(),)), **fields)


def set_image(image: str) -> Callable[[Object], None]:
    def change(spec: Object) -> None:
        for role in spec["template"]["roles"]:
            for template in ("entryTemplate", "workerTemplate"):
                if template in role:
                    role[template]["spec"]["containers"][0]["image"] = image

    return change


def set_update(**configuration: Any) -> Callable[[Object], None]:
    def change(spec: Object) -> None:
        strategy = spec.setdefault("rolloutStrategy", {})
        strategy.setdefault("rollingUpdateConfiguration", {}).update(configuration)

    return change


def foreign_pod(name: str) -> Object:
    """A pod of nobody's that bears our label, so that the controller can see it."""
    meta = {"name": name, "labels": {well_known.NAME: NAME}}
    return {"metadata": meta, "spec": {"containers": [{"name": "main", "image": "good:1"}]}}
