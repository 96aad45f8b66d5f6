"""What else the cluster knows of pods that are stuck: their Events, and whether their nodes are alive."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from modelinfer_controller.api.core import Condition, KubeObject, Pod, WireStruct
from modelinfer_controller.kube.client import Client
from modelinfer_controller.kube.errors import ApiError, NotFound
from modelinfer_controller.kube.resource import Resource
from modelinfer_controller.kube.transport import TransportError
from modelinfer_controller.kubectl.model.logs import last_words
from modelinfer_controller.kubectl.model.snapshot import Snapshot

MAX_NODES = 8  # that are asked for one by one
MAX_LOGS = 5  # of dead containers
LOG_LINES = 5  # of each
BEGINNING = datetime.fromtimestamp(0, UTC)


class ObjectReference(WireStruct, frozen=True):
    """What an Event is about."""

    kind: str = ""
    name: str = ""
    uid: str = ""


class EventSeries(WireStruct, frozen=True):
    """How often an Event was seen, and when last."""

    count: int = 0
    last_observed_time: datetime | None = None


class ClusterEvent(KubeObject, frozen=True):
    """An Event, with what it is about."""

    type: str = ""
    count: int = 0
    reason: str = ""
    message: str = ""
    involved_object: ObjectReference = ObjectReference()
    first_timestamp: datetime | None = None
    last_timestamp: datetime | None = None
    event_time: datetime | None = None
    series: EventSeries | None = None

    @property
    def when(self) -> datetime:
        times = (
            self.series.last_observed_time if self.series is not None else None,
            self.last_timestamp,
            self.event_time,
            self.metadata.creation_timestamp,
        )
        return next((time for time in times if time is not None), BEGINNING)

    @property
    def began(self) -> datetime:
        """When it was seen first."""
        times = (self.first_timestamp, self.event_time, self.metadata.creation_timestamp)
        return min((time for time in times if time is not None), default=self.when)


class NodeSpec(WireStruct, frozen=True):
    """A node's spec, as far as a diagnosis reads it."""

    unschedulable: bool = False


class NodeStatus(WireStruct, frozen=True):
    """A node's status, as far as a diagnosis reads it."""

    conditions: tuple[Condition, ...] = ()


class NodeHealth(KubeObject, frozen=True):
    """A node, as far as a diagnosis reads it."""

    spec: NodeSpec = NodeSpec()
    status: NodeStatus = NodeStatus()


EVENTS = Resource("", "v1", "events", "Event", ClusterEvent)
NODE_HEALTH = Resource("", "v1", "nodes", "Node", NodeHealth, namespaced=False)


@dataclass(frozen=True)
class Diagnostics:
    """warnings: the newest one of each pod, by the pod's UID. sick_nodes: by name, what is wrong with them.

    last_words: by the pod's name, the end of the log of its container that died.
    """

    warnings: Mapping[str, ClusterEvent] = field(default_factory=dict)
    sick_nodes: Mapping[str, str] = field(default_factory=dict)
    last_words: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


async def read_diagnostics(client: Client, snapshot: Snapshot) -> Diagnostics:
    """Of the pods that are not ready. What may not be read is left out: it only says more."""
    stuck = [pod for pod in snapshot.pods.values() if not pod.is_ready]
    if not stuck:
        return Diagnostics()
    nodes = sorted({pod.spec.node_name for pod in stuck} - {""})[:MAX_NODES]
    namespace, dead = snapshot.owner.namespace, sorted((p for p in stuck if _has_died(p)), key=_name)[:MAX_LOGS]
    warnings, health, words = await asyncio.gather(
        _warnings(client, namespace),
        asyncio.gather(*(_health(client, node) for node in nodes)),
        asyncio.gather(*(last_words(client, namespace, pod, LOG_LINES) for pod in dead)),
    )
    uids = {pod.metadata.uid for pod in stuck}
    return Diagnostics(
        warnings=_newest(one for one in warnings if one.involved_object.uid in uids),
        sick_nodes={node: what for node, what in zip(nodes, health, strict=True) if what},
        last_words={_name(pod): lines for pod, lines in zip(dead, words, strict=True) if lines},
    )


def _name(pod: Pod) -> str:
    return pod.metadata.name


def _has_died(pod: Pod) -> bool:
    """Whether a container of it has ended and left a log."""
    statuses = (*pod.status.init_container_statuses, *pod.status.container_statuses)
    return any(status.state.terminated or status.last_state.terminated for status in statuses)


async def _warnings(client: Client, namespace: str) -> Sequence[ClusterEvent]:
    try:
        selector = "type=Warning,involvedObject.kind=Pod"
        return (await client.list_all(EVENTS, namespace, field_selector=selector)).items
    except (ApiError, TransportError):
        return ()


def _newest(warnings: Iterable[ClusterEvent]) -> Mapping[str, ClusterEvent]:
    return {one.involved_object.uid: one for one in sorted(warnings, key=lambda one: one.when)}


async def _health(client: Client, name: str) -> str:
    """What is wrong with the node, or "" where nothing is or nobody may say."""
    try:
        node = await client.get(NODE_HEALTH, None, name)
    except (ApiError, TransportError) as error:
        return "is gone" if isinstance(error, NotFound) else ""
    ready = next((condition for condition in node.status.conditions if condition.type == "Ready"), None)
    if ready is None or ready.status == "True":
        return ""
    return f"is not ready ({ready.reason}: {ready.message})" if ready.message else "is not ready"
