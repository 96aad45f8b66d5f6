"""Corners of the update that no step of the table turns on: how long a surge group stays, and whose turn it is."""

from modelinfer_controller.planning.rollout_budget import RolloutBudget
from modelinfer_controller.planning.update import GroupState, Update, plan_update
from modelinfer_controller.planning.update_rules import Rule, UpdateRules

GOAL, OLD = "goal", "old"


def group(ordinal: int, revision: str = GOAL, *, available: bool = True, draining: bool = False) -> GroupState:
    return GroupState(ordinal, revision, exists=True, is_available=available, is_draining=draining)


def planned(budget: RolloutBudget, *groups: GroupState, current: str = OLD, is_rolling: bool = True) -> Update:
    return plan_update({one.ordinal: one for one in groups}, UpdateRules(GOAL, current, GOAL, budget, is_rolling))


def test_where_nothing_is_outdated_a_missing_group_gets_no_surge() -> None:
    assert planned(RolloutBudget(2, 0, 2, 0), group(0), group(1, available=False)).surge == 0


def test_no_more_surge_groups_stay_than_max_unavailable_needs() -> None:
    update = planned(RolloutBudget(2, 1, 2, 0), group(0), group(1, available=False), group(2), group(3))
    assert (update.surge, update.removed) == (1, (3,))


def test_a_surge_group_beyond_an_unavailable_one_stays_where_it_is_needed() -> None:
    waits = group(1, available=False), group(2, available=False)
    update = planned(RolloutBudget(2, 0, 2, 0), group(0), *waits, group(3))
    assert (update.surge, update.removed) == (2, ())
    update = planned(RolloutBudget(2, 0, 3, 0), group(0), *waits, group(3, available=False), group(4))
    assert (update.surge, update.removed) == (3, ())


def test_a_group_whose_drain_has_begun_goes_on_before_another_that_is_not_available_either() -> None:
    draining = group(0, OLD, available=False, draining=True)
    update = planned(RolloutBudget(3, 1, 0, 0), draining, group(1, OLD), group(2, OLD, available=False))
    assert update.replaced == (0,)


def test_a_group_that_never_was_counts_where_it_is_made_at_the_goal_revision() -> None:
    budget = RolloutBudget(3, 1, 0, 2)
    waits = planned(budget, group(1), group(2, OLD, available=False), current=GOAL)
    assert (waits.replaced, [one.rule for one in waits.waiting]) == ((), [Rule.PACE])
    goes = planned(budget, group(1, OLD), group(2, OLD, available=False), current=OLD)
    assert goes.replaced == (2,), "ordinal 0 is made at the revision that the partition keeps"
