"""What else the cluster knows of pods that are stuck: their Events, and whether their nodes are alive."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from modelinfer_controller.api.core import Condition, KubeObject, WireStruct
from modelinfer_controller.kube.client import Client
from modelinfer_controller.kube.errors import ApiError
from modelinfer_controller.kube.resource import Resource
from modelinfer_controller.kubectl.model.snapshot import Snapshot

MAX_NODES = 8  # that are asked for one by one
BEGINNING = datetime.fromtimestamp(0, UTC)


class ObjectReference(WireStruct, frozen=True):
    kind: str = ""
    name: str = ""
    uid: str = ""


class EventSeries(WireStruct, frozen=True):
    last_observed_time: datetime | None = None


class Warning(KubeObject, frozen=True):
    """An Event, with what it is about."""

    reason: str = ""
    message: str = ""
    involved_object: ObjectReference = ObjectReference()
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


class NodeSpec(WireStruct, frozen=True):
    unschedulable: bool = False


class NodeStatus(WireStruct, frozen=True):
    conditions: tuple[Condition, ...] = ()


class NodeHealth(KubeObject, frozen=True):
    spec: NodeSpec = NodeSpec()
    status: NodeStatus = NodeStatus()


WARNINGS = Resource("", "v1", "events", "Event", Warning)
NODE_HEALTH = Resource("", "v1", "nodes", "Node", NodeHealth, namespaced=False)


@dataclass(frozen=True)
class Diagnostics:
    """warnings: the newest one of each pod, by the pod's UID. sick_nodes: by name, what is wrong with them."""

    warnings: Mapping[str, Warning] = field(default_factory=dict)
    sick_nodes: Mapping[str, str] = field(default_factory=dict)


async def read_diagnostics(client: Client, snapshot: Snapshot) -> Diagnostics:
    """Of the pods that are not ready. What may not be read is left out: it only says more."""
    stuck = [pod for pod in snapshot.pods.values() if not pod.is_ready]
    if not stuck:
        return Diagnostics()
    nodes = sorted({pod.spec.node_name for pod in stuck} - {""})[:MAX_NODES]
    warnings, health = await asyncio.gather(
        _warnings(client, snapshot.owner.namespace), asyncio.gather(*(_health(client, node) for node in nodes))
    )
    uids = {pod.metadata.uid for pod in stuck}
    return Diagnostics(
        warnings=_newest(one for one in warnings if one.involved_object.uid in uids),
        sick_nodes={node: what for node, what in zip(nodes, health, strict=True) if what},
    )


async def _warnings(client: Client, namespace: str) -> Sequence[Warning]:
    try:
        selector = "type=Warning,involvedObject.kind=Pod"
        return (await client.list_all(WARNINGS, namespace, field_selector=selector)).items
    except ApiError:
        return ()


def _newest(warnings: Iterable[Warning]) -> Mapping[str, Warning]:
    return {one.involved_object.uid: one for one in sorted(warnings, key=lambda one: one.when)}


async def _health(client: Client, name: str) -> str:
    """What is wrong with the node, or "" where nothing is or nobody may say."""
    try:
        node = await client.get(NODE_HEALTH, None, name)
    except ApiError as error:
        return "is gone" if error.status == 404 else ""
    ready = next((condition for condition in node.status.conditions if condition.type == "Ready"), None)
    if ready is None or ready.status == "True":
        return ""
    return f"is not ready ({ready.reason}: {ready.message})" if ready.message else "is not ready"
