"""What an update has to heed: where it moves groups to, the budget, and what holds it as a whole."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from modelinfer_controller.api.core import Condition
from modelinfer_controller.api.modelinfer import ModelInferSpec
from modelinfer_controller.api.status import ModelInferStatus
from modelinfer_controller.planning.observed import NO_RECORD, Owner
from modelinfer_controller.planning.resolve_revisions import Revisions
from modelinfer_controller.planning.rollout_budget import RolloutBudget, budget_of
from modelinfer_controller.planning.shape import shape_of

UPDATE_IN_PROGRESS = "UpdateInProgress"


class Rule(StrEnum):
    """What an outdated group waits for, in words of the API."""

    AVAILABILITY = "maxUnavailable"  # too few other groups are available
    PACE = "maxUnavailable of updated groups"  # as many updated groups as may be are not available
    PARTITION = "partition"
    PAUSED = "paused"
    HALTED = "progressDeadlineSeconds"
    ONE_AT_A_TIME = "role instances of a group move one at a time"


@dataclass(frozen=True)
class UpdateRules:
    """Names of revisions: update: of the spec; goal: where groups are moved to; current: what the update started from.

    is_rolling: whether an update was under way by the last status; only then are groups beyond replicas its surge, and
    not left over from scaling. hold: why nothing is replaced for an update, or None. goal_is_empty: a group at the goal
    has no pods, and misses none.
    """

    goal: str
    current: str
    update: str
    budget: RolloutBudget
    is_rolling: bool
    hold: Rule | None = None
    goal_is_empty: bool = False

    @property
    def is_rolled_back(self) -> bool:
        """Whether the update has failed, and groups return to where it started."""
        return self.goal != self.update


def update_rules(owner: Owner, revisions: Revisions) -> UpdateRules:
    goal = revisions.goal
    return UpdateRules(
        goal=goal.name,
        current=revisions.current.name,
        update=revisions.update.name,
        budget=budget_of(owner.spec),
        is_rolling=was_updating(owner.status),
        hold=_hold(owner, goal.name),
        goal_is_empty=not shape_of(owner.spec, goal.template, NO_RECORD, (), follows_spec=True).pod_count,
    )


def _hold(owner: Owner, goal: str) -> Rule | None:
    if owner.spec.paused:
        return Rule.PAUSED
    return Rule.HALTED if is_halted(owner.spec, owner.status, goal) else None


def is_halted(spec: ModelInferSpec, status: ModelInferStatus, goal: str) -> bool:
    """Whether the update to this revision had failed by the last status. A changed deadline gives it another chance."""
    clock = status.update_progress
    return (
        clock.has_failed and clock.revision == goal and clock.deadline_seconds == (spec.progress_deadline_seconds or 0)
    )


def was_updating(status: ModelInferStatus) -> bool:
    """Whether an update was under way by the last status."""
    condition = condition_of(status.conditions, UPDATE_IN_PROGRESS)
    return condition is not None and condition.status == "True"


def condition_of(conditions: Iterable[Condition], type_: str) -> Condition | None:
    return next((condition for condition in conditions if condition.type == type_), None)
