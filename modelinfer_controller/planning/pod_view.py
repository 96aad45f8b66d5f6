"""A pod as decisions see it: a few facts, made once for each state of a pod."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from operator import attrgetter

from modelinfer_controller.api import well_known
from modelinfer_controller.api.core import Pod
from modelinfer_controller.api.reasons import Cause
from modelinfer_controller.planning.pod_cause import CRASH_LOOP, cause_of_pod, end_of, unreachable_since, was_killed
from modelinfer_controller.planning.pod_failures import counted_restarts, finished_phase, last_failure_time
from modelinfer_controller.planning.pod_identity import InstanceKey, PodIdentity, parse_pod_name

EPOCH = datetime.fromtimestamp(0, UTC)
LATEST = datetime.max.replace(tzinfo=UTC)
IMAGE_WAITS = frozenset(
    {"", "ContainerCreating", "PodInitializing", "ErrImagePull", "ImagePullBackOff", "ImageInspectError"}
)


@dataclass(frozen=True, slots=True, eq=False)
class PodView:
    """A pod of ours, reduced to what decisions read. Made once for each state of a pod, and equal to itself alone.

    revision is "" where the label is missing. restart_count is of containers and init containers, failures alone; it
    goes down where the kubelet has forgotten containers. failed_at is when the failure began that runs against the
    grace period: as noted on the pod, else as its statuses show. finished_phase is "Failed" too where a container has
    ended that nobody restarts. waits_to_start: for a node, or for its first container's image or volume. end: how it
    came to terminate, where that says more than that it was deleted. is_drained: by the workload's own word.
    unreachable_since: its node, so far as the pod shows it.

    >>> from modelinfer_controller.api.core import ObjectMeta
    >>> view = view_pod("llama", Pod(metadata=ObjectMeta(name="llama-0-decode-0-1")))
    >>> view.identity, view.is_ready, view.waits_to_start
    (PodIdentity(group=0, role='decode', instance=0, worker_index=1), False, True)
    """

    name: str
    uid: str
    identity: PodIdentity
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
    cause: Cause | None
    labels: Mapping[str, str]
    waits_to_start: bool = False
    end: str = ""
    drain_deadline: datetime | None = None
    is_drained: bool = False
    node: str = ""
    unreachable_since: datetime | None = None
    was_killed: bool = False

    def says_same(self, other: "PodView") -> bool:
        return _FACTS(self) == _FACTS(other)

    @property
    def instance(self) -> InstanceKey:
        return InstanceKey(self.identity.role, self.identity.instance)

    @property
    def has_new_restarts(self) -> bool:
        return self.restart_count > self.acknowledged_restarts

    @property
    def has_stale_acknowledgement(self) -> bool:
        """Whether more restarts are acknowledged than there are: the next one would go unseen."""
        return self.restart_count < self.acknowledged_restarts

    @property
    def failure_order(self) -> tuple[datetime, bool, PodIdentity]:
        """Sorts pods by what failed first; in one second a kill comes before the exits that it led to.

        The times in a crash loop are those of its last turn and say nothing: it has been there for longer.
        """
        is_loop = self.cause is not None and self.cause.reason == CRASH_LOOP
        return EPOCH if is_loop else self.failed_at or LATEST, not self.was_killed, self.identity


_FACTS = attrgetter(*(one.name for one in fields(PodView)))


def view_pod(owner: str, pod: Pod) -> PodView | None:
    """The view of a pod that the owner controls, or None if its name has no identity."""
    identity = parse_pod_name(owner, pod.metadata.name)
    if identity is None:
        return None
    meta, ready = pod.metadata, pod.condition("Ready")
    noted = _time(meta.annotations.get(well_known.FAILED_AT, ""))
    return PodView(
        name=meta.name,
        uid=meta.uid,
        identity=identity,
        revision=meta.labels.get(well_known.REVISION, ""),
        incarnation=_count(meta.annotations.get(well_known.INCARNATION, "")),
        is_terminating=meta.is_terminating,
        is_ready=pod.is_ready,
        finished_phase=finished_phase(pod),
        restart_count=counted_restarts(pod),
        acknowledged_restarts=_count(meta.annotations.get(well_known.ACKNOWLEDGED_RESTARTS, "")),
        failed_at=noted or last_failure_time(pod),
        has_failure_note=noted is not None,
        ready_since=ready.last_transition_time if ready is not None and pod.is_ready else None,
        created_at=meta.creation_timestamp or EPOCH,
        is_scheduled=bool(pod.spec.node_name),
        cause=cause_of_pod(pod),
        labels=meta.labels,
        waits_to_start=_waits_to_start(pod),
        end=end_of(pod),
        drain_deadline=_time(meta.annotations.get(well_known.DRAIN_DEADLINE, "")),
        is_drained=meta.annotations.get(well_known.DRAINED) == "true",
        node=pod.spec.node_name,
        unreachable_since=unreachable_since(pod),
        was_killed=was_killed(pod),
    )


def _waits_to_start(pod: Pod) -> bool:
    if pod.metadata.is_terminating or pod.status.phase not in ("", "Pending"):
        return False
    waiting = [one.state.waiting for one in pod.status.all_container_statuses if one.state.waiting is not None]
    return not pod.spec.node_name or not waiting or any(one.reason in IMAGE_WAITS for one in waiting)


def _count(text: str) -> int:
    return int(text) if text.isdecimal() else 0


def _time(text: str) -> datetime | None:
    try:
        return datetime.fromisoformat(text).astimezone(UTC) if text else None
    except ValueError:
        return None  # an annotation that somebody edited is as good as none
