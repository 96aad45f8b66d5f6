"""The rolling update: which groups are taken down now, which wait, and for which rule. All budgets live here.

Availability rule: an available group is taken down only if at least `replicas - maxUnavailable` stay available.
Pace rule: an old group is replaced only while fewer than `maxUnavailable` (+ surge in use) groups at the update
revision are not available.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from modelinfer_controller.planning.scale import Budget


@dataclass(frozen=True, slots=True)
class GroupState:
    """One ordinal, as the rollout sees it.

    revision is what its live pods run or, where it has none, what it is to be made at. A group all of whose pods are
    going away has none.
    """

    ordinal: int
    revision: str
    exists: bool
    is_available: bool


class Rule(StrEnum):
    """Why an outdated group is not replaced yet."""

    AVAILABILITY = "availability"
    PACE = "pace"
    PARTITION = "partition"


@dataclass(frozen=True, slots=True)
class Waiting:
    """An outdated group that waits; the numbers are those that the rule compared."""

    ordinal: int
    rule: Rule
    count: int  # AVAILABILITY: groups available now; PACE: updated groups that are not available
    limit: int  # AVAILABILITY: groups that must stay available; PACE: how many may be unavailable


@dataclass(frozen=True, slots=True)
class Rollout:
    """What becomes of each ordinal. Ordinals in `target` are to exist; `replace` and `remove` are taken down now."""

    target: tuple[int, ...]
    replace: tuple[int, ...]
    remove: tuple[int, ...]  # highest first
    waiting: tuple[Waiting, ...]
    surge: int

    def waiting_by_ordinal(self) -> Mapping[int, Waiting]:
        return {waiting.ordinal: waiting for waiting in self.waiting}


def decide(groups: Mapping[int, GroupState], update_revision: str, budget: Budget, surge: int) -> Rollout:
    """Decide from the states of ordinals 0..replicas+surge-1 (each must be there) and of every other that has pods."""
    target = tuple(range(budget.replicas + surge))
    replace, waiting = _replace([groups[ordinal] for ordinal in target], update_revision, budget, surge)
    return Rollout(
        target=target,
        replace=replace,
        remove=tuple(sorted((o for o in groups if o >= len(target)), reverse=True)),
        waiting=waiting,
        surge=surge,
    )


def surge_of(groups: Mapping[int, GroupState], update_revision: str, budget: Budget) -> int:
    """Groups beyond replicas while a rollout is under way, from the states of ordinals 0..replicas-1 (each must be
    there) and of every other that has pods: at most as many as remain to be updated, kept until their places are
    available again.
    """
    movable = [groups[ordinal] for ordinal in range(budget.partition, budget.replicas)]
    outdated = sum(group.exists and group.revision != update_revision for group in movable)
    remaining = sum(group.revision != update_revision or not group.is_available for group in movable)
    in_use = max((ordinal - budget.replicas + 1 for ordinal, group in groups.items() if group.exists), default=0)
    surge = max(min(budget.max_surge, outdated), min(budget.max_surge, remaining, max(in_use, 0)))
    if not remaining:
        return surge
    # The availability rule is for surge groups too: one that no other can stand in for stays a while.
    most = max(surge, min(budget.max_surge, in_use))
    enough = min(budget.replicas - budget.max_unavailable, _available(groups, budget.replicas + most))
    available = _available(groups, budget.replicas + surge)
    while available < enough:
        extra = groups.get(budget.replicas + surge)
        available += extra is not None and extra.is_available
        surge += 1
    return surge


def _available(groups: Mapping[int, GroupState], below: int) -> int:
    """Available groups of the ordinals below this one."""
    return sum(group.is_available for ordinal, group in groups.items() if ordinal < below)


def _replace(
    groups: list[GroupState], update_revision: str, budget: Budget, surge: int
) -> tuple[tuple[int, ...], tuple[Waiting, ...]]:
    outdated = [group for group in groups if group.exists and group.revision != update_revision]
    must_stay = budget.replicas - budget.max_unavailable
    may_be_down = budget.max_unavailable + surge
    available = sum(group.is_available for group in groups)
    down = sum(group.revision == update_revision and not group.is_available for group in groups)
    replace: list[int] = []
    waiting: list[Waiting] = []
    for group in sorted(outdated, key=lambda group: (group.is_available, -group.ordinal)):
        if group.ordinal < budget.partition:
            waiting.append(Waiting(group.ordinal, Rule.PARTITION, group.ordinal, budget.partition))
        elif down >= may_be_down:
            waiting.append(Waiting(group.ordinal, Rule.PACE, down, may_be_down))
        elif group.is_available and available - 1 < must_stay:
            waiting.append(Waiting(group.ordinal, Rule.AVAILABILITY, available, must_stay))
        else:
            replace.append(group.ordinal)
            down += 1
            available -= group.is_available
    return tuple(replace), tuple(waiting)
