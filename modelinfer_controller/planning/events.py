"""What the user should hear of as Events on the ModelInfer. Texts hold nothing that changes while a thing goes on."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from modelinfer_controller.api.reasons import Reason
from modelinfer_controller.api.status import ModelInferStatus
from modelinfer_controller.planning import gang
from modelinfer_controller.planning.actions import Event
from modelinfer_controller.planning.at_rest import NONE_AT_REST, AtRest
from modelinfer_controller.planning.cause import Failures
from modelinfer_controller.planning.conditions import AVAILABLE, SUSPENDED, Facts
from modelinfer_controller.planning.decide import Decision
from modelinfer_controller.planning.group import Group
from modelinfer_controller.planning.recovery_types import Recreation, scope_text
from modelinfer_controller.planning.replacement import reason_text
from modelinfer_controller.planning.update_rules import UPDATE_IN_PROGRESS, condition_of

# Causes that stay until somebody acts: on nodes, images, templates. What the server refuses has events of its own.
NEEDS_ACTION = frozenset(
    {
        Reason.UNSCHEDULABLE,
        Reason.NODE_NOT_READY,
        "ErrImageNeverPull",
        "ErrImagePull",
        "ImageInspectError",
        "ImagePullBackOff",
        "InvalidImageName",
        "CrashLoopBackOff",
        "CreateContainerConfigError",
        "CreateContainerError",
        "RunContainerError",
    }
)
DONE = (Reason.UP_TO_DATE, Reason.HELD_BY_PARTITION)
ONE_CAUSE = {"ErrImagePull": "ImagePullBackOff"}  # a kubelet shows them in turns


@dataclass(frozen=True, slots=True)
class Before:
    """What was so when events were told last, and no status says.

    available: of the groups that were not at rest. unavailable: groups that were told to be so.
    """

    replicas: int
    available: frozenset[int] = frozenset()
    unavailable: frozenset[int] = frozenset()
    at_rest: AtRest = NONE_AT_REST

    def was_available(self, ordinal: int) -> bool:
        return ordinal in self.available or ordinal in self.at_rest


def events_of(
    decision: Decision, status: ModelInferStatus, failures: Failures, before: Before | None
) -> tuple[tuple[Event, ...], Before]:
    """The events, and what the next call is to be given.

    status: what is going to be written; what happens only once shows as its difference from the last one. before: None
    after a start: nothing is compared with it then.
    """
    facts = Facts(decision, failures)
    now = Before(decision.owner.spec.replicas, facts.available, at_rest=decision.at_rest)
    if decision.owner.metadata.is_terminating:
        return (), now
    before = before or now
    lost = _lost(facts, before)
    events = (
        *_gang_events(decision),
        *_group_events(decision),
        *_stuck(facts),
        *(_group_unavailable(facts, ordinal) for ordinal in lost),
        *_regained(facts, before),
        *_update_events(decision.owner.status, status),
        *_availability(decision.owner.status, status),
        *_scaling(decision, before),
    )
    still = {ordinal for ordinal in before.unavailable if ordinal in decision.active_needs} - facts.available
    return events, replace(now, unavailable=frozenset({*still, *lost}))


def _gang_events(decision: Decision) -> Iterator[Event]:
    scheduler, spec = decision.revisions.update.template.gang_scheduler, decision.owner.spec
    support = decision.observed.gang_support
    if scheduler is not None and (missing := gang.missing_api_message(scheduler, spec.scheduler_name, support)):
        yield Event("Warning", Reason.POD_GROUP_KIND_MISSING, missing)


def _group_events(decision: Decision) -> Iterator[Event]:
    for ordinal, group in decision.active.items():
        if ordinal not in decision.active_needs:
            continue
        if group.move is not None:
            scope = scope_text(ordinal, group.move.scope)
            yield Event("Normal", Reason.HANDING_OVER, f"{scope} {reason_text(group.move)}")
        for recreation in group.recovery.recreations:
            yield Event("Warning", Reason.REBUILDING, _recreation_text(group, recreation))
        for waiting in group.recovery.delayed:
            if waiting.is_backoff:
                where = scope_text(ordinal, waiting.scope)
                why = f"{waiting.trigger.pod} {waiting.trigger.why}"
                yield Event("Warning", Reason.BACK_OFF, f"{where}: the controller recreates it after a back-off: {why}")
        for cause in decision.active_needs[ordinal].causes:
            yield Event("Warning", cause.reason, f"group {ordinal}: {cause.message}")


def _recreation_text(group: Group, recreation: Recreation) -> str:
    where, policy = scope_text(group.ordinal, recreation.scope), group.desired.policy.value
    why = f"{recreation.trigger.pod} {recreation.trigger.why}"
    return f"Recreating {where} (policy {policy}, attempt {recreation.record.attempt}): {why}"


def _stuck(facts: Facts) -> Iterator[Event]:
    """Groups that stay unavailable until somebody acts: the first few."""
    for ordinal, cause in facts.causes.items():
        needs = facts.decision.active_needs.get(ordinal)
        is_refused = not facts.failures.keys().isdisjoint({ordinal, None}) or (needs is not None and needs.causes)
        if cause.reason in NEEDS_ACTION and not is_refused:
            reason = ONE_CAUSE.get(cause.reason, cause.reason)
            yield Event("Warning", reason, f"Group {ordinal} is not available: {reason}", group=ordinal)


def _lost(facts: Facts, before: Before) -> list[int]:
    """Groups that were available and are not, though the controller takes none of them down: the first few."""
    lost = (o for o in facts.first_unavailable if before.was_available(o) and o in facts.decision.active_needs)
    return [o for o in lost if o not in facts.replaced and not facts.decision.active[o].is_draining]


def _group_unavailable(facts: Facts, ordinal: int) -> Event:
    reason = facts.cause(ordinal).reason
    return Event("Normal", Reason.GROUP_UNAVAILABLE, f"Group {ordinal} is not available any more: {reason}")


def _regained(facts: Facts, before: Before) -> Iterator[Event]:
    for ordinal in sorted(before.unavailable & facts.available):
        yield Event("Normal", Reason.GROUP_AVAILABLE, f"Group {ordinal} is available again")


def _availability(before: ModelInferStatus, after: ModelInferStatus) -> Iterator[Event]:
    was, now = condition_of(before.conditions, AVAILABLE), condition_of(after.conditions, AVAILABLE)
    is_new = now is not None and now.status == "True" and (was is None or was.status != "True")
    if now is not None and is_new and now.reason == Reason.ALL_GROUPS_AVAILABLE:
        yield Event("Normal", Reason.ALL_GROUPS_AVAILABLE, "All groups are available")


def _update_events(before: ModelInferStatus, after: ModelInferStatus) -> Iterator[Event]:
    """An update that starts, ends, is paused, halts or is rolled back: each once."""
    was, now = condition_of(before.conditions, UPDATE_IN_PROGRESS), condition_of(after.conditions, UPDATE_IN_PROGRESS)
    if now is None or was is None:
        return
    if now.status == "True" and (was.status != "True" or before.update_revision != after.update_revision):
        yield Event("Normal", Reason.ROLLOUT_STARTED, f"Updating groups to revision {after.update_revision}")
    if after.update_progress.has_failed and not before.update_progress.has_failed:
        what = "return" if after.failed_revision else "update"
        text = f"The {what} to revision {after.update_progress.revision} has failed: no group became available in time"
        yield Event("Warning", Reason.PROGRESS_DEADLINE_EXCEEDED, f"{text}. The controller replaces no more groups")
    if after.failed_revision and not before.failed_revision:
        text = f"The update to revision {after.failed_revision} has failed: no group became available in time"
        yield Event("Warning", Reason.ROLLED_BACK, f"{text}. Groups return to revision {after.current_revision}")
    if now.reason == Reason.PAUSED != was.reason:
        yield Event("Normal", Reason.PAUSED, "The update is paused (spec.paused)")
    if was.reason == Reason.PAUSED != now.reason and now.status == "True":
        yield Event("Normal", Reason.RESUMED, "The update goes on (spec.paused)")
    if was.status == "True" and now.status != "True" and after.failed_revision:
        text = f"Every group has returned to revision {after.current_revision}"
        yield Event("Normal", Reason.ROLLOUT_COMPLETED, text)
    elif was.status == "True" and now.status != "True" and now.reason in DONE:
        held = f"; {now.message}" if now.reason == Reason.HELD_BY_PARTITION else ""
        yield Event(
            "Normal", Reason.ROLLOUT_COMPLETED, f"The update to revision {after.update_revision} is complete{held}"
        )


def _scaling(decision: Decision, before: Before) -> Iterator[Event]:
    owner = decision.owner
    if owner.spec.suspend != was_suspended(owner.status):
        word = Reason.SUSPENDED if owner.spec.suspend else Reason.RESUMED
        yield Event("Normal", word, f"spec.suspend is {str(owner.spec.suspend).lower()}")
    if owner.spec.replicas != before.replicas and not owner.spec.suspend:
        yield Event("Normal", Reason.SCALING, f"Scaling from {before.replicas} to {owner.spec.replicas} groups")


def was_suspended(before: ModelInferStatus) -> bool:
    suspended = condition_of(before.conditions, SUSPENDED)
    return suspended is not None and suspended.status == "True"
