"""The status, all of it from one decision: counts, revisions, conditions, and what groups are meant to be."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime

from modelinfer_controller.api import well_known
from modelinfer_controller.api.reasons import Reason
from modelinfer_controller.api.status import ApiFailure, GroupRecord, ModelInfer, ModelInferStatus
from modelinfer_controller.api.validation import Violation
from modelinfer_controller.planning.actions import DeletePod
from modelinfer_controller.planning.cause import Failures
from modelinfer_controller.planning.conditions import (
    AVAILABLE,
    NAMED_GROUPS,
    PROGRESSING,
    READY,
    Facts,
    condition,
    conditions_of,
    settle,
)
from modelinfer_controller.planning.decide import Decision
from modelinfer_controller.planning.group import Group, is_recorded
from modelinfer_controller.planning.hand_over import taken_down_for_both
from modelinfer_controller.planning.records import packed
from modelinfer_controller.planning.replacement import OnLeavingNode
from modelinfer_controller.planning.update_rules import UPDATE_IN_PROGRESS, condition_of


def status_of(decision: Decision, failures: Failures) -> ModelInferStatus:
    """failures: what the server refuses, by group; None for what is of no group."""
    owner, revisions = decision.owner, decision.revisions
    facts, at_rest = Facts(decision, failures), len(decision.at_rest)
    running = [group for group in decision.active.values() if group.live_pods and group.ordinal not in facts.replaced]
    current = revisions.update.name if _is_updated(facts) else revisions.current.name
    return ModelInferStatus(
        observed_generation=owner.metadata.generation,
        replicas=at_rest + sum(bool(group.pods) for group in decision.active.values()),
        current_replicas=_count(running, current, decision),
        updated_replicas=_count(running, revisions.update.name, decision),
        available_replicas=at_rest + len(facts.available),
        current_revision=current,
        update_revision=revisions.update.name,
        label_selector=f"{well_known.NAME}={owner.name},{well_known.GROUP_LEADER}=true",
        conditions=conditions_of(decision, facts),
        groups=_recorded(decision),
        failed_revision=decision.progress.failed_revision,
        update_progress=decision.progress.clock,
        api_failures=named_failures(failures),
    )


def urgent_part(status: ModelInferStatus) -> tuple[object, ...]:
    """What the pods do not show, and what `kubectl wait` waits for: a status that differs in it is written at once."""
    verdicts = tuple((condition.type, condition.status) for condition in status.conditions)
    meant = {
        ordinals: (record.revision, record.recreations, record.suspended)
        for ordinals, record in status.groups.items()
        if record.recreations or record.suspended
    }
    return (
        status.observed_generation,
        meant,
        status.current_revision,
        status.update_revision,
        status.failed_revision,
        status.update_progress,
        verdicts,
    )


def named_failures(failures: Mapping[int | None, ApiFailure]) -> tuple[ApiFailure, ...]:
    """The first few, by group: more would not fit a status, nor help."""
    ordered = sorted(failures.values(), key=lambda failure: -1 if failure.group is None else failure.group)
    return tuple(ordered[:NAMED_GROUPS])


def _is_updated(facts: Facts) -> bool:
    """Whether every group of the spec is available at the update revision: the next update starts from it."""
    decision, update = facts.decision, facts.decision.revisions.update.name
    if decision.owner.spec.suspend or facts.unavailable_count:
        return False
    replicas = decision.budget.replicas
    is_at_rest_updated = decision.rules.goal == update or not decision.at_rest
    return is_at_rest_updated and all(
        decision.active[o].revision.name == update for o in facts.available if o < replicas
    )


def _count(running: Sequence[Group], revision: str, decision: Decision) -> int:
    at_rest = len(decision.at_rest) if revision == decision.rules.goal else 0
    return at_rest + sum(group.revision.name == revision for group in running)


def _recorded(decision: Decision) -> dict[str, GroupRecord]:
    """What the status is to say of each group. The same object as it says where no record changes."""
    before, after = decision.at_rest.records, dict(_records(decision))
    at_rest = decision.at_rest.groups
    is_same = all(before.get(ordinal) == record for ordinal, record in after.items())
    if is_same and len(before) == len(after) + len(at_rest):
        return decision.owner.status.groups
    return packed({**{ordinal: group.record for ordinal, group in at_rest.items()}, **after})


def _records(decision: Decision) -> Iterator[tuple[int, GroupRecord]]:
    """What each group that is not at rest is meant to be. One that never was whole says all there is by itself."""
    replaced = set(decision.update.replaced)
    deleted = {plan.ordinal for plan in decision.plan.groups if any(isinstance(one, DeletePod) for one in plan.actions)}
    for ordinal, group in decision.active.items():
        if ordinal in replaced & deleted and isinstance(decision.update.reasons[ordinal][-1], OnLeavingNode):
            yield ordinal, taken_down_for_both(group, decision.rules.goal, decision.observed.nodes, decision.now)
        elif ordinal in replaced:
            yield ordinal, GroupRecord(revision=decision.rules.goal)
        elif decision.owner.spec.suspend:
            if is_recorded(group.stored_record) or group.live_pods:
                yield ordinal, _suspended(group)
        elif ordinal in decision.update.target and (is_recorded(group.record) or _has_intent(group)):
            yield ordinal, group.record


def _has_intent(group: Group) -> bool:
    """Whether a group without pods is meant to be at a revision all the same."""
    has_none = not group.live_pods or not group.shape.pod_count
    return has_none and bool(group.stored_record.revision)


def _suspended(group: Group) -> GroupRecord:
    if group.stored_record.suspended and not group.live_pods:
        return group.stored_record
    counts = {role.name: role.instances for role in group.shape.roles.values()}
    return GroupRecord(revision=group.revision.name, suspended=counts)


def invalid_status(stored: ModelInfer, violations: Sequence[Violation], now: datetime) -> ModelInferStatus:
    """The status of a ModelInfer whose spec breaks rules: its pods are left as they are, and so are its counts."""
    text = "; ".join(f"{violation.field}: {violation.message}" for violation in violations)
    before, generation = stored.status, stored.metadata.generation
    kept = [c for c in before.conditions if c.type not in (PROGRESSING, UPDATE_IN_PROGRESS, READY)]
    if condition_of(kept, AVAILABLE) is None:
        kept.insert(0, condition(AVAILABLE, False, Reason.INVALID_SPEC, text))
    stated = [
        *kept,
        condition(PROGRESSING, False, Reason.INVALID_SPEC, text),
        condition(UPDATE_IN_PROGRESS, False, Reason.INVALID_SPEC, text),
        condition(READY, False, Reason.INVALID_SPEC, text),
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
        conditions=tuple(settle(one, before.conditions, generation, now) for one in stated),
        groups=before.groups,
        failed_revision=before.failed_revision,
        update_progress=before.update_progress,
    )
