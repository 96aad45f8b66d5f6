"""The conditions of a ModelInfer.

Available, Progressing, UpdateInProgress and Ready always; GangScheduling, HandOver, Suspended, Stalled where they
apply. Those of other controllers, by their types, are theirs and stay.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import assert_never

from modelinfer_controller.api.core import Condition
from modelinfer_controller.api.modelinfer import NodeDrainPolicy
from modelinfer_controller.api.reasons import Cause, Reason
from modelinfer_controller.planning import disruption_budget, gang
from modelinfer_controller.planning.cause import Failures, cause_of, clock, delay_cause, failure_text
from modelinfer_controller.planning.decide import Decision
from modelinfer_controller.planning.hand_over import is_moving
from modelinfer_controller.planning.message import cut
from modelinfer_controller.planning.replacement import OnLeavingNode, reason_text
from modelinfer_controller.planning.update import Waiting
from modelinfer_controller.planning.update_rules import UPDATE_IN_PROGRESS, Rule, condition_of

AVAILABLE, PROGRESSING, READY, STALLED = "Available", "Progressing", "Ready", "Stalled"
GANG_SCHEDULING, SUSPENDED, HAND_OVER = "GangScheduling", "Suspended", "HandOver"
OWN_TYPES = frozenset(
    {AVAILABLE, PROGRESSING, UPDATE_IN_PROGRESS, READY, STALLED, GANG_SCHEDULING, SUSPENDED, HAND_OVER}
)
NAMED_GROUPS = 5  # that a message names before it counts the rest
MAX_LENGTH = 1000  # of a message; readers show them in a line


def conditions_of(decision: Decision, facts: "Facts") -> tuple[Condition, ...]:
    """In a fixed order, with their times; then the others' as they are."""
    owner = decision.owner
    available, progressing, updating = _available(facts), _progressing(facts), _update_in_progress(facts)
    stated = [
        available,
        progressing,
        updating,
        _ready(facts, available, progressing, updating),
        *_stalled(facts),
        *_gang_scheduling(decision),
        *_hand_over(decision, facts.failures),
        *_suspended(decision),
    ]
    before, generation = owner.status.conditions, owner.metadata.generation
    others = (condition for condition in before if condition.type not in OWN_TYPES)
    return (*(settle(condition, before, generation, decision.now) for condition in stated), *others)


def settle(condition: Condition, previous: Sequence[Condition], generation: int, now: datetime) -> Condition:
    """The condition with its times: lastTransitionTime moves only when the status does."""
    before = condition_of(previous, condition.type)
    changed = before is None or before.status != condition.status or before.last_transition_time is None
    return Condition(
        type=condition.type,
        status=condition.status,
        reason=condition.reason,
        message=condition.message,
        observed_generation=generation,
        last_transition_time=now.replace(microsecond=0) if changed or before is None else before.last_transition_time,
    )


def condition(type_: str, holds: bool, reason: str, message: str) -> Condition:
    return Condition(type=type_, status="True" if holds else "False", reason=reason, message=cut(message, MAX_LENGTH))


def counted(count: int, noun: str = "group") -> str:
    """As "1 group is" and "2 groups are".

    >>> counted(1), counted(3)
    ('1 group is', '3 groups are')
    """
    return f"{count} {noun} is" if count == 1 else f"{count} {noun}s are"


@dataclass(frozen=True)
class Facts:
    """What several conditions speak of, as the plan leaves it: a group that it takes down is not available any more.

    Else every step of an update would be reported twice, and the Available condition would flicker.
    """

    decision: Decision
    failures: Failures

    @cached_property
    def replaced(self) -> frozenset[int]:
        return frozenset(self.decision.update.replaced)

    def is_available(self, ordinal: int) -> bool:
        if ordinal in self.decision.at_rest:
            return True
        group = self.decision.active.get(ordinal)
        is_kept = ordinal in self.decision.update.target and ordinal not in self.replaced
        return is_kept and group is not None and group.is_available

    def is_at_goal(self, ordinal: int) -> bool:
        group = self.decision.existing(ordinal)
        return (group is not None and group.revision.name == self.decision.rules.goal) or ordinal in self.replaced

    @cached_property
    def available(self) -> frozenset[int]:
        """Of those that are not at rest."""
        return frozenset(ordinal for ordinal in self.decision.active if self.is_available(ordinal))

    def available_count(self, among: range) -> int:
        return self.decision.at_rest.count(among) + sum(ordinal in among for ordinal in self.available)

    @cached_property
    def unavailable_count(self) -> int:
        replicas = self.decision.budget.replicas
        return replicas - self.available_count(range(replicas))

    @cached_property
    def first_unavailable(self) -> Sequence[int]:
        """The first few, lowest first. Complexity: bounded by what exists, for any number of replicas."""
        found: list[int] = []
        for ordinal in range(self.decision.budget.replicas if self.unavailable_count else 0):
            if ordinal not in self.decision.at_rest and ordinal not in self.available:
                found.append(ordinal)
            if len(found) == NAMED_GROUPS:
                break
        return found

    @cached_property
    def causes(self) -> Mapping[int, Cause]:
        return {ordinal: self.cause(ordinal) for ordinal in self.first_unavailable}

    def cause(self, ordinal: int) -> Cause:
        """Of a group that was just taken down no more is to be said than that."""
        return cause_of(self.decision, ordinal, self.failures)

    @cached_property
    def outdated(self) -> Sequence[int]:
        """Groups that the update is still to take down; not those that the partition holds."""
        movable = range(self.decision.budget.partition, self.decision.budget.replicas)
        return [
            o for o, group in self.decision.active.items() if o in movable and group.exists and not self.is_at_goal(o)
        ]

    @cached_property
    def unfinished_count(self) -> int:
        movable = range(self.decision.budget.partition, self.decision.budget.replicas)
        return len(movable) - self.available_count(movable)

    @cached_property
    def leftovers(self) -> Sequence[int]:
        """Groups that are not to be, of which there are still pods."""
        return [ordinal for ordinal in self.decision.update.removed if self.decision.active[ordinal].pods]

    @cached_property
    def held(self) -> Sequence[int]:
        return [waiting.ordinal for waiting in self.decision.update.waiting if waiting.rule is Rule.PARTITION]

    @cached_property
    def resizing(self) -> Sequence[int]:
        """Groups whose pods are not those that they are to have: a role that shrinks leaves its group available."""
        groups = (self.decision.active[ordinal] for ordinal in self.decision.active_needs)
        return [group.ordinal for group in groups if not group.is_waiting and not group.is_whole]

    def explained(self) -> str:
        """Groups by cause; groups beyond the first few are counted."""
        named = "; ".join(f"group {ordinal}: {cause.message}" for ordinal, cause in self.causes.items())
        rest = self.unavailable_count - len(self.causes)
        return f"{cut(named, MAX_LENGTH - 120)}; and {rest} more" if rest else named


def _available(facts: Facts) -> Condition:
    decision, replicas = facts.decision, facts.decision.budget.replicas
    if decision.owner.spec.suspend:
        return condition(
            AVAILABLE, False, SUSPENDED, "the ModelInfer is suspended: it has no groups until it is resumed"
        )
    if not facts.unavailable_count:
        text = f"all {replicas} groups are available" if replicas > 1 else "the group is available"
        return condition(
            AVAILABLE,
            True,
            Reason.ALL_GROUPS_AVAILABLE if replicas else Reason.NO_REPLICAS,
            text if replicas else "no groups are requested",
        )
    first = facts.causes[facts.first_unavailable[0]]
    count = facts.unavailable_count
    text = f"{count} of {replicas} groups {'is' if count == 1 else 'are'} not available: {facts.explained()}"
    return condition(AVAILABLE, False, first.reason, text)


def _progressing(facts: Facts) -> Condition:
    decision = facts.decision
    progress = decision.progress
    if progress.is_halted:
        return condition(PROGRESSING, False, Reason.PROGRESS_DEADLINE_EXCEEDED, _halt_text(decision))
    if facts.outdated and decision.rules.hold is Rule.PAUSED and not facts.unavailable_count:
        return condition(PROGRESSING, False, Reason.PAUSED, _paused_text(facts))
    if facts.outdated and decision.rules.hold is None:
        text = f"{counted(len(facts.outdated))} to be replaced by revision {decision.rules.goal}{_surge_text(facts)}"
        return condition(PROGRESSING, True, Reason.ROLLING_UPDATE, text)
    if facts.unavailable_count:
        return _creating(facts)
    if facts.leftovers:
        return condition(
            PROGRESSING,
            True,
            Reason.SCALING_DOWN,
            f"{counted(len(facts.leftovers))} being removed{_failure_text(facts)}",
        )
    if pending := _pending(facts):
        return condition(PROGRESSING, True, *pending)
    if facts.resizing:
        text = f"pods of {len(facts.resizing)} available groups are being created or removed"
        return condition(PROGRESSING, True, Reason.SCALING_ROLES, text)
    return condition(PROGRESSING, False, Reason.AS_SPECIFIED, "the groups are as specified")


def _creating(facts: Facts) -> Condition:
    reason = facts.causes[facts.first_unavailable[0]].reason
    count = facts.unavailable_count
    if reason in (Reason.NAME_COLLISION, Reason.REVISION_MISSING):
        text = f"{count} {'group' if count == 1 else 'groups'} cannot become available: {facts.explained()}"
        return condition(PROGRESSING, False, reason, text)
    return condition(
        PROGRESSING, True, Reason.GROUPS_PROGRESSING, f"{counted(count)} not available yet: {facts.explained()}"
    )


def _pending(facts: Facts) -> Cause | None:
    """What is going to happen, or fails to, while all groups are available."""
    for ordinal, failure in facts.failures.items():
        where = f"group {ordinal}: " if ordinal is not None else ""
        return Cause(failure.reason, f"{where}{failure_text(failure)}")
    for ordinal, needs in facts.decision.active_needs.items():
        if needs.causes:
            return Cause(needs.causes[0].reason, f"group {ordinal}: {needs.causes[0].message}")
    for ordinal, group in facts.decision.active.items():
        if group.recovery.delayed:
            soonest = min(group.recovery.delayed, key=lambda one: one.due)
            reason, message = delay_cause(soonest)
            return Cause(reason, f"group {ordinal}: {message}")
    return None


def _failure_text(facts: Facts) -> str:
    pending = _pending(facts) if facts.failures else None
    return f"; {pending.message}" if pending else ""


def _surge_text(facts: Facts) -> str:
    """Why an extra group is not available: nothing else says so."""
    replicas = facts.decision.budget.replicas
    extra = [o for o in facts.decision.update.target[replicas:] if not facts.is_available(o)]
    return f"; extra group {extra[0]}: {facts.cause(extra[0]).message}" if extra else ""


def _halt_text(decision: Decision) -> str:
    seconds, goal = decision.progress.clock.deadline_seconds, decision.rules.goal
    return (
        f"no group became available at revision {goal} within {seconds} s (progressDeadlineSeconds); "
        "the controller replaces no more groups until the template or the deadline changes"
    )


def _rollback_text(decision: Decision) -> str:
    revisions = decision.revisions
    return (
        f"revision {revisions.update.name} has failed (progressDeadlineSeconds); "
        f"groups at it return to {revisions.current.name} until the template changes"
    )


def _paused_text(facts: Facts) -> str:
    return (
        f"spec.paused is true: {counted(len(facts.outdated))} kept at another revision than {facts.decision.rules.goal}"
    )


def _update_in_progress(facts: Facts) -> Condition:
    decision, goal = facts.decision, facts.decision.rules.goal
    movable = range(decision.budget.partition, decision.budget.replicas)
    if facts.outdated:
        reason = _hold_reason(decision) or Reason.ROLLING_UPDATE
        text = f"{len(movable) - len(facts.outdated)} of {len(movable)} groups are at revision {goal}"
        return condition(UPDATE_IN_PROGRESS, True, reason, f"{text}{_waiting_text(facts)}{_surge_text(facts)}")
    surge = decision.update.surge
    if facts.replaced or decision.rules.is_rolling:
        if facts.unfinished_count or surge:
            text = f"all groups are at revision {goal}; {counted(facts.unfinished_count)} not available yet"
            return condition(
                UPDATE_IN_PROGRESS,
                True,
                _hold_reason(decision) or Reason.WAITING_FOR_GROUPS,
                f"{text}{_surge_text(facts)}",
            )
        if facts.leftovers:
            extra = "extra group is" if len(facts.leftovers) == 1 else "extra groups are"
            text = f"all groups are at revision {goal}; {len(facts.leftovers)} {extra} being removed"
            return condition(UPDATE_IN_PROGRESS, True, Reason.REMOVING_GROUPS, text)
    if facts.held:
        text = f"{counted(len(facts.held))} kept at their revisions by partition {decision.budget.partition}"
        return condition(UPDATE_IN_PROGRESS, False, Reason.HELD_BY_PARTITION, text)
    return condition(UPDATE_IN_PROGRESS, False, Reason.UP_TO_DATE, f"all groups are at revision {goal}")


def _hold_reason(decision: Decision) -> str:
    if decision.progress.is_halted:
        return Reason.PROGRESS_DEADLINE_EXCEEDED
    return Reason.PAUSED if decision.rules.hold is Rule.PAUSED else ""


def _waiting_text(facts: Facts) -> str:
    waiting = next((one for one in facts.decision.update.waiting if one.rule is not Rule.PARTITION), None)
    return f"; group {waiting.ordinal} waits: {waiting_text(waiting)}" if waiting is not None else ""


def waiting_text(waiting: Waiting) -> str:
    """Why an outdated group is not replaced yet, in words of the API."""
    match waiting.rule:
        case Rule.AVAILABILITY:
            return f"{counted(waiting.count)} available and {waiting.limit} must stay so (maxUnavailable)"
        case Rule.PACE:
            of_limit = f"{waiting.count} of {waiting.limit}" if waiting.count <= waiting.limit else f"{waiting.count}"
            verb = "is" if waiting.count == 1 else "are"
            return f"{of_limit} updated groups that may be unavailable {verb} (maxUnavailable)"
        case Rule.PARTITION:
            return f"partition {waiting.limit} keeps it"
        case Rule.PAUSED:
            return "spec.paused is true"
        case Rule.HALTED:
            return "the update has failed (progressDeadlineSeconds)"
        case Rule.ONE_AT_A_TIME:
            return "another role instance of the group moves first"
        case _:
            assert_never(waiting.rule)


def _ready(facts: Facts, available: Condition, progressing: Condition, updating: Condition) -> Condition:
    """For Flux, Helm, Argo CD and `kubectl wait`. source: kstatus, which takes False for in progress."""
    decision = facts.decision
    if decision.owner.spec.suspend:
        return condition(READY, False, SUSPENDED, available.message)
    if decision.progress.is_halted:
        return condition(READY, False, Reason.PROGRESS_DEADLINE_EXCEEDED, _halt_text(decision))
    if decision.progress.failed_revision:
        return condition(READY, False, Reason.ROLLED_BACK, _rollback_text(decision))
    if facts.outdated and decision.rules.hold is Rule.PAUSED:
        return condition(READY, False, Reason.PAUSED, _paused_text(facts))
    if updating.status == "True":
        return condition(READY, False, Reason.UPDATING, updating.message)
    if moving := hand_over_text(decision):
        return condition(READY, False, Reason.HANDING_OVER, moving)
    if available.status != "True":
        return condition(READY, False, available.reason, available.message)
    if facts.leftovers or facts.resizing:
        return condition(READY, False, progressing.reason, progressing.message)
    return condition(READY, True, available.reason, available.message)


def _stalled(facts: Facts) -> Iterable[Condition]:
    """Present only while it is True: kstatus reads it as failed."""
    decision = facts.decision
    if decision.progress.is_halted:
        yield condition(STALLED, True, Reason.PROGRESS_DEADLINE_EXCEEDED, _halt_text(decision))
    elif decision.progress.failed_revision:
        yield condition(STALLED, True, Reason.ROLLED_BACK, _rollback_text(decision))


def _gang_scheduling(decision: Decision) -> Iterable[Condition]:
    """Whether the PodGroups that gangSchedule asks for can be created; no condition where nobody asks."""
    template = decision.revisions.update.template
    scheduler = template.gang_scheduler
    if scheduler is None:
        return
    support, scheduler_name = decision.observed.gang_support, decision.owner.spec.scheduler_name
    if missing := gang.missing_api_message(scheduler, scheduler_name, support):
        yield condition(GANG_SCHEDULING, False, Reason.POD_GROUP_KIND_MISSING, missing)
    else:
        yield condition(GANG_SCHEDULING, True, Reason.POD_GROUPS_IN_USE, gang.in_use_message(scheduler, template))


def _hand_over(decision: Decision, failures: Failures) -> Iterable[Condition]:
    """Whether groups are handed over from nodes that leave, as nodeDrainPolicy asks; no condition where nobody asks."""
    if decision.owner.spec.node_drain_policy is not NodeDrainPolicy.HAND_OVER:
        return
    if problem := disruption_budget.problem(decision.observed):
        yield condition(HAND_OVER, False, *problem)
    elif not decision.observed.nodes.are_known:
        yield condition(HAND_OVER, False, Reason.NODES_NOT_READ, "the controller has not read the nodes yet")
    elif moving := hand_over_text(decision):
        yield condition(HAND_OVER, True, Reason.HANDING_OVER, moving)
    else:
        yield condition(HAND_OVER, True, Reason.EVICTIONS_WAIT, disruption_budget.IN_FORCE)


def hand_over_text(decision: Decision) -> str:
    """Which groups are still to move off which nodes, and what the next waits for; "" where none is."""
    due = {o: why[-1] for o, why in decision.update.reasons.items() if isinstance(why[-1], OnLeavingNode)}
    under_way = [o for o, group in decision.active.items() if is_moving(group) and o not in due]
    if not due and not under_way:
        return ""
    parts = [f"group {o} {reason_text(why)}" for o, why in list(due.items())[:NAMED_GROUPS]]
    parts += [f"{len(due) - NAMED_GROUPS} more groups are to move"] if len(due) > NAMED_GROUPS else []
    parts += [f"group {o} has moved and is not available yet" for o in under_way[:NAMED_GROUPS]]
    waits = (*decision.update.moves_waiting, *decision.update.waiting)
    waiting = next((one for one in waits if one.ordinal in due and one.rule is not Rule.PARTITION), None)
    parts += [f"group {waiting.ordinal} waits: {waiting_text(waiting)}"] if waiting is not None else []
    return "; ".join(parts)


def _suspended(decision: Decision) -> Iterable[Condition]:
    if decision.owner.spec.suspend:
        text = f"spec.suspend is true: no groups until it is false; spec.replicas stays {decision.owner.spec.replicas}"
        yield condition(SUSPENDED, True, SUSPENDED, text)
    elif condition_of(decision.owner.status.conditions, SUSPENDED) is not None:
        yield condition(SUSPENDED, False, Reason.RESUMED, "spec.suspend is false")


__all__ = ["Facts", "clock", "conditions_of", "hand_over_text", "settle", "waiting_text"]
