"""Why a group is not available: the first cause, as deep as the snapshot knows it."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from modelinfer_controller.api.core import Condition
from modelinfer_controller.api.reasons import Cause
from modelinfer_controller.planning.assess import Assessment
from modelinfer_controller.planning.first_cause import first_cause
from modelinfer_controller.planning.group import Group, GroupPlan
from modelinfer_controller.planning.message import cut, one_line
from modelinfer_controller.planning.recovery import Postponed

REASON_PATTERN = re.compile(r"[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?")
MAX_MESSAGE_LENGTH = 512


@dataclass(frozen=True, slots=True)
class Failure:
    """What the server said when an action of a group failed."""

    reason: str
    message: str


def cause_of(assessment: Assessment, ordinal: int, failures: Mapping[int | None, Failure]) -> Cause:
    """The first cause that keeps the group at this ordinal from being available."""
    group, plan = assessment.groups[ordinal], assessment.plans.get(ordinal)
    failure = failures.get(ordinal) or failures.get(None)
    if failure is not None:
        return _cause(failure.reason, failure.message)
    if plan is not None and plan.obstacles:
        return _cause(*plan.obstacles[0])
    if plan is not None and (waiting := _longest_wait(plan)) is not None:
        return _waiting_cause(waiting)
    if (first := first_cause(group.live_pods)) is not None:
        return _cause(*first)
    return _pod_group_cause(assessment, ordinal) or _progress_cause(assessment, group)


def cause_after(assessment: Assessment, ordinal: int, failures: Mapping[int | None, Failure]) -> Cause:
    """`cause_of` once the plan is carried out: of a group that was taken down no more is to be said."""
    if ordinal in assessment.rollout.replace and not (ordinal in failures or None in failures):
        return _termination_cause([pod.name for pod in assessment.groups[ordinal].pods])
    return cause_of(assessment, ordinal, failures)


def _cause(reason: str, message: str) -> Cause:
    fit = reason if REASON_PATTERN.fullmatch(reason) else "PodFailed"
    return Cause(fit, cut(one_line(message), MAX_MESSAGE_LENGTH))


def _longest_wait(plan: GroupPlan) -> Postponed | None:
    return max(plan.recovery.postponed, key=lambda waiting: waiting.due, default=None)


def _waiting_cause(waiting: Postponed) -> Cause:
    what = "back-off" if waiting.is_backoff else "grace period"
    reason = "WaitingForBackOff" if waiting.is_backoff else "WaitingForGracePeriod"
    until = f"{waiting.due:%Y-%m-%dT%H:%M:%SZ}"
    return _cause(
        reason,
        f"{waiting.trigger.pod} {waiting.trigger.why}; rebuild {waiting.attempt} waits for its {what} until {until}",
    )


def _pod_group_cause(assessment: Assessment, ordinal: int) -> Cause | None:
    for key, stored in assessment.observed.pod_groups_of(ordinal):
        blocked = next(filter(_is_unschedulable, stored.status.conditions), None)
        if blocked is not None:
            return _cause(blocked.reason or "Unschedulable", f"PodGroup {key.name}: {blocked.message}")
    return None


def _is_unschedulable(condition: Condition) -> bool:
    said_no = condition.type == "Unschedulable" and condition.status == "True"
    return said_no or (condition.type == "PodGroupInitiallyScheduled" and condition.status == "False")


def _progress_cause(assessment: Assessment, group: Group) -> Cause:
    terminating = [pod.name for pod in group.pods if pod.is_terminating]
    if terminating:
        return _termination_cause(terminating)
    missing = sum(group.shape.pod_count_by_instance.values()) - len(group.live_pods)
    if missing > 0:
        return _cause("CreatingPods", f"{missing} of its pods are being created")
    unscheduled = [pod.name for pod in group.live_pods if not pod.is_scheduled]
    if unscheduled:
        return _cause("Scheduling", f"{_names(unscheduled)} not scheduled yet")
    unready = [pod.name for pod in group.live_pods if not pod.is_ready]
    return _cause("PodsNotReady", f"{_names(unready)} not ready yet")


def _termination_cause(pods: list[str]) -> Cause:
    return _cause("WaitingForTermination", f"waits for {_names(pods)} to be gone")


def _names(pods: list[str]) -> str:
    """The first pod, and how many more."""
    more = f" and {len(pods) - 1} more" if len(pods) > 1 else ""
    return f"{'pods' if more else 'pod'} {pods[0] if pods else '-'}{more}"
