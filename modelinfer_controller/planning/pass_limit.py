"""What one pass carries out of a large plan, and in which order: a decision builds no more than is acted on."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from modelinfer_controller.planning.actions import GroupPlan
from modelinfer_controller.planning.at_rest import AtRest
from modelinfer_controller.planning.group import Group
from modelinfer_controller.planning.needs.group_needs import Needs

ACTIONS_PER_PASS = 2048  # then it is decided anew, so that pods that fail meanwhile are heard
MOST_BEGUN = 32  # groups of which nothing but a Service and a PodGroup comes while a quota is full
PROBES = 4  # groups that a pass tries before it gives a kind of write up


def never_made(
    target: range,
    groups: Mapping[int, Group],
    at_rest: AtRest,
    needs: Mapping[int, Needs],
    going: Mapping[int, GroupPlan],
) -> Iterator[int]:
    """Ordinals to create now, lowest first, until a pass has its actions. `needs` may grow while this goes on.

    groups: those that are not at rest.
    """
    count = sum(_size(plan) for plan in (*going.values(), *(one.plan for one in needs.values())))
    there = len(at_rest) + sum(ordinal in target for ordinal in groups)
    if there == len(target):
        return
    for ordinal in target:
        if count >= ACTIONS_PER_PASS:
            return
        if ordinal not in groups and ordinal not in at_rest:
            yield ordinal
            count += max(1, _size(needs[ordinal].plan))


def _size(plan: GroupPlan) -> int:
    return sum(map(len, plan.steps))


@dataclass(frozen=True)
class Turns:
    """Whose turn it is. deferred: groups of which a request was refused, the one that was refused longest ago first.

    waits_for_quota: a quota is full, and another group would be refused like these.
    """

    deferred: Sequence[int] = ()
    waits_for_quota: bool = False

    @cached_property
    def _turn(self) -> Mapping[int, int]:
        return {ordinal: turn for turn, ordinal in enumerate(self.deferred, start=1)}

    def key(self, group: Group) -> tuple[int, bool, int]:
        """Sorts groups: those that were not refused, what there is of them already first, then what is new.

        New groups come from the low and from the high end by turns: where many neighbours are refused, the others are
        found soon. While a quota is full no more than a few are begun, since each has a Service and a PodGroup first.
        """
        turn = self._turn.get(group.ordinal, 0)
        if not turn and self.waits_for_quota and len(self.deferred) >= MOST_BEGUN and not group.exists:
            turn = len(self.deferred) + 1
        is_from_the_end = len(self.deferred) // PROBES % 2 == 1 and not group.pods
        return turn, not group.pods, -group.ordinal if is_from_the_end else group.ordinal


def chosen(
    going: Mapping[int, GroupPlan],
    living: Mapping[int, GroupPlan],
    groups: Mapping[int, Group],
    turns: Turns,
) -> tuple[tuple[GroupPlan, ...], bool]:
    """Whole groups, until a pass has its actions, and whether these are all. What goes makes room and comes first."""
    of_going = sorted(going.values(), key=lambda plan: turns.key(groups[plan.ordinal])[0])
    of_living = sorted(
        (plan for plan in living.values() if plan.steps), key=lambda plan: turns.key(groups[plan.ordinal])
    )
    plans = [plan for plan in (*of_going, *of_living) if plan.steps]
    count = 0
    for position, plan in enumerate(plans):
        if count >= ACTIONS_PER_PASS:
            return tuple(plans[:position]), False
        count += _size(plan)
    return tuple(plans), True
