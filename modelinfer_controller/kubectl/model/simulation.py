"""`simulate`: manifests played in the embedded control plane, in virtual time, by the real controller."""

import asyncio
import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import partial
from importlib.util import find_spec
from typing import Any

from modelinfer_controller.api import modelinfer
from modelinfer_controller.api.names import ObjectName
from modelinfer_controller.api.reasons import Reason
from modelinfer_controller.api.status import ModelInfer
from modelinfer_controller.controller.resources import MODEL_INFERS
from modelinfer_controller.controller.wiring import Observers, wire
from modelinfer_controller.kube.client import JSON_PATCH, Client
from modelinfer_controller.kube.errors import ApiError
from modelinfer_controller.kube.resource import PODS
from modelinfer_controller.kubectl.model.kubeconfig import failure
from modelinfer_controller.kubectl.model.manifest import Manifest, read_crd
from modelinfer_controller.kubectl.model.simulated_drain import drain
from modelinfer_controller.kubectl.model.snapshot import decode_spec
from modelinfer_controller.planning.cause import cause_of
from modelinfer_controller.planning.decide import Decision
from modelinfer_controller.planning.pod_identity import parse_pod_name
from modelinfer_controller.planning.preview import is_as_specified
from modelinfer_controller.simulator.apiserver.cel_rules import Unsupported
from modelinfer_controller.simulator.apiserver.status_errors import StatusError
from modelinfer_controller.simulator.control_plane import SimulatedControlPlane
from modelinfer_controller.simulator.nodes.node import NodeShape
from modelinfer_controller.simulator.nodes.stages import Behaviour
from modelinfer_controller.simulator.resources import PlainObject

NAMESPACE = "default"
NODE_CAPACITY = {"cpu": "96", "memory": "1Ti", "pods": "110", "nvidia.com/gpu": "8"}  # of a usual node with GPUs
ABSENT = "Absent"
AVAILABLE = "Available"


@dataclass(frozen=True)
class GroupFailure:
    """A container of the group's first pod ends so long after the last manifest was applied."""

    group: int
    after: timedelta


@dataclass(frozen=True)
class NodeDrain:
    """The node is drained so long after the last manifest was applied: cordoned, then evictions until none is left."""

    node: str
    after: timedelta


@dataclass(frozen=True)
class Scenario:
    """capacity: of each node. A pod is ready a random time of start - spread .. start + spread after its start."""

    manifests: Sequence[Manifest]
    nodes: int = 10
    capacity: Mapping[str, str] = field(default_factory=lambda: NODE_CAPACITY)
    start: timedelta = timedelta(seconds=90)
    spread: timedelta = timedelta(0)
    failures: Sequence[GroupFailure] = ()
    seed: int = 0
    limit: timedelta = timedelta(hours=24)
    drains: Sequence[NodeDrain] = ()


@dataclass(frozen=True, slots=True)
class Sample:
    """One look of the controller: group -> its state and revision. wanted: how many groups the spec wanted."""

    at: timedelta
    groups: Mapping[int, tuple[str, str]]
    available: int
    wanted: int = 0


@dataclass
class Timeline:
    """What was seen.

    marks: when each manifest was applied, and each failure brought about, with words for people and the number of
    samples before it.
    changed_at: when the last manifest was applied; changed_from: how many samples there were then.
    is_finished: whether everything came to be as specified.
    """

    started_at: datetime
    samples: list[Sample] = field(default_factory=list)
    marks: list[tuple[timedelta, str, int]] = field(default_factory=list)
    changed_at: timedelta = timedelta(0)
    changed_from: int = 0
    is_finished: bool = False
    replicas: int = 0

    def mark(self, at: timedelta, text: str) -> None:
        self.marks.append((at, text, len(self.samples)))

    @property
    def lowest_available(self) -> int:
        """After the last manifest was applied; for a single one after everything was available first.

        Samples are told apart by their order: several can have the same virtual time.
        """
        counts = [sample.available for sample in self.samples[max(self.changed_from - 1, 0) :]]
        if self.changed_from == 0 and self.replicas in counts:
            counts = counts[counts.index(self.replicas) :]
        return min(counts, default=0)

    @property
    def ended_at(self) -> timedelta:
        return self.samples[-1].at if self.samples else timedelta(0)


class _Watcher:
    """Told of each decision: it keeps those in which something differs, and knows when all is as specified."""

    def __init__(self, timeline: Timeline) -> None:
        self._timeline = timeline
        self.generation = 0
        self.settled = asyncio.Event()

    def __call__(self, decision: Decision) -> None:
        found = decision
        at = found.now - self._timeline.started_at
        groups = {ordinal: (_state(ordinal, found), group.revision.name) for ordinal, group in found.groups.items()}
        available = sum(group.is_available for group in found.groups.values())
        self._timeline.replicas = found.budget.replicas
        before = self._timeline.samples
        sample = Sample(at, groups, available, found.budget.replicas)
        if not before or replace(before[-1], at=at) != sample:
            before.append(sample)
        is_ready = all(pod.is_ready for pod in found.observed.pods)
        is_done = is_ready and is_as_specified(found) and not found.plan.actions
        if is_done and found.owner.metadata.generation >= self.generation:
            self.settled.set()
        else:
            self.settled.clear()


def _state(ordinal: int, found: Decision) -> str:
    group = found.groups[ordinal]
    if group.is_draining:
        return Reason.DRAINING
    if ordinal in found.update.removed:
        return "Removing"
    if ordinal in found.update.replaced and group.pods:
        return "Replacing"
    if found.is_available(ordinal):
        return AVAILABLE
    return cause_of(found, ordinal, {}).reason if group.pods else ABSENT


class _Silent:
    """An EventSink that drops everything."""

    def record(self, stored: ModelInfer, type_: str, reason: str, message: str) -> None: ...


async def simulate(scenario: Scenario) -> Timeline:
    """Must run on a loop of virtual time. Raises Exit where a manifest is refused."""
    cluster = _cluster(scenario)
    timeline = Timeline(cluster.clock.now())
    watcher = _Watcher(timeline)
    components = wire(
        cluster.client("modelinfer-controller"),
        _Silent(),
        clock=cluster.clock,
        random=random.Random(scenario.seed),
        observers=Observers(on_decision=watcher),
    )
    async with cluster:
        running = [
            asyncio.create_task(components.run_caches(), name="caches"),
            asyncio.create_task(components.run_workers(), name="workers"),
        ]
        try:
            await components.caches.wait_for_sync()
            async with asyncio.timeout(scenario.limit.total_seconds()):
                await _play(scenario, cluster, watcher, timeline)
                timeline.is_finished = True
        except TimeoutError:
            pass
        finally:
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)
    return timeline


def _cluster(scenario: Scenario) -> SimulatedControlPlane:
    nodes, definition = _shapes(scenario), definition_of(has_cel=find_spec("cel") is not None)
    try:
        return SimulatedControlPlane(
            scenario.seed, nodes=nodes, definitions=[definition], script=lambda pod: _behaviour(pod, scenario)
        )
    except (StatusError, Unsupported) as error:
        raise failure(f"cannot simulate: {error}") from error


def definition_of(*, has_cel: bool) -> dict[str, Any]:
    """The CRD; without its rules where nothing evaluates CEL, as in the plugin's single file."""
    definition: dict[str, Any] = read_crd() if has_cel else _without_rules(read_crd())
    return definition


def _without_rules(value: Any) -> Any:
    match value:
        case dict():
            return {key: _without_rules(each) for key, each in value.items() if key != "x-kubernetes-validations"}
        case list():
            return [_without_rules(each) for each in value]
        case _:
            return value


def _require_valid(manifest: Manifest) -> None:
    """By the controller's own rules, which are those of the CRD. Raises Exit."""
    _, violations = decode_spec(json.dumps(manifest.spec).encode(), manifest.name)
    if violations:
        raise failure(f"the manifest of {manifest.name} is refused: {'; '.join(map(str, violations))}")


def _shapes(scenario: Scenario) -> list[NodeShape]:
    return [NodeShape(f"node-{number}", capacity=scenario.capacity) for number in range(scenario.nodes)]


def _behaviour(pod: PlainObject, scenario: Scenario) -> Behaviour:
    """The same for one pod at every look."""
    share = random.Random(f"{scenario.seed}-{pod.metadata.uid}").uniform(-1, 1)
    return Behaviour(ready_after=max(scenario.start + share * scenario.spread, timedelta(0)))


async def _play(scenario: Scenario, cluster: SimulatedControlPlane, watcher: _Watcher, timeline: Timeline) -> None:
    client = cluster.client("kubectl")
    for number, manifest in enumerate(scenario.manifests):
        timeline.changed_at = cluster.clock.now() - timeline.started_at
        timeline.changed_from = len(timeline.samples)
        timeline.mark(timeline.changed_at, f"{'apply' if number == 0 else 'change'} {manifest.name}")
        watcher.settled.clear()
        watcher.generation = await _apply(client, manifest, is_first=number == 0)
        if number < len(scenario.manifests) - 1:
            await watcher.settled.wait()
    incidents: list[GroupFailure | NodeDrain] = [*scenario.failures, *scenario.drains]
    for each in sorted(incidents, key=lambda each: each.after):
        left = timeline.started_at + timeline.changed_at + each.after - cluster.clock.now()
        await asyncio.sleep(max(left.total_seconds(), 0))
        if isinstance(each, NodeDrain):
            await drain(cluster.transport("kubectl"), each.node, partial(_mark, cluster, timeline))
        else:
            await _fail(each, scenario.manifests[-1].name, cluster, timeline)
    await asyncio.sleep(1)  # for the last failure to be seen
    await watcher.settled.wait()


def _mark(cluster: SimulatedControlPlane, timeline: Timeline, text: str) -> None:
    timeline.mark(cluster.clock.now() - timeline.started_at, text)


async def _apply(client: Client, manifest: Manifest, *, is_first: bool) -> int:
    """The generation that it made."""
    _require_valid(manifest)
    body: dict[str, Any] = {
        "apiVersion": modelinfer.API_VERSION,
        "kind": modelinfer.KIND,
        "metadata": {"name": manifest.name, "namespace": NAMESPACE, "annotations": dict(manifest.annotations)},
        "spec": manifest.spec,
    }
    try:
        if is_first:
            stored = await client.create(MODEL_INFERS, NAMESPACE, body)
        else:
            change = json.dumps([{"op": "replace", "path": "/spec", "value": manifest.spec}]).encode()
            stored = await client.patch(MODEL_INFERS, NAMESPACE, manifest.name, change, content_type=JSON_PATCH)
    except ApiError as error:
        raise failure(f"the manifest of {manifest.name} is refused: {error}") from error
    return stored.metadata.generation


async def _fail(each: GroupFailure, name: str, cluster: SimulatedControlPlane, timeline: Timeline) -> None:
    pods = (await cluster.client("kubectl").list_all(PODS, NAMESPACE)).items
    at = cluster.clock.now() - timeline.started_at
    for pod in sorted(pods, key=lambda pod: pod.metadata.name):
        identity = parse_pod_name(name, pod.metadata.name)
        if identity is not None and identity.group == each.group and not pod.metadata.is_terminating:
            try:
                cluster.kubelet.exit_container(ObjectName(NAMESPACE, pod.metadata.name))
            except KeyError:
                continue
            timeline.mark(at, f"{pod.metadata.name} fails")
            return
    timeline.mark(at, f"group {each.group} has no pod to fail")
