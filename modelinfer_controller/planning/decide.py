"""The decision: from what is observed of a ModelInfer, and the time, to what is done now and what its status says.

Everything that decides asks this one function: the controller, `plan`, `explain`, `simulate`, the metrics.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cached_property

from modelinfer_controller.planning import portions
from modelinfer_controller.planning.actions import GroupPlan, Plan
from modelinfer_controller.planning.at_rest import AtRest, joined, still_at_rest
from modelinfer_controller.planning.desired import Desired, Revisions, desired_of, resolve_revisions
from modelinfer_controller.planning.disruption_budget import disruption_budget_actions
from modelinfer_controller.planning.group import Group
from modelinfer_controller.planning.hand_over import forget_returned, hand_over, is_moving, moves_due
from modelinfer_controller.planning.identify import identify_groups, new_group
from modelinfer_controller.planning.memo import memoized
from modelinfer_controller.planning.needs.group_needs import Needs, needs_of, removed, replaced
from modelinfer_controller.planning.observed import Observed, Owner
from modelinfer_controller.planning.progress import Progress, is_halted, progress_of
from modelinfer_controller.planning.recovery import recover
from modelinfer_controller.planning.recovery_limit import limit_recreations
from modelinfer_controller.planning.replacement import OnLeavingNode
from modelinfer_controller.planning.revision_history import expired_revisions, missing_revisions
from modelinfer_controller.planning.rollout_budget import RolloutBudget, budget_of
from modelinfer_controller.planning.update import GroupState, Rule, Update, UpdateRules, plan_update, was_updating

NOTHING_RESERVED: Mapping[tuple[str, str], str] = {}
ACTIONS_PER_PASS = 2048  # then it is decided anew, so that pods that fail meanwhile are heard


@dataclass(frozen=True, eq=False)
class Decision:
    """All that was concluded from one snapshot. `events_of` and `status_of` say it to people.

    at_rest: groups of which there is nothing to do or to say. active: every other ordinal of which there is anything,
    and those that are created now; other ordinals below replicas never were. active_needs: of those that live on.
    plan: what to do now.
    """

    observed: Observed
    now: datetime
    desired: Desired
    at_rest: AtRest
    active: Mapping[int, Group]
    rules: UpdateRules
    update: Update
    progress: Progress
    active_needs: Mapping[int, Needs]
    plan: Plan

    @cached_property
    def groups(self) -> Mapping[int, Group]:
        """Every ordinal of which there is anything, at rest or not, in order."""
        return dict(sorted({**self.at_rest.groups, **self.active}.items()))

    @cached_property
    def needs(self) -> Mapping[int, Needs]:
        """Of every group that lives on."""
        at_rest = {ordinal: Needs(GroupPlan(ordinal), is_final=True) for ordinal in self.at_rest.groups}
        return dict(sorted({**at_rest, **self.active_needs}.items()))

    @property
    def owner(self) -> Owner:
        return self.observed.owner

    @property
    def revisions(self) -> Revisions:
        return self.desired.revisions

    @property
    def budget(self) -> RolloutBudget:
        return self.rules.budget

    def group(self, ordinal: int) -> Group:
        """The group of an ordinal below replicas, also if it never was."""
        return self.existing(ordinal) or new_group(self.desired, ordinal)

    def existing(self, ordinal: int) -> Group | None:
        return self.active.get(ordinal) or self.at_rest.groups.get(ordinal)

    def is_available(self, ordinal: int) -> bool:
        group = self.existing(ordinal)
        return group is not None and group.is_available

    def revision_name(self, ordinal: int) -> str:
        """Of the revision that the group is at or, if it never was, is created at."""
        group = self.existing(ordinal)
        return (group.revision if group is not None else self.desired.revision_for_new(ordinal)).name


def decide(observed: Observed, now: datetime) -> Decision:
    """Decide from one snapshot. Pure: the same snapshot and time give the same decision.

    The plan is empty where the world is as specified, and for a ModelInfer that is being deleted. Time and memory are
    bounded by what exists and by ACTIONS_PER_PASS, whatever numbers the spec holds.
    """
    owner = observed.owner
    revisions = resolve_revisions(observed)
    hold = _hold(owner, revisions)
    desired = desired_of(observed, revisions, holds_updates=hold is not None)
    budget = budget_of(owner.spec)
    at_rest = still_at_rest(observed, desired, budget.replicas)
    groups = {group.ordinal: _recovered(observed, group, now) for group in identify_groups(observed, desired, at_rest)}
    groups = limit_recreations(groups, now)

    is_rolling = was_updating(owner.status)
    rules = UpdateRules(revisions.goal.name, revisions.current.name, budget, is_rolling, hold, desired.goal_is_empty)
    moves = moves_due(owner, groups, observed.nodes, budget)
    states = {ordinal: state_of(group, moves.get(ordinal)) for ordinal, group in groups.items()}
    update = plan_update(states, rules, at_rest.count)
    progress = progress_of(owner, revisions, groups, at_rest, rules, now)
    if progress.has_just_failed:
        update = replace(update, replaced=())

    groups |= {o: hand_over(groups[o], moves[o], observed.nodes, now) for o in update.moved}
    groups |= {o: recover(new_group(desired, o, groups[o]), now) for o in update.replaced if not groups[o].pods}
    going = {o: _taken_down(groups[o], update, now, goal=rules.goal) for o in _going(update, groups)}
    needs = {o: _needed(observed, group, now) for o, group in groups.items() if o not in going}
    for ordinal in portions.never_made(update.target, groups, at_rest, needs, going, ACTIONS_PER_PASS):
        groups[ordinal] = recover(new_group(desired, ordinal), now)
        needs[ordinal] = needs_of(groups[ordinal], observed.reserved or NOTHING_RESERVED, now)

    active = dict(sorted(groups.items()))
    decision = Decision(observed, now, desired, at_rest, active, rules, update, progress, needs, Plan())
    observed.memory.keep_only(active)
    observed.memory.at_rest = joined(at_rest, active, needs, observed, budget.replicas)
    return decision if owner.metadata.is_terminating else replace(decision, plan=_plan(decision, going))


def _hold(owner: Owner, revisions: Revisions) -> Rule | None:
    """Why no group is replaced for an update at all, or None."""
    if owner.spec.paused:
        return Rule.PAUSED
    return Rule.HALTED if is_halted(owner.spec, owner.status, revisions.goal.name) else None


_recover = memoized(recover, is_final=lambda group: group.is_final)
_needs_of = memoized(needs_of, is_final=lambda needs: needs.is_final)


def _recovered(observed: Observed, group: Group, now: datetime) -> Group:
    return _recover(observed.memory, group.ordinal, forget_returned(group, observed.nodes), now=now)


def _needed(observed: Observed, group: Group, now: datetime) -> Needs:
    return _needs_of(observed.memory, group.ordinal, group, observed.reserved or NOTHING_RESERVED, now=now)


def state_of(group: Group, leaving: OnLeavingNode | None = None) -> GroupState:
    return GroupState(
        ordinal=group.ordinal,
        revision=group.revision.name,
        exists=group.exists,
        is_available=group.is_available,
        is_draining=group.is_draining,
        leaving=leaving,
        is_moving=is_moving(group),
    )


def _going(update: Update, groups: Mapping[int, Group]) -> Iterator[int]:
    yield from (ordinal for ordinal in update.replaced if groups[ordinal].pods)
    yield from update.removed


def _taken_down(group: Group, update: Update, now: datetime, *, goal: str) -> GroupPlan:
    if group.ordinal in update.target:
        return replaced(group, goal, now)
    is_suspended = group.desired.spec.suspend
    return removed(group, "the ModelInfer is suspended" if is_suspended else "is of a group beyond spec.replicas", now)


def _plan(decision: Decision, going: Mapping[int, GroupPlan]) -> Plan:
    observed, groups = decision.observed, decision.active
    living = {ordinal: needs.plan for ordinal, needs in decision.active_needs.items()}
    wakes = [plan.wake_at for plan in (*going.values(), *living.values())]
    turns = portions.Turns(observed.deferred_groups, observed.waits_for_quota)
    chosen, is_whole = portions.chosen(going, living, groups, turns, ACTIONS_PER_PASS)
    return Plan(
        revisions=tuple(missing_revisions(observed, decision.revisions, groups.values())),
        budgets=tuple(disruption_budget_actions(observed)),
        groups=chosen,
        expired=tuple(expired_revisions(observed, decision.revisions, groups)),
        is_whole=is_whole,
        wake_at=min((at for at in (*wakes, decision.progress.wake_at) if at is not None), default=None),
    )
