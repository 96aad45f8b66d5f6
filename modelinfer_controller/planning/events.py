"""What the user should hear of as Events on the ModelInfer. Texts hold nothing that changes while a thing goes on."""

from collections.abc import Iterator

from modelinfer_controller.api.reasons import Reason
from modelinfer_controller.api.status import ModelInferStatus
from modelinfer_controller.planning import gang
from modelinfer_controller.planning.actions import Event
from modelinfer_controller.planning.conditions import SUSPENDED
from modelinfer_controller.planning.decide import Decision
from modelinfer_controller.planning.group import Group
from modelinfer_controller.planning.recovery_types import Recreation, scope_text
from modelinfer_controller.planning.update import UPDATE_IN_PROGRESS, condition_of


def events_of(decision: Decision, status: ModelInferStatus) -> tuple[Event, ...]:
    """status: what is going to be written. What happens only once shows as its difference from the last one."""
    if decision.owner.metadata.is_terminating:
        return ()
    updates = _update_events(decision.owner.status, status)
    return (*_gang_events(decision), *_group_events(decision), *updates, *_scaling(decision))


def _gang_events(decision: Decision) -> Iterator[Event]:
    scheduler, spec = decision.revisions.update.template.gang_scheduler, decision.owner.spec
    support = decision.observed.gang_support
    if scheduler is not None and (missing := gang.missing_api_message(scheduler, spec.scheduler_name, support)):
        yield Event("Warning", Reason.POD_GROUP_KIND_MISSING, missing)


def _group_events(decision: Decision) -> Iterator[Event]:
    for ordinal, group in decision.groups.items():
        if ordinal not in decision.needs:
            continue
        for recreation in group.recovery.recreations:
            yield Event("Warning", Reason.REBUILDING, _recreation_text(group, recreation))
        for waiting in group.recovery.delayed:
            if waiting.is_backoff:
                where = scope_text(ordinal, waiting.scope)
                why = f"{waiting.trigger.pod} {waiting.trigger.why}"
                yield Event("Warning", Reason.BACK_OFF, f"{where}: the controller recreates it after a back-off: {why}")
        for obstacle in decision.needs[ordinal].obstacles:
            yield Event("Warning", obstacle.reason, f"group {ordinal}: {obstacle.message}")


def _recreation_text(group: Group, recreation: Recreation) -> str:
    where, policy = scope_text(group.ordinal, recreation.scope), group.desired.policy.value
    why = f"{recreation.trigger.pod} {recreation.trigger.why}"
    return f"Recreating {where} (policy {policy}, attempt {recreation.record.attempt}): {why}"


def _update_events(before: ModelInferStatus, after: ModelInferStatus) -> Iterator[Event]:
    """An update that starts, ends, is paused, halts or is rolled back: each once."""
    was, now = condition_of(before.conditions, UPDATE_IN_PROGRESS), condition_of(after.conditions, UPDATE_IN_PROGRESS)
    if now is None or was is None:
        return
    if now.status == "True" and (was.status != "True" or before.update_revision != after.update_revision):
        yield Event("Normal", Reason.ROLLOUT_STARTED, f"Updating groups to revision {after.update_revision}")
    if after.update_progress.has_failed and not before.update_progress.has_failed:
        yield Event(
            "Warning",
            Reason.PROGRESS_DEADLINE_EXCEEDED,
            f"The update to {after.update_progress.revision} has failed; nothing more is replaced",
        )
    if after.failed_revision and not before.failed_revision:
        text = f"The update to {after.failed_revision} has failed; groups return to {after.current_revision}"
        yield Event("Warning", Reason.ROLLED_BACK, text)
    if now.reason == Reason.PAUSED != was.reason:
        yield Event("Normal", Reason.PAUSED, "The update is paused (spec.paused)")
    if was.status == "True" and now.status != "True":
        held = f"; {now.message}" if now.reason == Reason.HELD_BY_PARTITION else ""
        yield Event(
            "Normal", Reason.ROLLOUT_COMPLETED, f"The update to revision {after.update_revision} is complete{held}"
        )


def _scaling(decision: Decision) -> Iterator[Event]:
    owner, before = decision.owner, decision.owner.status
    if owner.spec.suspend != was_suspended(before):
        word = Reason.SUSPENDED if owner.spec.suspend else Reason.RESUMED
        yield Event("Normal", word, f"spec.suspend is {str(owner.spec.suspend).lower()}")
        return
    is_edited = 0 < before.observed_generation < owner.metadata.generation
    if is_edited and before.replicas != decision.budget.replicas:
        yield Event("Normal", Reason.SCALING, f"Scaling from {before.replicas} to {decision.budget.replicas} groups")


def was_suspended(before: ModelInferStatus) -> bool:
    suspended = condition_of(before.conditions, SUSPENDED)
    return suspended is not None and suspended.status == "True"
