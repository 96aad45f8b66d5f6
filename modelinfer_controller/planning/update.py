"""The update: which groups are taken down now, which wait, and for which field of the spec. All budgets live here.

maxUnavailable: an available group is taken down only if at least `replicas - maxUnavailable` stay available. And an
outdated group, available or not, is replaced only while fewer than `maxUnavailable` (+ surge in use) groups at the
goal revision are not available: so a bad revision hurts no more than that, and broken old groups never block the fix.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from modelinfer_controller.api.core import Condition
from modelinfer_controller.api.status import ModelInferStatus
from modelinfer_controller.planning.rollout_budget import RolloutBudget

UPDATE_IN_PROGRESS = "UpdateInProgress"


@dataclass(frozen=True, slots=True)
class GroupState:
    """One ordinal, as the update sees it.

    revision is what its live pods run or, where it has none, what it is to be made at. A group all of whose pods are
    going away does not exist.
    """

    ordinal: int
    revision: str
    exists: bool
    is_available: bool
    is_draining: bool = False
    is_leaving: bool = False  # its node is: it is replaced at its own revision


class Rule(StrEnum):
    """What an outdated group waits for, in words of the API."""

    AVAILABILITY = "maxUnavailable"  # too few other groups are available
    PACE = "maxUnavailable of updated groups"  # as many updated groups as may be are not available
    PARTITION = "partition"
    PAUSED = "paused"
    HALTED = "progressDeadlineSeconds"


@dataclass(frozen=True, slots=True)
class Waiting:
    """An outdated group that waits; the numbers are those that the rule compared."""

    ordinal: int
    rule: Rule
    count: int = 0  # AVAILABILITY: groups available now; PACE: updated groups that are not available
    limit: int = 0  # AVAILABILITY: groups that must stay available; PACE: how many may be unavailable


@dataclass(frozen=True, slots=True)
class Update:
    """What becomes of each ordinal. Those in `target` are to exist; `replaced` and `removed` are taken down now."""

    target: range
    replaced: tuple[int, ...]
    removed: tuple[int, ...]  # highest first
    waiting: tuple[Waiting, ...]
    surge: int

    def waiting_by_ordinal(self) -> Mapping[int, Waiting]:
        return {waiting.ordinal: waiting for waiting in self.waiting}


@dataclass(frozen=True)
class UpdateRules:
    """goal: the name of the revision that groups are moved to. new_revision: of what is not held and never was.

    is_rolling: whether an update was under way by the last status; only then are groups beyond replicas its surge, and
    not left over from scaling. hold: why nothing is replaced for an update, or None.
    """

    goal: str
    current: str
    budget: RolloutBudget
    is_rolling: bool
    hold: Rule | None = None


def was_updating(status: ModelInferStatus) -> bool:
    """Whether an update was under way by the last status."""
    condition = condition_of(status.conditions, UPDATE_IN_PROGRESS)
    return condition is not None and condition.status == "True"


def condition_of(conditions: Iterable[Condition], type_: str) -> Condition | None:
    return next((condition for condition in conditions if condition.type == type_), None)


def plan_update(groups: Mapping[int, GroupState], rules: UpdateRules) -> Update:
    """Decide from the states of every group that exists.

    Other ordinals below replicas never were, and are not available.
    """
    budget = rules.budget
    surge = _surge(groups, rules) if rules.is_rolling else 0
    target = range(budget.replicas + surge)
    replaced, waiting = _replaced(groups, target, rules)
    return Update(
        target=target,
        replaced=replaced,
        removed=tuple(sorted((o for o in groups if o not in target), reverse=True)),
        waiting=waiting,
        surge=surge,
    )


def _surge(groups: Mapping[int, GroupState], rules: UpdateRules) -> int:
    """How many groups beyond replicas there are to be while an update is under way.

    At most as many as remain to be updated, kept until their places are available again.
    """
    budget = rules.budget
    movable = range(budget.partition, budget.replicas)
    states = [groups[ordinal] for ordinal in groups if ordinal in movable]
    outdated = sum(_is_outdated(group, rules) for group in states)
    done = sum(group.revision == rules.goal and group.is_available for group in states)
    remaining = max(0, len(movable) - done)
    in_use = max((ordinal - budget.replicas + 1 for ordinal, group in groups.items() if group.exists), default=0)
    if rules.hold is not None:
        return max(0, min(budget.max_surge, in_use))  # what there is stays as it is
    surge = max(min(budget.max_surge, outdated), min(budget.max_surge, remaining, max(in_use, 0)))
    if not remaining:
        return surge
    # maxUnavailable holds for surge groups too: one that no other can stand in for stays a while.
    most = max(surge, min(budget.max_surge, in_use))
    enough = min(budget.replicas - budget.max_unavailable, _available(groups, budget.replicas + most))
    available = _available(groups, budget.replicas + surge)
    while available < enough:
        extra = groups.get(budget.replicas + surge)
        available += extra is not None and extra.is_available
        surge += 1
    return surge


def _is_outdated(group: GroupState, rules: UpdateRules) -> bool:
    return group.exists and group.revision != rules.goal


def _available(groups: Mapping[int, GroupState], below: int) -> int:
    """Available groups of the ordinals below this one."""
    return sum(group.is_available for ordinal, group in groups.items() if ordinal < below)


def _replaced(
    groups: Mapping[int, GroupState], target: range, rules: UpdateRules
) -> tuple[tuple[int, ...], tuple[Waiting, ...]]:
    budget = rules.budget
    of_target = [group for ordinal, group in groups.items() if ordinal in target]
    outdated = [group for group in of_target if _is_outdated(group, rules)]
    if not outdated:
        return (), ()
    must_stay = budget.replicas - budget.max_unavailable
    may_be_down = budget.max_unavailable + len(target) - budget.replicas
    available = sum(group.is_available for group in of_target)
    down = sum(group.revision == rules.goal and not group.is_available for group in of_target)
    down += _never_made(groups, target, rules)
    replaced: list[int] = []
    waiting: list[Waiting] = []
    for group in sorted(outdated, key=_turn):
        if group.ordinal < budget.partition:
            waiting.append(Waiting(group.ordinal, Rule.PARTITION, group.ordinal, budget.partition))
        elif rules.hold is not None:
            waiting.append(Waiting(group.ordinal, rules.hold))
        elif down >= may_be_down:
            waiting.append(Waiting(group.ordinal, Rule.PACE, down, may_be_down))
        elif group.is_available and available - 1 < must_stay:
            waiting.append(Waiting(group.ordinal, Rule.AVAILABILITY, available, must_stay))
        else:
            replaced.append(group.ordinal)
            down += 1
            available -= group.is_available
    return tuple(replaced), tuple(waiting)


def _turn(group: GroupState) -> tuple[bool, bool, int]:
    """Whose drain has begun goes on; then the unavailable, then the highest ordinal."""
    return not group.is_draining, group.is_available, -group.ordinal


def _never_made(groups: Mapping[int, GroupState], target: range, rules: UpdateRules) -> int:
    """Ordinals of the target that never were and are made at the goal revision: they are not available yet."""
    first = 0 if rules.current == rules.goal else min(rules.budget.partition, len(target))
    known = sum(ordinal in target and ordinal >= first for ordinal in groups)
    return len(target) - first - known
