"""What the cluster shows of one ModelInfer, frozen: the only thing, with the time, that decisions are made from.

A pod's place is read from its name, which nobody can edit; labels that say otherwise are repaired.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property, lru_cache
from typing import NamedTuple

from modelinfer_controller.api import names, well_known
from modelinfer_controller.api.core import ContainerStatus, ObjectMeta, Pod, PodGroup, Service
from modelinfer_controller.api.modelinfer import ModelInferSpec
from modelinfer_controller.api.status import GroupRecord, ModelInferStatus
from modelinfer_controller.planning.revision import GangScheduler, Revision

EPOCH = datetime.fromtimestamp(0, UTC)
PLACE_PATTERN = re.compile(r"(\d+)-(.+)-(\d+)-(\d+)")


class Place(NamedTuple):
    """Where a pod belongs. role is the lower-case form; worker_index 0 is the entry pod."""

    group: int
    role: str
    instance: int
    worker_index: int


class InstanceKey(NamedTuple):
    """A role instance within its group; role is the lower-case form."""

    role: str
    instance: int

    def __str__(self) -> str:
        return f"{self.role}-{self.instance}"


class Trouble(NamedTuple):
    """Why a pod is not ready, in the cluster's own words."""

    reason: str
    message: str


@lru_cache(maxsize=65536)
def place_of(owner: str, pod: str) -> Place | None:
    """The place that a pod's name says, or None for a name that is not one of the owner's."""
    match = PLACE_PATTERN.fullmatch(pod, len(owner) + 1) if pod.startswith(f"{owner}-") else None
    if match is None:
        return None
    place = Place(int(match[1]), match[2], int(match[3]), int(match[4]))
    return place if names.pod_name(owner, *place) == pod else None  # "m-00-..." is a name that we would not give


@dataclass(frozen=True, slots=True, eq=False)
class PodView:
    """A pod of ours, reduced to what decisions read. Made once for each state of a pod, and equal to itself alone.

    revision is "" where the label is missing. restarts counts all containers and init containers. failed_at is when
    the failure began that runs against the grace period: as noted on the pod, else as its statuses tell.
    """

    name: str
    uid: str
    place: Place
    revision: str
    incarnation: int
    is_terminating: bool
    is_ready: bool
    finished_phase: str  # "Failed", "Succeeded" or ""
    restart_count: int
    acknowledged_restarts: int
    failed_at: datetime | None
    has_failure_note: bool
    ready_since: datetime | None
    created_at: datetime
    is_scheduled: bool
    trouble: Trouble | None
    labels: Mapping[str, str]

    @property
    def instance(self) -> InstanceKey:
        return InstanceKey(self.place.role, self.place.instance)

    @property
    def has_new_restarts(self) -> bool:
        return self.restart_count > self.acknowledged_restarts


def view_pod(owner: str, pod: Pod) -> PodView | None:
    """The view of a pod that the owner controls, or None if its name has no place."""
    place = place_of(owner, pod.metadata.name)
    if place is None:
        return None
    meta, ready = pod.metadata, pod.condition("Ready")
    noted = _time(meta.annotations.get(well_known.FAILED_AT, ""))
    return PodView(
        name=meta.name,
        uid=meta.uid,
        place=place,
        revision=meta.labels.get(well_known.REVISION, ""),
        incarnation=_count(meta.annotations.get(well_known.INCARNATION, "")),
        is_terminating=meta.is_terminating,
        is_ready=pod.is_ready,
        finished_phase=pod.status.phase if pod.status.phase in ("Failed", "Succeeded") else "",
        restart_count=sum(status.restart_count for status in _container_statuses(pod)),
        acknowledged_restarts=_count(meta.annotations.get(well_known.ACKNOWLEDGED_RESTARTS, "")),
        failed_at=noted or _failure_time(pod),
        has_failure_note=noted is not None,
        ready_since=ready.last_transition_time if ready is not None and pod.is_ready else None,
        created_at=meta.creation_timestamp or EPOCH,
        is_scheduled=bool(pod.spec.node_name),
        trouble=trouble_of(pod),
        labels=meta.labels,
    )


def _container_statuses(pod: Pod) -> tuple[ContainerStatus, ...]:
    return pod.status.init_container_statuses + pod.status.container_statuses


def _count(text: str) -> int:
    return int(text) if text.isdecimal() else 0


def _time(text: str) -> datetime | None:
    try:
        return datetime.fromisoformat(text).astimezone(UTC) if text else None
    except ValueError:
        return None  # an annotation that somebody edited is as good as none


def _failure_time(pod: Pod) -> datetime | None:
    """When the pod's last failure happened, by its container statuses; for a finished pod also by its conditions."""
    ends = [
        terminated.finished_at
        for status in _container_statuses(pod)
        for terminated in ((status.state.terminated,) if pod.status.phase == "Failed" else ())
        + (status.last_state.terminated,)
        if terminated is not None and terminated.finished_at is not None
    ]
    if not ends and pod.status.phase in ("Failed", "Succeeded"):
        ends = [c.last_transition_time for c in pod.status.conditions if c.last_transition_time is not None]
    return max(ends, default=None)


WAITS_FOR_ITS_GANG = "Schedulable"  # Volcano has a node for the pod; what is wrong is wrong with the others


def trouble_of(pod: Pod) -> Trouble | None:
    """The first cause that keeps a pod from being ready, or None where it is ready or merely on its way."""
    if pod.is_ready or pod.metadata.is_terminating:
        return None
    if pod.status.phase in ("Failed", "Succeeded"):
        return _finished_trouble(pod)
    scheduled = pod.condition("PodScheduled")
    if scheduled is not None and scheduled.status == "False" and scheduled.reason != WAITS_FOR_ITS_GANG:
        return Trouble(scheduled.reason or "Unschedulable", scheduled.message)
    for status in _container_statuses(pod):
        if (trouble := _container_trouble(status)) is not None:
            return trouble
    return None


def _finished_trouble(pod: Pod) -> Trouble:
    ended = [s for s in _container_statuses(pod) if s.state.terminated is not None and s.state.terminated.exit_code]
    detail = f"{pod.status.message} {_exit_text(ended[0])}" if ended else pod.status.message
    return Trouble(pod.status.reason or f"Pod{pod.status.phase}", detail.strip() or f"phase {pod.status.phase}")


QUIET_WAITS = frozenset({"", "ContainerCreating", "PodInitializing"})


def _container_trouble(status: ContainerStatus) -> Trouble | None:
    waiting = status.state.waiting
    if waiting is not None and waiting.reason not in QUIET_WAITS:
        detail = f"container {status.name}: {waiting.message}" if waiting.message else f"container {status.name}"
        return Trouble(waiting.reason, f"{detail} {_exit_text(status)}".strip())
    if status.restart_count and not status.ready and status.last_state.terminated is not None:
        return Trouble("ContainerRestarted", f"container {status.name} {_exit_text(status)}")
    return None


def _exit_text(status: ContainerStatus) -> str:
    terminated = status.state.terminated or status.last_state.terminated
    if terminated is None:
        return ""
    reason = f" ({terminated.reason})" if terminated.reason else ""
    return f"(container {status.name} last exited with code {terminated.exit_code}{reason})"


class PodGroupKey(NamedTuple):
    scheduler: GangScheduler
    name: str


@dataclass(frozen=True, slots=True)
class GangSupport:
    """Which PodGroup APIs the server serves."""

    volcano: bool = False
    kubernetes: bool = False

    def serves(self, scheduler: GangScheduler) -> bool:
        return self.volcano if scheduler is GangScheduler.VOLCANO else self.kubernetes


@dataclass(frozen=True)
class Owner:
    """The ModelInfer itself. spec_json is the stored spec, byte for byte; status what was last written."""

    metadata: ObjectMeta
    spec: ModelInferSpec
    spec_json: bytes
    status: ModelInferStatus

    @property
    def name(self) -> str:
        return self.metadata.name

    @property
    def namespace(self) -> str:
        return self.metadata.namespace

    def record(self, group: int) -> GroupRecord:
        return self.status.groups.get(str(group), NO_RECORD)


NO_RECORD = GroupRecord()


@dataclass(frozen=True)
class Observed:
    """One snapshot of a ModelInfer's world: children that it controls, and whose names others have taken.

    reserved maps a Kubernetes kind and object name to a few words on who bears it: an object that another owner
    controls, or nobody.
    """

    owner: Owner
    pods: tuple[PodView, ...] = ()
    services: Mapping[str, Service] = field(default_factory=dict)
    pod_groups: Mapping[PodGroupKey, PodGroup] = field(default_factory=dict)
    revisions: tuple[Revision, ...] = ()
    reserved: Mapping[tuple[str, str], str] = field(default_factory=dict)
    gang_support: GangSupport = GangSupport()

    @cached_property
    def pods_by_group(self) -> Mapping[int, tuple[PodView, ...]]:
        by_group: dict[int, list[PodView]] = {}
        for pod in self.pods:
            by_group.setdefault(pod.place.group, []).append(pod)
        return {group: tuple(sorted(pods, key=lambda pod: pod.place)) for group, pods in by_group.items()}

    @cached_property
    def services_by_group(self) -> Mapping[int, tuple[Service, ...]]:
        """Services by the ordinal that their name says, in the order of their names; going away ones among them."""
        by_group: dict[int, list[Service]] = {}
        for name in sorted(self.services):
            place = place_of(self.owner.name, name)
            if place is not None:
                by_group.setdefault(place.group, []).append(self.services[name])
        return {group: tuple(services) for group, services in by_group.items()}

    def pod_groups_of(self, group: int) -> list[tuple[PodGroupKey, PodGroup]]:
        """The group's PodGroups of either kind that are not going away."""
        return [(key, stored) for key, stored in self.all_pod_groups_of(group) if not stored.metadata.is_terminating]

    def all_pod_groups_of(self, group: int) -> list[tuple[PodGroupKey, PodGroup]]:
        """The group's PodGroups of either kind, going away ones among them."""
        if not self.pod_groups:
            return []
        keys = (PodGroupKey(scheduler, names.group_name(self.owner.name, group)) for scheduler in GangScheduler)
        return [(key, self.pod_groups[key]) for key in keys if key in self.pod_groups]

    @cached_property
    def revision_by_name(self) -> Mapping[str, Revision]:
        return {revision.name: revision for revision in self.revisions}

    def reserved_by(self, kind: str, name: str) -> str:
        """Who bears the name in the way, or "" if nobody does."""
        return self.reserved.get((kind, name), "")
