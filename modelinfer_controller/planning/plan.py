"""The planner: from an assessment to what is to be done now, in what order."""

from collections.abc import Iterator

from modelinfer_controller.planning import gang, revision, topology
from modelinfer_controller.planning.actions import (
    Action,
    Announcement,
    CreatePod,
    CreateRevision,
    DeleteRevision,
    Plan,
    RenumberRevision,
)
from modelinfer_controller.planning.assess import Assessment, belongings_of
from modelinfer_controller.planning.group import clear_away, take_down
from modelinfer_controller.planning.recovery import WHOLE_GROUP, Rebuild


def plan(assessment: Assessment) -> Plan:
    """What to do now. Empty where the world is as specified, and for a ModelInfer that is being deleted."""
    if assessment.owner.metadata.is_terminating:
        return Plan()
    groups = list(assessment.plans.values())
    away = [clear_away(ordinal, belongings_of(ordinal, assessment.observed)) for ordinal in assessment.removed_ordinals]
    pods = [action for group in groups for action in group.pods]
    stages: tuple[list[Action], ...] = (
        list(_revisions(assessment)),
        [action for group in groups for action in group.pod_groups],
        [action for group in groups for action in group.services],
        [*_taken_down(assessment), *(action for action in pods if not _follows(action))],
        [action for action in pods if _follows(action)],
        [action for pod_groups, services in away for action in (*pod_groups, *services)],
        list(_expired_revisions(assessment)),
    )
    requeues = [group.recovery.requeue_at for group in groups if group.recovery.requeue_at is not None]
    return Plan(
        stages=tuple(tuple(stage) for stage in stages if stage),
        record_first=any(group.recovery.rebuilds for group in groups),
        requeue_at=min(requeues, default=None),
        announcements=tuple(_announcements(assessment)),
    )


def _follows(action: Action) -> bool:
    """Whether it makes a pod that is drawn to its group's leader: schedulers take pods in the order they are made."""
    match action:
        case CreatePod(identity=identity, revision=made_at):
            template = made_at.template
            return bool(template.topology_spread_constraints) and not topology.is_leader(identity, template)
        case _:
            return False


def _taken_down(assessment: Assessment) -> Iterator[Action]:
    for ordinal in assessment.rollout.replace:
        reason = f"is replaced by revision {assessment.update.name}"
        yield from take_down(assessment.groups[ordinal].pods, reason)
    for ordinal in assessment.rollout.remove:
        yield from take_down(assessment.groups[ordinal].pods, "is of a group beyond spec.replicas")


def _revisions(assessment: Assessment) -> Iterator[Action]:
    update = assessment.update
    if not update.is_stored:
        yield CreateRevision(update)
        return
    newest = max(stored.number for stored in assessment.observed.revisions)
    if update.number < newest:
        yield RenumberRevision(update.name, update.uid, newest + 1)


def _expired_revisions(assessment: Assessment) -> Iterator[Action]:
    for stored in revision.expired(assessment.observed.revisions, used_revision_names(assessment)):
        yield DeleteRevision(stored.name, stored.uid)


def used_revision_names(assessment: Assessment) -> set[str]:
    groups = assessment.groups.values()
    return {
        assessment.update.name,
        assessment.current.name,
        *(group.revision.name for group in groups),
        *(pod.revision for group in groups for pod in group.pods),
        *(record.revision for record in assessment.owner.status.groups.values()),
    }


def _announcements(assessment: Assessment) -> Iterator[Announcement]:
    support, spec = assessment.observed.gang_support, assessment.owner.spec
    scheduler = assessment.update.template.gang_scheduler
    if scheduler is not None and (missing := gang.what_is_missing(scheduler, spec.scheduler_name, support)):
        yield Announcement("Warning", gang.KIND_MISSING, missing)
    policy = assessment.owner.spec.recovery_policy.value
    for ordinal, group in assessment.plans.items():
        for rebuild in group.recovery.rebuilds:
            yield Announcement("Warning", "Rebuilding", _rebuild_text(ordinal, rebuild, policy))
        for waiting in group.recovery.postponed:
            if waiting.is_backoff:
                until = f"{waiting.due:%Y-%m-%dT%H:%M:%SZ}"
                text = f"{scope_text(ordinal, waiting.scope)}: rebuild {waiting.attempt} waits until {until}: "
                text += f"{waiting.trigger.pod} {waiting.trigger.why}"
                yield Announcement("Warning", "BackOff", text)
        for obstacle in group.obstacles:
            yield Announcement("Warning", obstacle.reason, f"group {ordinal}: {obstacle.message}")


def _rebuild_text(ordinal: int, rebuild: Rebuild, policy: str) -> str:
    where = scope_text(ordinal, rebuild.scope)
    return f"Rebuilding {where} (policy {policy}, attempt {rebuild.record.attempt}): {rebuild.record.cause}"


def scope_text(ordinal: int, scope: str) -> str:
    return f"group {ordinal}" if scope == WHOLE_GROUP else f"{scope} of group {ordinal}"
