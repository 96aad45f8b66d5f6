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


def decide(groups: Mapping[int, GroupState], update_revision: str, budget: Budget, *, is_rolling: bool) -> Rollout:
    """Decide from the states of ordinals 0..replicas-1 (each must be there) and of every other that has pods.

    is_rolling: a rollout had begun and not ended, so groups beyond replicas may be its surge.
    """
    surge = _surge(groups, update_revision, budget) if is_rolling else 0
    target = tuple(range(budget.replicas + surge))
    outdated = [
        groups[ordinal]
        for ordinal in target
        if ordinal in groups and groups[ordinal].exists and groups[ordinal].revision != update_revision
    ]
    replace, waiting = _replace(groups, target, outdated, update_revision, budget, surge)
    return Rollout(
        target=target,
        replace=replace,
        remove=tuple(sorted((o for o in groups if o >= len(target)), reverse=True)),
        waiting=waiting,
        surge=surge,
    )


def _surge(groups: Mapping[int, GroupState], update_revision: str, budget: Budget) -> int:
    """Groups beyond replicas: at most as many as remain to be updated, kept until their places are available again."""
    movable = [groups[ordinal] for ordinal in range(budget.partition, budget.replicas)]
    outdated = sum(group.exists and group.revision != update_revision for group in movable)
    remaining = sum(group.revision != update_revision or not group.is_available for group in movable)
    in_use = max((ordinal - budget.replicas + 1 for ordinal, group in groups.items() if group.exists), default=0)
    return max(min(budget.max_surge, outdated), min(budget.max_surge, remaining, max(in_use, 0)))


def _replace(
    groups: Mapping[int, GroupState],
    target: tuple[int, ...],
    outdated: list[GroupState],
    update_revision: str,
    budget: Budget,
    surge: int,
) -> tuple[tuple[int, ...], tuple[Waiting, ...]]:
    present = [groups[ordinal] for ordinal in target if ordinal in groups]
    must_stay = budget.replicas - budget.max_unavailable
    may_be_down = budget.max_unavailable + surge
    available = sum(group.is_available for group in present)
    down = sum(group.revision == update_revision and not group.is_available for group in present)
    down += len(target) - len(present)  # surge groups that are yet to be made
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
