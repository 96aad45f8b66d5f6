"""What one pass carries out of a large plan, and in which order: a decision builds no more than is acted on."""

from collections.abc import Iterator, Mapping, Sequence

from modelinfer_controller.planning.actions import GroupPlan
from modelinfer_controller.planning.group import Group
from modelinfer_controller.planning.needs.group_needs import Needs


def never_made(
    target: range, groups: Mapping[int, Group], needs: Mapping[int, Needs], going: Mapping[int, GroupPlan], most: int
) -> Iterator[int]:
    """Ordinals to create now, lowest first, until there are `most` actions. `needs` may grow while this goes on."""
    count = sum(_size(plan) for plan in (*going.values(), *(one.plan for one in needs.values())))
    for ordinal in target if len(groups) < len(target) else _gaps(target, groups):
        if count >= most:
            return
        if ordinal not in groups:
            yield ordinal
            count += max(1, _size(needs[ordinal].plan))


def _gaps(target: range, groups: Mapping[int, Group]) -> Iterator[int]:
    if any(ordinal not in target for ordinal in groups):
        yield from (ordinal for ordinal in target if ordinal not in groups)


def _size(plan: GroupPlan) -> int:
    return sum(map(len, plan.steps))


def chosen(
    going: Mapping[int, GroupPlan],
    living: Mapping[int, GroupPlan],
    groups: Mapping[int, Group],
    deferred: Sequence[int],
    most: int,
) -> tuple[tuple[GroupPlan, ...], bool]:
    """Whole groups, until there are `most` actions, and whether these are all. What goes makes room and comes first,
    then what there is already, then what is new. Groups of which a request was refused a moment ago come after all
    others.
    """
    turns = {ordinal: turn for turn, ordinal in enumerate(deferred, start=1)}
    of_living = sorted(living.values(), key=lambda plan: (not groups[plan.ordinal].pods, plan.ordinal))
    plans = sorted(
        (plan for plan in (*going.values(), *of_living) if plan.steps), key=lambda plan: turns.get(plan.ordinal, 0)
    )
    count = 0
    for position, plan in enumerate(plans):
        if count >= most:
            return tuple(plans[:position]), False
        count += _size(plan)
    return tuple(plans), True
