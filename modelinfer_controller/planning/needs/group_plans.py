"""What is done of each group: those that live on get what they need, the others go, and new ones are begun."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime

from modelinfer_controller.planning.actions import GroupPlan
from modelinfer_controller.planning.at_rest import AtRest
from modelinfer_controller.planning.desired import Desired
from modelinfer_controller.planning.group import Group
from modelinfer_controller.planning.hand_over import hand_over
from modelinfer_controller.planning.identify import new_group
from modelinfer_controller.planning.memo import memoized
from modelinfer_controller.planning.needs.group_needs import Needs, needs_of, removed, replaced
from modelinfer_controller.planning.observed import Observed
from modelinfer_controller.planning.pass_limit import never_made
from modelinfer_controller.planning.recovery import recover
from modelinfer_controller.planning.update import Update

NO_CONFLICTS: Mapping[tuple[str, str], str] = {}

_needs_of = memoized(needs_of, is_final=lambda needs: needs.is_final)


@dataclass(frozen=True)
class GroupPlans:
    """By ordinal, in order. groups: those that are not at rest; needs: of the ones that live on; going: of the rest."""

    groups: Mapping[int, Group]
    needs: Mapping[int, Needs]
    going: Mapping[int, GroupPlan]


def plan_groups(
    observed: Observed, desired: Desired, at_rest: AtRest, groups: Mapping[int, Group], update: Update, now: datetime
) -> GroupPlans:
    """groups: that are not at rest. Ordinals that never were join them, as many as a pass has room for."""
    name_conflicts, memory = observed.name_conflicts or NO_CONFLICTS, observed.memory
    after = {**groups, **_moved(observed, groups, update, now), **_begun_anew(desired, groups, update, now)}
    going = {o: _taken_down(after[o], desired, update, now) for o in _going(update, after)}
    needs = {o: _needs_of(memory, o, group, name_conflicts, now=now) for o, group in after.items() if o not in going}
    for ordinal in never_made(update.target, after, at_rest, needs, going):
        after[ordinal] = recover(new_group(desired, ordinal), now)
        needs[ordinal] = needs_of(after[ordinal], name_conflicts, now)
    return GroupPlans(dict(sorted(after.items())), needs, going)


def _moved(observed: Observed, groups: Mapping[int, Group], update: Update, now: datetime) -> Mapping[int, Group]:
    return {o: hand_over(groups[o], leaving, observed.nodes, now) for o, leaving in update.moved.items()}


def _begun_anew(desired: Desired, groups: Mapping[int, Group], update: Update, now: datetime) -> Mapping[int, Group]:
    """Groups that are replaced and of which no pod is left."""
    bare = [ordinal for ordinal in update.replaced if not groups[ordinal].pods]
    return {ordinal: recover(new_group(desired, ordinal, groups[ordinal]), now) for ordinal in bare}


def _going(update: Update, groups: Mapping[int, Group]) -> Iterator[int]:
    yield from (ordinal for ordinal in update.replaced if groups[ordinal].pods)
    yield from update.removed


def _taken_down(group: Group, desired: Desired, update: Update, now: datetime) -> GroupPlan:
    if group.ordinal in update.target:
        return replaced(group, desired.revisions.goal.name, now)
    is_suspended = desired.spec.suspend
    return removed(group, "the ModelInfer is suspended" if is_suspended else "is of a group beyond spec.replicas", now)
