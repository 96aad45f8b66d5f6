"""The status, all of it from one snapshot: counts, revisions, conditions, and what is to be remembered of groups."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from modelinfer_controller.api import well_known
from modelinfer_controller.api.core import Condition
from modelinfer_controller.api.reasons import Cause
from modelinfer_controller.api.status import ModelInfer, ModelInferStatus
from modelinfer_controller.api.validation import Violation
from modelinfer_controller.planning import gang
from modelinfer_controller.planning.assess import UPDATE_IN_PROGRESS, Assessment, condition_of
from modelinfer_controller.planning.cause import Failure, cause_after
from modelinfer_controller.planning.group import NAME_COLLISION, REVISION_MISSING, Group
from modelinfer_controller.planning.recovery import is_settled
from modelinfer_controller.planning.rollout import GroupState, Rule

AVAILABLE = "Available"
PROGRESSING = "Progressing"
GANG_SCHEDULING = "GangScheduling"
NAMED_GROUPS = 5  # that a message names before it counts the rest


def status_of(assessment: Assessment, failures: Mapping[int | None, Failure]) -> ModelInferStatus:
    """failures: what the server refused while the plan was carried out, by group; None for the ModelInfer's own."""
    owner, target = assessment.owner, assessment.rollout.target
    states = _states(assessment)
    replaced = assessment.rollout.replace
    running = [group for group in assessment.groups.values() if group.live_pods and group.ordinal not in replaced]
    current = assessment.update.name if _is_updated(assessment) else assessment.current.name
    return ModelInferStatus(
        observed_generation=owner.metadata.generation,
        replicas=sum(bool(group.pods) for group in assessment.groups.values()),
        current_replicas=sum(group.revision.name == current for group in running),
        updated_replicas=sum(group.revision.name == assessment.update.name for group in running),
        available_replicas=sum(state.is_available for state in states.values()),
        current_revision=current,
        update_revision=assessment.update.name,
        label_selector=f"{well_known.NAME}={owner.name},{well_known.GROUP_LEADER}=true",
        conditions=_conditions(assessment, failures),
        groups={str(o): record for o in target if is_settled(record := assessment.record(o))},
    )


def _states(assessment: Assessment) -> Mapping[int, GroupState]:
    """The groups as the plan leaves them: one that it takes down is not available any more, and has no old revision.

    Else every step of a rollout would be told twice, and the Available condition would flicker.
    """
    if not assessment.rollout.replace:
        return assessment.states
    update = assessment.update.name
    replaced = {
        o: replace(assessment.states[o], revision=update, is_available=False) for o in assessment.rollout.replace
    }
    return {**assessment.states, **replaced}


def _is_updated(assessment: Assessment) -> bool:
    """Whether every group of the spec is available at the update revision: the next rollout starts from it."""
    states = _states(assessment)
    of_spec = (states[ordinal] for ordinal in range(assessment.budget.replicas))
    return all(state.revision == assessment.update.name and state.is_available for state in of_spec)


def _conditions(assessment: Assessment, failures: Mapping[int | None, Failure]) -> tuple[Condition, ...]:
    states = _states(assessment)
    unavailable = [o for o in range(assessment.budget.replicas) if not states[o].is_available]
    causes = {ordinal: cause_after(assessment, ordinal, failures) for ordinal in unavailable[:NAMED_GROUPS]}
    stated = [
        _available(assessment, unavailable, causes),
        _progressing(assessment, unavailable, causes),
        _update_in_progress(assessment),
        *_gang_scheduling(assessment),
    ]
    previous = assessment.owner.status.conditions
    return tuple(
        settle(condition, previous, assessment.owner.metadata.generation, assessment.now) for condition in stated
    )


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


def _condition(type_: str, holds: bool, reason: str, message: str) -> Condition:
    return Condition(type=type_, status="True" if holds else "False", reason=reason, message=message)


def _available(assessment: Assessment, unavailable: Sequence[int], causes: Mapping[int, Cause]) -> Condition:
    replicas = assessment.budget.replicas
    if not unavailable:
        text = f"all {replicas} groups are available" if replicas else "no groups are asked for"
        return _condition(AVAILABLE, True, "AllGroupsAvailable" if replicas else "NoReplicas", text)
    first = causes[unavailable[0]]
    text = f"{len(unavailable)} of {replicas} groups are not available: {_explained(unavailable, causes)}"
    return _condition(AVAILABLE, False, first.reason, text)


def _explained(unavailable: Sequence[int], causes: Mapping[int, Cause]) -> str:
    """Groups by cause; groups beyond the first few are counted."""
    told = "; ".join(f"group {ordinal}: {cause.message}" for ordinal, cause in causes.items())
    rest = len(unavailable) - len(causes)
    return f"{told}; and {rest} more" if rest else told


def _progressing(assessment: Assessment, unavailable: Sequence[int], causes: Mapping[int, Cause]) -> Condition:
    replacing = _outdated(assessment)
    leftovers = _leftovers(assessment)
    if replacing:
        text = f"{len(replacing)} groups are to be replaced by revision {assessment.update.name}"
        return _condition(PROGRESSING, True, "RollingUpdate", text)
    if unavailable:
        reason = causes[unavailable[0]].reason
        if reason in (NAME_COLLISION, REVISION_MISSING):
            text = f"{len(unavailable)} groups cannot become available: {_explained(unavailable, causes)}"
            return _condition(PROGRESSING, False, reason, text)
        text = f"{len(unavailable)} groups are on their way to being available: {_explained(unavailable, causes)}"
        return _condition(PROGRESSING, True, "GroupsProgressing", text)
    if leftovers:
        return _condition(PROGRESSING, True, "ScalingDown", f"{len(leftovers)} groups are being removed")
    if resizing := _resizing(assessment):
        text = f"pods of {len(resizing)} available groups are being made or removed"
        return _condition(PROGRESSING, True, "ScalingRoles", text)
    return _condition(PROGRESSING, False, "AsSpecified", "the groups are as specified")


def _leftovers(assessment: Assessment) -> list[int]:
    """Groups that are not to be, of which there are still pods."""
    return [ordinal for ordinal in assessment.removed_ordinals if assessment.observed.pods_by_group.get(ordinal)]


def _resizing(assessment: Assessment) -> list[int]:
    """Groups whose pods are not those that they are to have: a role that shrinks leaves its group available."""
    groups = (assessment.groups[ordinal] for ordinal in assessment.rollout.target)
    return [group.ordinal for group in groups if not group.is_waiting and not _is_whole(group)]


def _is_whole(group: Group) -> bool:
    expected = sum(group.shape.pod_count_by_instance.values())
    return len(group.pods) == expected and all(pod in group.shape and not pod.is_terminating for pod in group.pods)


def _outdated(assessment: Assessment) -> list[int]:
    """Groups that the rollout is still to take down; not those that it holds back."""
    states = _states(assessment)
    movable = range(assessment.budget.partition, assessment.budget.replicas)
    return [o for o in movable if states[o].revision != assessment.update.name]


def _update_in_progress(assessment: Assessment) -> Condition:
    outdated, surge, states = _outdated(assessment), assessment.rollout.surge, _states(assessment)
    update = assessment.update.name
    movable = range(assessment.budget.partition, assessment.budget.replicas)
    was_rolling = condition_of(assessment.owner.status.conditions, UPDATE_IN_PROGRESS)
    unfinished = [o for o in movable if not states[o].is_available]
    if outdated:
        waiting = next((w for w in assessment.rollout.waiting if w.rule is not Rule.PARTITION), None)
        why = f"; group {waiting.ordinal} waits for the {waiting.rule.value} rule" if waiting else ""
        text = f"{len(movable) - len(outdated)} of {len(movable)} groups are at revision {update}{why}"
        return _condition(UPDATE_IN_PROGRESS, True, "RollingUpdate", text)
    if assessment.rollout.replace or (was_rolling is not None and was_rolling.status == "True"):
        if unfinished or surge:
            text = f"all groups are at revision {update}; {len(unfinished)} are not available yet"
            return _condition(UPDATE_IN_PROGRESS, True, "WaitingForGroups", text)
        if leftovers := _leftovers(assessment):
            text = f"all groups are at revision {update}; {len(leftovers)} extra groups are being removed"
            return _condition(UPDATE_IN_PROGRESS, True, "RemovingGroups", text)
    held = [w for w in assessment.rollout.waiting if w.rule is Rule.PARTITION]
    if held:
        text = f"{len(held)} groups are held at their revisions by partition {assessment.budget.partition}"
        return _condition(UPDATE_IN_PROGRESS, False, "HeldByPartition", text)
    return _condition(UPDATE_IN_PROGRESS, False, "UpToDate", f"all groups are at revision {update}")


def _gang_scheduling(assessment: Assessment) -> list[Condition]:
    """Whether the PodGroups that gangSchedule asks for can be made; no condition where nobody asks."""
    scheduler = assessment.update.template.gang_scheduler
    if scheduler is None:
        return []
    support, scheduler_name = assessment.observed.gang_support, assessment.owner.spec.scheduler_name
    if missing := gang.what_is_missing(scheduler, scheduler_name, support):
        return [_condition(GANG_SCHEDULING, False, gang.KIND_MISSING, missing)]
    used = gang.what_is_used(scheduler, assessment.update.template)
    return [_condition(GANG_SCHEDULING, True, "PodGroupsInUse", used)]


def invalid_status(stored: ModelInfer, violations: Sequence[Violation], now: datetime) -> ModelInferStatus:
    """The status of a ModelInfer whose spec breaks rules: its pods are left as they are, and so are its counts."""
    told = "; ".join(f"{violation.field}: {violation.message}" for violation in violations)
    before, generation = stored.status, stored.metadata.generation
    kept = [c for c in before.conditions if c.type not in (PROGRESSING, UPDATE_IN_PROGRESS)]
    if condition_of(kept, AVAILABLE) is None:
        kept.insert(0, _condition(AVAILABLE, False, "InvalidSpec", told))
    stated = [
        *kept,
        _condition(PROGRESSING, False, "InvalidSpec", told),
        _condition(UPDATE_IN_PROGRESS, False, "InvalidSpec", told),
    ]
    return ModelInferStatus(
        observed_generation=generation,
        replicas=before.replicas,
        current_replicas=before.current_replicas,
        updated_replicas=before.updated_replicas,
        available_replicas=before.available_replicas,
        current_revision=before.current_revision,
        update_revision=before.update_revision,
        label_selector=before.label_selector,
        conditions=tuple(settle(condition, before.conditions, generation, now) for condition in stated),
        groups=before.groups,
    )
