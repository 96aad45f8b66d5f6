"""`rollout status`: how far a rollout is, and when it is stuck."""

from modelinfer_controller.api import well_known
from modelinfer_controller.kubectl.model.diagnostics import Diagnostics
from modelinfer_controller.kubectl.model.document import Document
from modelinfer_controller.kubectl.model.explanation import explain
from modelinfer_controller.kubectl.model.forecast import forecast
from modelinfer_controller.kubectl.model.snapshot import Snapshot
from modelinfer_controller.planning.preview import is_as_specified

# Causes that pass by themselves: others that stay for a while make a rollout stuck.
PASSING = frozenset(
    {
        "CreatingPods",
        "WaitingForTermination",
        "Scheduling",
        "PodsNotReady",
        "WaitingForGracePeriod",
        "ContainerRestarted",
    }
)


class RolloutStatus(Document, frozen=True):
    """updated, available: groups of the spec; movable: those that the partition does not hold. seconds: an estimate of
    what is left, None where nothing tells. reason and message: of the first group that is not available, "" without."""

    namespace: str
    name: str
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


def rollout_status(snapshot: Snapshot) -> RolloutStatus:
    found, meta = snapshot.assessment, snapshot.stored.metadata
    budget, update = found.budget, found.update.name
    movable = range(min(budget.partition, budget.replicas), budget.replicas)
    updated = sum(found.states[o].revision == update and found.states[o].exists for o in movable)
    available = sum(found.states[o].is_available for o in range(budget.replicas))
    is_seen = snapshot.stored.status.observed_generation >= meta.generation
    is_done = is_seen and is_as_specified(found)
    paused = well_known.PAUSED_PARTITION in meta.annotations
    first = next(iter(explain(snapshot, Diagnostics()).groups), None) if not is_done else None
    left = forecast(snapshot.observed, found, ()) if not is_done and not snapshot.violations else None
    return RolloutStatus(
        namespace=meta.namespace,
        name=meta.name,
        is_done=is_done,
        is_paused=paused and any(found.states[o].revision != update for o in range(budget.replicas)),
        replicas=budget.replicas,
        movable=len(movable),
        updated=updated,
        available=available,
        revision=update,
        seconds=left.seconds if left is not None and not left.obstacle else None,
        reason=first.reason if first is not None else "",
        message=first.message if first is not None else "",
    )


def is_hard(status: RolloutStatus) -> bool:
    """Whether what keeps the rollout is of the kind that somebody must clear away."""
    return bool(status.reason) and status.reason not in PASSING
