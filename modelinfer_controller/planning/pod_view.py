"""A pod as decisions see it: a few facts, made once for each state of a pod."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from modelinfer_controller.api import well_known
from modelinfer_controller.api.core import Pod
from modelinfer_controller.api.reasons import Cause
from modelinfer_controller.planning.pod_cause import cause_of_pod
from modelinfer_controller.planning.pod_identity import InstanceKey, PodIdentity, parse_pod_name

EPOCH = datetime.fromtimestamp(0, UTC)


@dataclass(frozen=True, slots=True, eq=False)
class PodView:
    """A pod of ours, reduced to what decisions read. Made once for each state of a pod, and equal to itself alone.

    revision is "" where the label is missing. restarts counts all containers and init containers. failed_at is when
    the failure began that runs against the grace period: as noted on the pod, else as its statuses tell.
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

    @property
    def instance(self) -> InstanceKey:
        return InstanceKey(self.identity.role, self.identity.instance)

    @property
    def has_new_restarts(self) -> bool:
        return self.restart_count > self.acknowledged_restarts


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
        finished_phase=pod.status.phase if pod.status.phase in ("Failed", "Succeeded") else "",
        restart_count=sum(status.restart_count for status in pod.status.all_container_statuses),
        acknowledged_restarts=_count(meta.annotations.get(well_known.ACKNOWLEDGED_RESTARTS, "")),
        failed_at=noted or _failure_time(pod),
        has_failure_note=noted is not None,
        ready_since=ready.last_transition_time if ready is not None and pod.is_ready else None,
        created_at=meta.creation_timestamp or EPOCH,
        is_scheduled=bool(pod.spec.node_name),
        cause=cause_of_pod(pod),
        labels=meta.labels,
    )


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
        for status in pod.status.all_container_statuses
        for terminated in ((status.state.terminated,) if pod.status.phase == "Failed" else ())
        + (status.last_state.terminated,)
        if terminated is not None and terminated.finished_at is not None
    ]
    if not ends and pod.status.phase in ("Failed", "Succeeded"):
        ends = [c.last_transition_time for c in pod.status.conditions if c.last_transition_time is not None]
    return max(ends, default=None)
