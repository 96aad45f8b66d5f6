"""`rollout status`: how far a rollout is, and when it is stuck."""

from datetime import datetime, timedelta
from enum import StrEnum

from modelinfer_controller.api.reasons import Reason
from modelinfer_controller.kubectl.model.diagnostics import Diagnostics
from modelinfer_controller.kubectl.model.document import Document
from modelinfer_controller.kubectl.model.explanation import explain
from modelinfer_controller.kubectl.model.forecast import Forecast, forecast
from modelinfer_controller.kubectl.model.remarks import NOT_SEEN, STALLED, is_paused, remarks_of
from modelinfer_controller.kubectl.model.snapshot import Snapshot
from modelinfer_controller.planning.preview import is_as_specified

# Causes that pass by themselves: others that stay for a while make a rollout stuck.
PASSING = frozenset(
    {
        Reason.CREATING_PODS,
        Reason.SCHEDULING,
        Reason.CONTAINER_CREATING,
        Reason.PODS_NOT_READY,
        Reason.CONTAINER_RESTARTED,
        Reason.WAITING_FOR_ENTRY_POD,
        Reason.WAITING_FOR_GRACE_PERIOD,
        Reason.WAITING_FOR_MIN_READY_SECONDS,
        Reason.WAITING_FOR_TERMINATION,
        Reason.DRAINING,
        Reason.HANDING_OVER,
    }
)


class RolloutState(StrEnum):
    """What a rollout is in. COMPLETE and PROGRESSING are exit code 0, the others 1."""

    COMPLETE = "Complete"
    PROGRESSING = "Progressing"
    PAUSED = "Paused"
    STUCK = "Stuck"
    INVALID = "InvalidSpec"
    DELETING = "Deleting"


class RolloutStatus(Document, frozen=True):
    """How far a rollout is.

    updated, available: groups of the spec; movable: those that the partition does not hold. seconds: an estimate of
    what is left, None where nothing tells. reason and message: of the first group that is not available, or of what
    else stands in the way, "" without; since: how long it has been so.
    """

    namespace: str
    name: str
    state: RolloutState
    is_done: bool
    is_paused: bool
    replicas: int
    movable: int
    updated: int
    available: int
    revision: str
    seconds: float | None
    reason: str
    message: str
    since: datetime | None = None

    @property
    def has_failed(self) -> bool:
        return self.state not in (RolloutState.COMPLETE, RolloutState.PROGRESSING)

    @property
    def is_hard(self) -> bool:
        """Whether what keeps the rollout is of the kind that somebody must clear away."""
        return bool(self.reason) and self.reason not in PASSING


def rollout_status(snapshot: Snapshot, stuck_after: timedelta = timedelta(seconds=30)) -> RolloutStatus:
    """stuck_after: how long a cause that does not pass by itself may stay."""
    found, meta = snapshot.decision, snapshot.stored.metadata
    budget, update = found.budget, found.revisions.update.name
    movable = range(min(budget.partition, budget.replicas), budget.replicas)
    updated = sum(found.revision_name(o) == update and found.groups[o].exists for o in movable)
    is_seen = snapshot.stored.status.observed_generation >= meta.generation
    is_returned = bool(found.progress.failed_revision)  # what the spec asks for has failed
    is_whole = is_as_specified(found) and not is_returned
    is_done = is_seen and is_whole and not snapshot.violations and not meta.is_terminating
    is_outdated = any(found.revision_name(o) != update for o in range(budget.replicas))
    is_held = is_paused(snapshot) and is_outdated
    reason, message, since = _cause(snapshot, is_done and not is_held)
    left = _forecast(snapshot) if not (is_done or is_held or is_returned) else None
    status = RolloutStatus(
        namespace=meta.namespace,
        name=meta.name,
        state=RolloutState.PROGRESSING,
        is_done=is_done and not is_held,
        is_paused=is_held,
        replicas=budget.replicas,
        movable=len(movable),
        updated=updated,
        available=sum(found.is_available(o) for o in range(budget.replicas)),
        revision=update,
        seconds=left.seconds if left is not None and not left.obstacle else None,
        reason=reason,
        message=message,
        since=since,
    )
    return _with_state(status, snapshot, stuck_after)


def _forecast(snapshot: Snapshot) -> Forecast | None:
    """None where the controller makes nothing more."""
    if snapshot.violations or snapshot.stored.metadata.is_terminating:
        return None
    return forecast(snapshot.observed, snapshot.decision, ())


def _with_state(status: RolloutStatus, snapshot: Snapshot, stuck_after: timedelta) -> RolloutStatus:
    import msgspec

    return msgspec.structs.replace(status, state=_state(status, snapshot, stuck_after))


def _state(status: RolloutStatus, snapshot: Snapshot, stuck_after: timedelta) -> RolloutState:
    if snapshot.stored.metadata.is_terminating:
        return RolloutState.DELETING
    if snapshot.violations:
        return RolloutState.INVALID
    if status.is_paused:
        return RolloutState.PAUSED
    if status.is_done:
        return RolloutState.COMPLETE
    lasted = snapshot.now - status.since if status.since is not None else timedelta(0)
    is_stalled = any(c.type == STALLED and c.status == "True" for c in snapshot.stored.status.conditions)
    return RolloutState.STUCK if is_stalled or (status.is_hard and lasted >= stuck_after) else RolloutState.PROGRESSING


def _cause(snapshot: Snapshot, is_done: bool) -> tuple[str, str, datetime | None]:
    if snapshot.stored.metadata.is_terminating:
        return "Deleting", "the ModelInfer is being deleted", snapshot.stored.metadata.deletion_timestamp
    if snapshot.violations:
        return "InvalidSpec", "; ".join(map(str, snapshot.violations)), None
    stalled = next((c for c in snapshot.stored.status.conditions if c.type == STALLED and c.status == "True"), None)
    if stalled is not None:
        return stalled.reason, stalled.message, stalled.last_transition_time
    if is_done:
        return "", "", None
    if first := next(iter(explain(snapshot, Diagnostics()).groups), None):
        return first.reason, first.message, first.since
    remark = next((one for one in remarks_of(snapshot) if one.reason in (NOT_SEEN, Reason.PAUSED)), None)
    return (remark.reason, remark.message, None) if remark is not None else ("", "", None)
