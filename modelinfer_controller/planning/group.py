"""One InferGroup as the planner follows it: what it is made from, what there is of it, what was concluded."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cached_property

from modelinfer_controller.api import names
from modelinfer_controller.api.core import PodGroup, Service
from modelinfer_controller.api.status import GroupRecord
from modelinfer_controller.planning import gang
from modelinfer_controller.planning.desired import Desired
from modelinfer_controller.planning.needs.removal import Removal
from modelinfer_controller.planning.observed import PodGroupKey
from modelinfer_controller.planning.pod_identity import InstanceKey
from modelinfer_controller.planning.pod_view import EPOCH, PodView
from modelinfer_controller.planning.recovery_types import NO_RECOVERY, Recovery, incarnation_due
from modelinfer_controller.planning.replacement import OnLeavingNode
from modelinfer_controller.planning.revision import Revision, RevisionTemplate
from modelinfer_controller.planning.shape import RoleShape, Shape, shape_of


@dataclass(frozen=True, eq=False)
class Group:
    """An ordinal that is to exist, or of which anything is left.

    `identify` fills in what is observed and which revision that makes it; `evaluate` adds recovery and availability.

    pods: all that have one of its names, terminating ones too. stored_record: as it is in the status; record: as it is
    to be. is_waiting: for its turn in an update; it is kept as it is, and not scaled. wake_at: when time alone changes
    what was concluded, or None. move: off a leaving node, as it is carried out now; removal: of what drains before it.
    """

    desired: Desired
    ordinal: int
    revision: Revision
    stored_record: GroupRecord
    record: GroupRecord
    pods: tuple[PodView, ...] = ()
    services: tuple[Service, ...] = ()
    pod_groups: tuple[tuple[PodGroupKey, PodGroup], ...] = ()
    is_waiting: bool = False
    recovery: Recovery = NO_RECOVERY
    is_available: bool = False
    wake_at: datetime | None = None
    move: OnLeavingNode | None = None
    removal: Removal | None = None

    @property
    def template(self) -> RevisionTemplate:
        return self.revision.template

    @property
    def owner_name(self) -> str:
        return self.desired.identity.name

    @property
    def name(self) -> str:
        return names.group_name(self.owner_name, self.ordinal)

    @cached_property
    def shape(self) -> Shape:
        return shape_of(self.desired.spec, self.template, self.record, self.pods, follows_spec=not self.is_waiting)

    @cached_property
    def live_pods(self) -> tuple[PodView, ...]:
        return tuple(pod for pod in self.pods if not pod.is_terminating)

    @cached_property
    def own_pods(self) -> tuple[PodView, ...]:
        """Pods of the group's revision; one without a revision label is taken to be of it."""
        return tuple(pod for pod in self.pods if pod.revision in ("", self.revision.name))

    @cached_property
    def condemned(self) -> frozenset[str]:
        """UIDs of pods that a recreation deletes: their incarnation is over."""
        if not self.record.recreations:
            return frozenset()
        record = self.record
        return frozenset(pod.uid for pod in self.own_pods if pod.incarnation < incarnation_due(pod.identity, record))

    @cached_property
    def exists(self) -> bool:
        """Whether it ever was, by what is left of it or what its record says."""
        return bool(self.live_pods) or is_recorded(self.record)

    @property
    def is_final(self) -> bool:
        """Whether the same would be concluded at any other time."""
        return self.recovery.is_final and self.wake_at is None and not self.is_draining and self.move is None

    @cached_property
    def is_draining(self) -> bool:
        return any(pod.drain_deadline is not None for pod in self.live_pods if pod in self.shape)

    @cached_property
    def is_whole(self) -> bool:
        """Whether its pods are just those that it is to have."""
        return len(self.pods) == self.shape.pod_count and all(
            pod in self.shape and not pod.is_terminating for pod in self.pods
        )

    @property
    def is_going_away(self) -> bool:
        """All that is left of it terminates, and nothing says that it is to come back."""
        return bool(self.pods) and not self.live_pods and not is_recorded(self.record)

    def ready_instances(self, role: str) -> int:
        """Complete, ready instances of a role (lower-case name)."""
        return len(self._ready.get(role, {}))

    def is_ready(self, instance: InstanceKey) -> bool:
        """Whether the instance is complete and ready."""
        return instance.instance in self._ready.get(instance.role, {})

    @cached_property
    def _ready(self) -> Mapping[str, Mapping[int, datetime]]:
        return _ready_instances(self)

    def minimum(self, role: RoleShape) -> int:
        """How many instances of a role the group cannot do without."""
        return gang.minimum_instances(self.desired.spec.template.gang_schedule, role.name, role.instances)


def is_recorded(record: GroupRecord) -> bool:
    """Whether the group was seen whole, is being recreated, or is suspended; else it may never have been."""
    was_recreated = any(one.incarnation for one in record.recreations.values())  # else it was only moved off a node
    return any(record.instances.values()) or was_recreated or bool(record.suspended or record.beyond)


def evaluated(group: Group, recovery: Recovery, now: datetime) -> Group:
    """The group with what recovery decided, and with its availability after that.

    A group whose recreation begins now is as good as down: an update must not count on it.
    """
    decided = replace(group, recovery=recovery, record=recovery.record)
    is_available, available_at = _availability(decided, now)
    wakes = [at for at in (recovery.wake_at, available_at) if at is not None]
    return replace(decided, is_available=is_available, wake_at=min(wakes, default=None))


def _availability(group: Group, now: datetime) -> tuple[bool, datetime | None]:
    """Whether every role has its minimum of complete, ready instances.

    And if not, when it has, unless something changes.
    """
    if not group.live_pods and group.shape.pod_count:
        return False, None  # minRoleReplicas of 0 do not make an instance of a model out of nothing
    since = available_since(group)
    if since is None:
        return False, None
    available_at = since + group.desired.min_ready
    return (True, None) if available_at <= now else (False, available_at)


def available_since(group: Group) -> datetime | None:
    """When every role had its minimum of complete, ready instances; None where one has not.

    minReadySeconds come on top.
    """
    ready = _ready_instances(group)
    moments = [EPOCH]
    for name, role in group.shape.roles.items():
        if needed := group.minimum(role):
            found = sorted(ready.get(name, {}).values())
            if len(found) < needed:
                return None
            moments.append(found[needed - 1])
    return max(moments)


def _ready_instances(group: Group) -> dict[str, dict[int, datetime]]:
    """By role (lower-case name) and instance: since when it is complete and ready.

    A pod that drains serves nobody new.
    """
    pods: dict[InstanceKey, list[datetime]] = {}
    for pod in group.own_pods:
        if pod.is_ready and pod.drain_deadline is None and pod in group.shape and pod.uid not in group.condemned:
            pods.setdefault(pod.instance, []).append(pod.ready_since or EPOCH)
    ready: dict[str, dict[int, datetime]] = {}
    for (role, instance), since in pods.items():
        if len(since) == group.shape.roles[role].pods:
            ready.setdefault(role, {})[instance] = max(since)
    return ready
