"""The sum type of everything the controller does to children. A Plan says all of it, in the order it is carried out."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from modelinfer_controller.planning.observed import PodGroupKey
from modelinfer_controller.planning.pod_identity import PodIdentity
from modelinfer_controller.planning.revision import Revision


@dataclass(frozen=True, slots=True)
class CreateRevision:
    """Store a ControllerRevision; nothing that uses it is made before."""

    revision: Revision


@dataclass(frozen=True, slots=True)
class RenumberRevision:
    """Move a stored revision to the top of the history, as after a roll-back; its data stays."""

    name: str
    uid: str
    number: int


@dataclass(frozen=True, slots=True)
class DeleteRevision:
    name: str
    uid: str


@dataclass(frozen=True, slots=True)
class CreatePodGroup:
    group: int
    key: PodGroupKey
    body: Mapping[str, Any] = field(hash=False)


@dataclass(frozen=True, slots=True)
class PatchPodGroup:
    """A merge patch of what differs in meaning."""

    group: int
    key: PodGroupKey
    uid: str
    patch: Mapping[str, Any] = field(hash=False)


@dataclass(frozen=True, slots=True)
class DeletePodGroup:
    group: int
    key: PodGroupKey
    uid: str


@dataclass(frozen=True, slots=True)
class CreateService:
    group: int
    name: str
    body: Mapping[str, Any] = field(hash=False)


@dataclass(frozen=True, slots=True)
class PatchService:
    group: int
    name: str
    uid: str
    patch: Mapping[str, Any] = field(hash=False)


@dataclass(frozen=True, slots=True)
class DeleteService:
    group: int
    name: str
    uid: str


@dataclass(frozen=True, slots=True)
class CreatePod:
    """Make the pod of this identity from a revision; `manifests.pod_body` renders it when it is carried out."""

    identity: PodIdentity
    name: str
    revision: Revision
    incarnation: int


@dataclass(frozen=True, slots=True)
class PatchPodMetadata:
    """Repair labels, note a failure's time, or acknowledge restarts: a merge patch of metadata."""

    identity: PodIdentity
    name: str
    uid: str
    labels: Mapping[str, str | None] = field(default_factory=dict, hash=False)
    annotations: Mapping[str, str | None] = field(default_factory=dict, hash=False)


@dataclass(frozen=True, slots=True)
class DeletePod:
    identity: PodIdentity
    name: str
    uid: str
    reason: str


Action = (
    CreateRevision
    | RenumberRevision
    | DeleteRevision
    | CreatePodGroup
    | PatchPodGroup
    | DeletePodGroup
    | CreateService
    | PatchService
    | DeleteService
    | CreatePod
    | PatchPodMetadata
    | DeletePod
)


@dataclass(frozen=True, slots=True)
class Announcement:
    """Something the user should hear of as an Event on the ModelInfer. type is "Normal" or "Warning"."""

    type: str
    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class Plan:
    """stages are carried out one after the other, the actions of one in parallel, in order of importance.

    An action of a group is skipped when an earlier stage failed one of that group; all are when a revision could not be
    stored. record_first: the status holds rebuild records that must be in the cluster before the first action.
    requeue_at: when to decide again though nothing has changed, or None.
    """

    stages: tuple[tuple[Action, ...], ...] = ()
    record_first: bool = False
    requeue_at: datetime | None = None
    announcements: tuple[Announcement, ...] = ()

    @property
    def actions(self) -> tuple[Action, ...]:
        return tuple(action for stage in self.stages for action in stage)


def group_of(action: Action) -> int | None:
    """The ordinal of the group that an action is for, or None for a revision's."""
    match action:
        case CreatePod() | PatchPodMetadata() | DeletePod():
            return action.identity.group
        case CreateRevision() | RenumberRevision() | DeleteRevision():
            return None
        case _:
            return action.group


def first_portion(plan: Plan, limit: int) -> Plan:
    """The plan for its first groups alone: whole groups, in the order in which the plan comes to them, until there are
    `limit` actions. What is of no group stays in every portion. Equal to the plan where it has no more than that.
    """
    counts: dict[int, int] = {}
    for action in plan.actions:
        group = group_of(action)
        if group is not None:
            counts[group] = counts.get(group, 0) + 1
    chosen: set[int] = set()
    total = 0
    for group, count in counts.items():
        if total >= limit:
            break
        chosen.add(group)
        total += count
    if len(chosen) == len(counts):
        return plan
    stages = (tuple(a for a in stage if (g := group_of(a)) is None or g in chosen) for stage in plan.stages)
    return replace(plan, stages=tuple(stage for stage in stages if stage))
