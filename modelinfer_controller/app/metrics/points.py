"""What is read off the last decision about a ModelInfer: its groups, its update and what its spec holds."""

from collections import Counter
from collections.abc import Iterator

from modelinfer_controller.api.status import ModelInferStatus
from modelinfer_controller.app.metrics.rollouts import is_failed
from modelinfer_controller.app.metrics.series import Point
from modelinfer_controller.planning.conditions import GANG_SCHEDULING
from modelinfer_controller.planning.decide import Decision
from modelinfer_controller.planning.group_phase import GroupPhase, group_phase
from modelinfer_controller.planning.update_rules import condition_of


def points_of(decision: Decision, status: ModelInferStatus) -> Iterator[Point]:
    yield from _group_points(decision)
    yield from _update_points(decision, status)
    gang = condition_of(status.conditions, GANG_SCHEDULING)
    if gang is not None:
        yield "modelinfer_pod_group_kind_missing", (), gang.status == "False"
    yield "modelinfer_info", _info(decision, status), 1


def _group_points(decision: Decision) -> Iterator[Point]:
    tally = Counter(group_phase(decision, ordinal) for ordinal in decision.groups)
    for phase in GroupPhase:
        yield "modelinfer_groups", (phase,), tally[phase]
    yield "modelinfer_groups_desired", (), decision.budget.replicas


def _update_points(decision: Decision, status: ModelInferStatus) -> Iterator[Point]:
    replicas, update = decision.budget.replicas, decision.revisions.update.name
    updated = [group for group in decision.groups.values() if group.revision.name == update]
    done = sum(group.is_available and group.ordinal < replicas for group in updated)
    yield "modelinfer_groups_updated", (), sum(bool(group.live_pods) for group in updated)
    yield "modelinfer_rollout_progress_ratio", (), done / replicas if replicas else 1.0
    yield "modelinfer_rollout_failed", (), is_failed(status)
    yield "modelinfer_paused", (), decision.owner.spec.paused
    yield "modelinfer_partition", (), decision.budget.partition


def _info(decision: Decision, status: ModelInferStatus) -> tuple[str, str, str, str]:
    scheduler = decision.revisions.update.template.gang_scheduler
    policy = decision.owner.spec.recovery_policy
    return status.current_revision, status.update_revision, policy, scheduler.value if scheduler is not None else ""
