"""The plan: what is done now for the ModelInfer and its groups, and when to decide again without being asked."""

from modelinfer_controller.planning.actions import Plan
from modelinfer_controller.planning.disruption_budget import disruption_budget_actions
from modelinfer_controller.planning.needs.group_plans import GroupPlans
from modelinfer_controller.planning.observed import Observed
from modelinfer_controller.planning.pass_limit import Turns, chosen
from modelinfer_controller.planning.progress import Progress
from modelinfer_controller.planning.resolve_revisions import Revisions
from modelinfer_controller.planning.revision_history import expired_revisions, missing_revisions


def plan_of(observed: Observed, revisions: Revisions, plans: GroupPlans, progress: Progress) -> Plan:
    """Empty for a ModelInfer that is being deleted: what it owns goes with it."""
    if observed.owner.metadata.is_terminating:
        return Plan()
    living = {ordinal: needs.plan for ordinal, needs in plans.needs.items()}
    wakes = [plan.wake_at for plan in (*plans.going.values(), *living.values())]
    turns = Turns(observed.deferred_groups, observed.waits_for_quota)
    groups, is_whole = chosen(plans.going, living, plans.groups, turns)
    return Plan(
        revisions=tuple(missing_revisions(observed, revisions, plans.groups.values())),
        budgets=tuple(disruption_budget_actions(observed)),
        groups=groups,
        expired=tuple(expired_revisions(observed, revisions, plans.groups)),
        is_whole=is_whole,
        wake_at=min((at for at in (*wakes, progress.wake_at) if at is not None), default=None),
    )
