"""What is replaced now, for an update or a node that leaves; what waits, and for which field. All budgets live here.

maxUnavailable: an available group is taken down only if at least `replicas - maxUnavailable` stay available. And an
outdated group, available or not, is replaced only while fewer than `maxUnavailable` (+ surge in use) groups at the
goal revision are not available: so a bad revision hurts no more than that, and broken old groups never block the fix.

A group on a leaving node moves off it at its own revision under the first rule; one that is not available moves at
once, since nobody misses it. Where it is outdated as well, the update takes it, unless something holds the update.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from modelinfer_controller.planning.replacement import OnLeavingNode, Outdated, ReplacementReason
from modelinfer_controller.planning.rollout_budget import RolloutBudget
from modelinfer_controller.planning.update_rules import Rule, UpdateRules


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
    leaving: OnLeavingNode | None = None  # it has pods on a node that leaves
    is_moving: bool = False  # it was handed over and is not available again


@dataclass(frozen=True, slots=True)
class Waiting:
    """A group that waits to be replaced; the numbers are those that the rule compared."""

    ordinal: int
    rule: Rule
    count: int = 0  # AVAILABILITY: groups available now; PACE: updated groups that are not available
    limit: int = 0  # AVAILABILITY: groups that must stay available; PACE: how many may be unavailable


@dataclass(frozen=True, slots=True)
class Update:
    """What becomes of each ordinal. Those in `target` are to exist; `replaced` and `removed` are taken down now.

    waiting: outdated groups. moved: off leaving nodes now, at their own revision; moves_waiting: those that are to be.
    reasons: of every group that is due to be replaced, now or later; what holds an update back changes none.
    """

    target: range
    replaced: tuple[int, ...]
    removed: tuple[int, ...]  # highest first
    waiting: tuple[Waiting, ...]
    surge: int
    moved: Mapping[int, OnLeavingNode] = field(default_factory=dict)
    moves_waiting: tuple[Waiting, ...] = ()
    reasons: Mapping[int, tuple[ReplacementReason, ...]] = field(default_factory=dict)

    def waiting_by_ordinal(self) -> Mapping[int, Waiting]:
        """Of groups that are due for a node and for the update, what the move waits for."""
        return {waiting.ordinal: waiting for waiting in (*self.waiting, *self.moves_waiting)}


Count = Callable[[range], int]


def plan_update(groups: Mapping[int, GroupState], rules: UpdateRules, at_rest: Count = lambda among: 0) -> Update:
    """Decide from the states of the groups that exist. Other ordinals below replicas never were, and are not available.

    at_rest: how many more of such ordinals are available at the goal revision already, and have no state here.

    >>> old = {ordinal: GroupState(ordinal, "old", exists=True, is_available=True) for ordinal in range(4)}
    >>> budget = RolloutBudget(replicas=4, max_unavailable=1, max_surge=0, partition=1)
    >>> update = plan_update(old, UpdateRules("new", "old", "new", budget, is_rolling=True))
    >>> update.replaced
    (3,)
    >>> [(waiting.ordinal, str(waiting.rule)) for waiting in update.waiting]
    [(2, 'maxUnavailable of updated groups'), (1, 'maxUnavailable of updated groups'), (0, 'partition')]
    """
    budget = rules.budget
    surge = max(_update_surge(groups, rules, at_rest), _move_surge(groups, rules, at_rest))
    target = range(budget.replicas + surge)
    turns = _Turns(groups, target, rules, at_rest)
    return Update(
        target=target,
        replaced=tuple(turns.replaced),
        removed=tuple(sorted((o for o in groups if o not in target), reverse=True)),
        waiting=tuple(turns.waiting),
        surge=len(target) - budget.replicas,
        moved=turns.moved,
        moves_waiting=tuple(turns.moves_waiting),
        reasons=turns.reasons,
    )


def _update_surge(groups: Mapping[int, GroupState], rules: UpdateRules, at_rest: Count) -> int:
    """How many groups beyond replicas there are to be while an update is under way.

    At most as many as remain to be updated, kept until their places are available again.
    """
    if not rules.is_rolling:
        return 0
    budget = rules.budget
    movable = range(budget.partition, budget.replicas)
    states = [groups[ordinal] for ordinal in groups if ordinal in movable]
    outdated = sum(_is_outdated(group, rules) for group in states)
    done = at_rest(movable) + sum(group.revision == rules.goal and group.is_available for group in states)
    remaining = max(0, len(movable) - done)
    if rules.hold is not None:  # no more is made; what is left over from scaling, at another revision, is no surge
        groups = {o: group for o, group in groups.items() if o < budget.replicas or group.revision == rules.goal}
        outdated = 0
    return _surge(groups, budget, outdated, remaining, at_rest)


def _move_surge(groups: Mapping[int, GroupState], rules: UpdateRules, at_rest: Count) -> int:
    """Likewise, while groups are handed over."""
    states = [group for ordinal, group in groups.items() if ordinal < rules.budget.replicas]
    leaving = sum(group.leaving is not None for group in states)
    moving = sum(group.is_moving and group.leaving is None for group in states)
    return _surge(groups, rules.budget, leaving, leaving + moving, at_rest)


def _extra_in_use(groups: Mapping[int, GroupState], budget: RolloutBudget) -> int:
    return max((ordinal - budget.replicas + 1 for ordinal, group in groups.items() if group.exists), default=0)


def _surge(groups: Mapping[int, GroupState], budget: RolloutBudget, due: int, remaining: int, at_rest: Count) -> int:
    """due: groups that are still to be taken down; remaining: those, and the ones that are not available again."""
    in_use = _extra_in_use(groups, budget)
    surge = max(min(budget.max_surge, due), min(budget.max_surge, remaining, max(in_use, 0)))
    if not remaining:
        return surge
    # maxUnavailable holds for surge groups too: one that no other can stand in for stays a while.
    most = max(surge, min(budget.max_surge, in_use))
    enough = min(budget.replicas - budget.max_unavailable, _available(groups, budget.replicas + most, at_rest))
    available = _available(groups, budget.replicas + surge, at_rest)
    while available < enough:
        extra = groups.get(budget.replicas + surge)
        available += extra is not None and extra.is_available
        surge += 1
    return surge


def _is_outdated(group: GroupState, rules: UpdateRules) -> bool:
    return group.exists and group.revision != rules.goal


def _available(groups: Mapping[int, GroupState], below: int, at_rest: Count) -> int:
    """Available groups of the ordinals below this one."""
    return at_rest(range(below)) + sum(group.is_available for ordinal, group in groups.items() if ordinal < below)


class _Turns:
    """Whose turn it is, group by group. down: groups at the goal revision that are not available."""

    def __init__(self, groups: Mapping[int, GroupState], target: range, rules: UpdateRules, at_rest: Count) -> None:
        budget = rules.budget
        of_target = [group for ordinal, group in groups.items() if ordinal in target]
        self.reasons = {group.ordinal: why for group in of_target if (why := reasons_to_replace(group, rules))}
        self.replaced: list[int] = []
        self.waiting: list[Waiting] = []
        self.moved: dict[int, OnLeavingNode] = {}
        self.moves_waiting: list[Waiting] = []
        if not self.reasons:
            return
        self._rules = rules
        self._must_stay = budget.replicas - budget.max_unavailable
        self._may_be_down = budget.max_unavailable + len(target) - budget.replicas
        self._available = at_rest(target) + sum(group.is_available for group in of_target)
        self._down = sum(group.revision == rules.goal and not group.is_available for group in of_target)
        never_made = _never_made(groups, target, rules, at_rest)
        self._down += 0 if rules.goal_is_empty else never_made
        self._available += never_made if rules.goal_is_empty else 0
        for group in sorted((groups[ordinal] for ordinal in self.reasons), key=_turn):
            self._decide(group)

    def _decide(self, group: GroupState) -> None:
        hold = _hold(group, self._rules)
        is_outdated = _is_outdated(group, self._rules)
        if is_outdated and hold is not None:
            self.waiting.append(hold)
        if is_outdated and hold is None:
            self._update(group)
        elif group.leaving is not None:
            self._move(group, group.leaving)

    def _update(self, group: GroupState) -> None:
        if self._down >= self._may_be_down:
            self.waiting.append(Waiting(group.ordinal, Rule.PACE, self._down, self._may_be_down))
        elif self._has_to_stay(group):
            self.waiting.append(Waiting(group.ordinal, Rule.AVAILABILITY, self._available, self._must_stay))
        else:
            self.replaced.append(group.ordinal)
            self._down += 1
            self._available -= group.is_available

    def _move(self, group: GroupState, leaving: OnLeavingNode) -> None:
        if leaving.waits_for:
            self.moves_waiting.append(Waiting(group.ordinal, Rule.ONE_AT_A_TIME))
        elif leaving.is_disruptive and self._has_to_stay(group):
            self.moves_waiting.append(Waiting(group.ordinal, Rule.AVAILABILITY, self._available, self._must_stay))
        else:
            self.moved[group.ordinal] = leaving
            if leaving.is_disruptive and group.is_available:
                self._down += group.revision == self._rules.goal
                self._available -= 1

    def _has_to_stay(self, group: GroupState) -> bool:
        return group.is_available and self._available - 1 < self._must_stay


def reasons_to_replace(group: GroupState, rules: UpdateRules) -> tuple[ReplacementReason, ...]:
    outdated = (Outdated(rules.goal),) if _is_outdated(group, rules) else ()
    return outdated if group.leaving is None else (*outdated, group.leaving)


def _hold(group: GroupState, rules: UpdateRules) -> Waiting | None:
    """What keeps the update from the group, whatever the budget is."""
    if group.ordinal < rules.budget.partition:
        return Waiting(group.ordinal, Rule.PARTITION, group.ordinal, rules.budget.partition)
    return Waiting(group.ordinal, rules.hold) if rules.hold is not None else None


def _turn(group: GroupState) -> tuple[bool, bool, int, int]:
    """Whose drain has begun goes on; then the unavailable, the ones on the most affected node, the highest ordinal."""
    affected = group.leaving.affected if group.leaving is not None else 0
    return not group.is_draining, group.is_available, -affected, -group.ordinal


def _never_made(groups: Mapping[int, GroupState], target: range, rules: UpdateRules, at_rest: Count) -> int:
    """How many ordinals of the target never were and are made at the goal revision: if of pods, not available yet."""
    first = 0 if rules.current == rules.goal else min(rules.budget.partition, len(target))
    known = at_rest(target[first:]) + sum(ordinal in target and ordinal >= first for ordinal in groups)
    return len(target) - first - known
