"""Kubernetes objects as the caches hold them: only the fields that decisions read.

msgspec Structs: unknown fields are skipped while decoding, which makes a cached pod 20 times smaller than a typed
model. Field names are the API's, in snake_case. Every timestamp is an aware UTC datetime.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Generic, TypeVar

import msgspec

from modelinfer_controller.api.names import ObjectName

EMPTY: Mapping[str, str] = {}


class WireStruct(msgspec.Struct, frozen=True, kw_only=True, rename="camel", gc=False):
    """Base of every cached type: frozen, camelCase on the wire, invisible to the cycle collector."""


class OwnerReference(WireStruct, frozen=True):
    """Who owns an object; at most one owner controls it."""

    api_version: str = ""
    kind: str = ""
    name: str = ""
    uid: str = ""
    controller: bool = False
    block_owner_deletion: bool = False


class ObjectMeta(WireStruct, frozen=True):
    """An object's metadata, as far as anything here reads it."""

    name: str = ""
    namespace: str = ""
    uid: str = ""
    resource_version: str = ""
    generation: int = 0
    creation_timestamp: datetime | None = None
    deletion_timestamp: datetime | None = None
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}
    owner_references: tuple[OwnerReference, ...] = ()
    finalizers: tuple[str, ...] = ()

    @property
    def object_name(self) -> ObjectName:
        return ObjectName(self.namespace, self.name)

    @property
    def is_terminating(self) -> bool:
        return self.deletion_timestamp is not None

    @property
    def controller(self) -> OwnerReference | None:
        """The one owner reference that controls the object, or None."""
        return next((reference for reference in self.owner_references if reference.controller), None)


class KubeObject(WireStruct, frozen=True):
    """What every object has. Also good alone, where only identity matters."""

    api_version: str = ""
    kind: str = ""
    metadata: ObjectMeta = ObjectMeta()


T = TypeVar("T", bound=KubeObject)


class ListMeta(WireStruct, frozen=True):
    """A list's metadata: its resource version, and where it goes on."""

    resource_version: str = ""
    continue_: str = msgspec.field(default="", name="continue")
    remaining_item_count: int | None = None


class ObjectList(WireStruct, Generic[T], frozen=True):
    """One page of a list."""

    metadata: ListMeta = ListMeta()
    items: tuple[T, ...] = ()


class Condition(WireStruct, frozen=True):
    """A pod's or any object's condition; observed_generation is unset where the kind has none."""

    type: str = ""
    status: str = ""
    reason: str = ""
    message: str = ""
    last_transition_time: datetime | None = None
    observed_generation: int | msgspec.UnsetType = msgspec.UNSET


class ContainerStateWaiting(WireStruct, frozen=True):
    """A container that has not started, or waits to start again."""

    reason: str = ""
    message: str = ""


class ContainerStateRunning(WireStruct, frozen=True):
    """A container that runs."""

    started_at: datetime | None = None


class ContainerStateTerminated(WireStruct, frozen=True):
    """A container that has ended."""

    exit_code: int = 0
    signal: int = 0
    reason: str = ""
    message: str = ""
    started_at: datetime | None = None
    finished_at: datetime | None = None


class ContainerState(WireStruct, frozen=True):
    """One of waiting, running and terminated."""

    waiting: ContainerStateWaiting | None = None
    running: ContainerStateRunning | None = None
    terminated: ContainerStateTerminated | None = None


class ContainerStatus(WireStruct, frozen=True):
    """What a kubelet says of one container."""

    name: str = ""
    ready: bool = False
    restart_count: int = 0
    state: ContainerState = ContainerState()
    last_state: ContainerState = ContainerState()


class ResizePolicy(WireStruct, frozen=True):
    """Whether a container restarts when one of its resources is resized."""

    restart_policy: str = ""  # "RestartContainer" or "NotRequired"


class Container(WireStruct, frozen=True):
    """restart_policy is "" where the pod's applies."""

    name: str = ""
    restart_policy: str = ""
    resize_policy: tuple[ResizePolicy, ...] = ()


class PodSpec(WireStruct, frozen=True):
    """A pod's spec, as far as decisions read it."""

    node_name: str = ""
    scheduler_name: str = ""
    restart_policy: str = ""
    init_containers: tuple[Container, ...] = ()
    containers: tuple[Container, ...] = ()


class PodStatus(WireStruct, frozen=True):
    """A pod's status, as far as decisions read it."""

    phase: str = ""
    reason: str = ""
    message: str = ""
    start_time: datetime | None = None
    conditions: tuple[Condition, ...] = ()
    init_container_statuses: tuple[ContainerStatus, ...] = ()
    container_statuses: tuple[ContainerStatus, ...] = ()

    @property
    def all_container_statuses(self) -> tuple[ContainerStatus, ...]:
        """Init containers first. Ephemeral ones are left out: what is attached to a pod is no part of its work."""
        return self.init_container_statuses + self.container_statuses


class Pod(KubeObject, frozen=True):
    """A pod, as far as decisions read it."""

    spec: PodSpec = PodSpec()
    status: PodStatus = PodStatus()

    def condition(self, type_: str) -> Condition | None:
        return next((condition for condition in self.status.conditions if condition.type == type_), None)

    @property
    def is_ready(self) -> bool:
        """Ready as the contract says: not terminating, phase Running, condition Ready=True."""
        ready = self.condition("Ready")
        return (
            not self.metadata.is_terminating
            and self.status.phase == "Running"
            and ready is not None
            and ready.status == "True"
        )


class ServiceSpec(WireStruct, frozen=True):
    """A Service's spec, as far as decisions read it."""

    cluster_ip: str = msgspec.field(default="", name="clusterIP")
    publish_not_ready_addresses: bool = False
    selector: dict[str, str] = {}


class Service(KubeObject, frozen=True):
    """A Service, as far as decisions read it."""

    spec: ServiceSpec = ServiceSpec()


class ControllerRevision(KubeObject, frozen=True):
    """data is kept as the bytes that the server sent: it is compared and decoded, never edited."""

    revision: int = 0
    data: msgspec.Raw = msgspec.Raw(b"{}")


class PodGroupStatus(WireStruct, frozen=True):
    """A PodGroup's status, of either kind."""

    phase: str = ""
    conditions: tuple[Condition, ...] = ()


class PodGroup(KubeObject, frozen=True):
    """A PodGroup of either API, Volcano's or Kubernetes' own; which one, its apiVersion says. spec as plain JSON."""

    spec: dict[str, Any] = {}
    status: PodGroupStatus = PodGroupStatus()


class Taint(WireStruct, frozen=True):
    """What keeps pods off a node."""

    key: str = ""
    effect: str = ""
    time_added: datetime | None = None


class NodeSpec(WireStruct, frozen=True):
    """A node's spec, as far as decisions read it."""

    unschedulable: bool = False
    taints: tuple[Taint, ...] = ()


class NodeStatus(WireStruct, frozen=True):
    """A node's status, as far as decisions read it."""

    conditions: tuple[Condition, ...] = ()


class Node(KubeObject, frozen=True):
    """Labels are what a topology domain is read from; the rest, what says that a node leaves or does not answer."""

    spec: NodeSpec = NodeSpec()
    status: NodeStatus = NodeStatus()

    @property
    def ready(self) -> Condition | None:
        return next((condition for condition in self.status.conditions if condition.type == "Ready"), None)

    @property
    def is_ready(self) -> bool:
        """A node that says nothing of it, as before its first heartbeat, is taken for ready."""
        return self.ready is None or self.ready.status == "True"

    @property
    def not_ready_since(self) -> datetime | None:
        return self.ready.last_transition_time if self.ready is not None and not self.is_ready else None


class LabelSelector(WireStruct, frozen=True):
    """Which objects are meant, by their labels."""

    match_labels: dict[str, str] = {}
    match_expressions: tuple[Any, ...] = ()


class PodDisruptionBudgetSpec(WireStruct, frozen=True):
    """A PodDisruptionBudget's spec, as far as decisions read it."""

    min_available: int | str | None = None
    max_unavailable: int | str | None = None
    selector: LabelSelector = LabelSelector()
    unhealthy_pod_eviction_policy: str = ""


class PodDisruptionBudget(KubeObject, frozen=True):
    """A PodDisruptionBudget, as far as decisions read it."""

    spec: PodDisruptionBudgetSpec = PodDisruptionBudgetSpec()


class Event(KubeObject, frozen=True):
    """An Event, of the core API or of events.k8s.io."""

    reason: str = ""
    message: str = ""
    type: str = ""
    count: int = 1
    last_timestamp: datetime | None = None
    event_time: datetime | None = None
