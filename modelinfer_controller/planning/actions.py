"""The sum type of everything that the controller does to children, and the Plan that says what to do now."""

from collections.abc import Mapping
from dataclasses import dataclass, field
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
    """Let a ControllerRevision go that nothing uses any more."""

    name: str
    uid: str


@dataclass(frozen=True, slots=True)
class CreatePodGroup:
    """Make the PodGroup of a group, before its pods."""

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
    """Delete a PodGroup that the group is not to have."""

    group: int
    key: PodGroupKey
    uid: str


@dataclass(frozen=True, slots=True)
class CreateService:
    """Make the headless Service of a role instance, before its pods."""

    group: int
    name: str
    body: Mapping[str, Any] = field(hash=False)


@dataclass(frozen=True, slots=True)
class PatchService:
    """Put a Service right that somebody has changed."""

    group: int
    name: str
    uid: str
    patch: Mapping[str, Any] = field(hash=False)


@dataclass(frozen=True, slots=True)
class DeleteService:
    """Delete a Service that is not to be, or that only a new one can replace."""

    group: int
    name: str
    uid: str


@dataclass(frozen=True, slots=True)
class CreatePod:
    """Make the pod of an identity from a revision; `manifests.pod_body` renders it when it is carried out.

    is_serving: it has the label of pods that traffic may be sent to.
    """

    identity: PodIdentity
    name: str
    revision: Revision
    incarnation: int
    is_serving: bool = False


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
    """Delete a pod, for this reason."""

    identity: PodIdentity
    name: str
    uid: str
    reason: str


@dataclass(frozen=True, slots=True)
class CreateDisruptionBudget:
    """Make the PodDisruptionBudget of the ModelInfer."""

    name: str
    body: Mapping[str, Any] = field(hash=False)


@dataclass(frozen=True, slots=True)
class PatchDisruptionBudget:
    """A merge patch of what differs in meaning."""

    name: str
    uid: str
    patch: Mapping[str, Any] = field(hash=False)


@dataclass(frozen=True, slots=True)
class DeleteDisruptionBudget:
    """Delete a PodDisruptionBudget that is not to be."""

    name: str
    uid: str


Action = (
    CreateRevision
    | RenumberRevision
    | DeleteRevision
    | CreateDisruptionBudget
    | PatchDisruptionBudget
    | DeleteDisruptionBudget
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
class Event:
    """Something the user should hear of as an Event on the ModelInfer. type is "Normal" or "Warning".

    group: where set, it is told once until that group is available again.
    """

    type: str
    reason: str
    message: str
    group: int | None = None


@dataclass(frozen=True, slots=True)
class GroupPlan:
    """What one group needs now. Steps follow one another, the actions of one run in parallel.

    What builds on an action that failed is not begun: see `depends_on`. needs_record: the status holds a record that
    must be in the cluster before the first action. is_recreating: something of it has failed, and is made again.
    wake_at: when the group is to be looked at again though nothing changes.
    """

    ordinal: int
    steps: tuple[tuple[Action, ...], ...] = ()
    needs_record: bool = False
    is_recreating: bool = False
    wake_at: datetime | None = None

    @property
    def actions(self) -> tuple[Action, ...]:
        return tuple(action for step in self.steps for action in step)


@dataclass(frozen=True, slots=True)
class Plan:
    """What to do now: first what no group may begin without, then the groups side by side, then what is left over.

    revisions: ControllerRevisions to store or renumber. budgets: PodDisruptionBudgets, which nothing waits for.
    groups: in order of importance, those with something to do.
    expired: ControllerRevisions that nothing uses. is_whole: whether these are all groups with something to do, and not
    the first of them. wake_at: when to decide again though nothing has changed, or None.
    """

    revisions: tuple[Action, ...] = ()
    budgets: tuple[Action, ...] = ()
    groups: tuple[GroupPlan, ...] = ()
    expired: tuple[Action, ...] = ()
    is_whole: bool = True
    wake_at: datetime | None = None
    events: tuple[Event, ...] = ()

    @property
    def actions(self) -> tuple[Action, ...]:
        of_groups = (action for group in self.groups for action in group.actions)
        return (*self.revisions, *self.budgets, *of_groups, *self.expired)

    @property
    def needs_record(self) -> bool:
        return any(group.needs_record for group in self.groups)


def group_of(action: Action) -> int | None:
    """The ordinal of the group that an action is for, or None where it is of no group."""
    match action:
        case CreatePod() | PatchPodMetadata() | DeletePod():
            return action.identity.group
        case CreateRevision() | RenumberRevision() | DeleteRevision():
            return None
        case CreateDisruptionBudget() | PatchDisruptionBudget() | DeleteDisruptionBudget():
            return None
        case _:
            return action.group


def name_of(action: Action) -> str:
    """The name of the object that an action is about."""
    match action:
        case CreateRevision(revision):
            return revision.name
        case CreatePodGroup() | PatchPodGroup() | DeletePodGroup():
            return action.key.name
        case _:
            return action.name


VERBS = {"Create": "create", "Patch": "patch", "Delete": "delete", "Renumber": "renumber"}
KINDS = {
    "Pod": "pod",
    "PodMetadata": "pod",
    "Service": "Service",
    "PodGroup": "PodGroup",
    "Revision": "ControllerRevision",
    "DisruptionBudget": "PodDisruptionBudget",
}


def describe(action: Action) -> str:
    """As "create pod m-1-decode-0-0"."""
    word = type(action).__name__
    verb = next(verb for verb in VERBS if word.startswith(verb))
    return f"{VERBS[verb]} {KINDS[word.removeprefix(verb)]} {name_of(action)}"


def depends_on(action: Action, failed: Action) -> bool:
    """Whether an action of a later step must wait because one of the same group, or of the ModelInfer itself, failed.

    A pod waits for its revision, its group's PodGroup and its instance's Service, and a follower for its leader.
    Nothing waits for the patch of something that is there. What clears a group away waits for all deletions of its
    pods.
    """
    match failed, action:
        case CreateRevision(revision), CreatePod():
            return action.revision.name == revision.name
        case (CreatePodGroup() | DeletePodGroup(), CreatePod()):
            return True
        case CreateService(), CreatePod():
            return names_same_instance(failed.name, action)
        case CreatePod(), CreatePod():
            return True
        case DeletePod(), (DeleteService() | DeletePodGroup()):
            return True
        case _:
            return False


def names_same_instance(service: str, pod: CreatePod) -> bool:
    """A Service has the name of its instance's entry pod, which differs from the other pods' in the last number."""
    return service.rpartition("-")[0] == pod.name.rpartition("-")[0]
