"""Why a group is not available: the first cause, as deep as the snapshot knows it."""

import re
from collections.abc import Mapping
from datetime import datetime

from modelinfer_controller.api.core import Condition
from modelinfer_controller.api.modelinfer import StartupPolicy
from modelinfer_controller.api.reasons import Cause, Reason
from modelinfer_controller.api.status import ApiFailure
from modelinfer_controller.planning.decide import Decision
from modelinfer_controller.planning.disruption_budget import KIND
from modelinfer_controller.planning.first_cause import first_cause
from modelinfer_controller.planning.group import Group, available_since
from modelinfer_controller.planning.message import cut, one_line
from modelinfer_controller.planning.pod_cause import unreachable_text
from modelinfer_controller.planning.pod_view import PodView
from modelinfer_controller.planning.recovery_types import DelayedRecreate
from modelinfer_controller.planning.replacement import reason_text

REASON_PATTERN = re.compile(r"[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?")
MAX_MESSAGE_LENGTH = 512

Failures = Mapping[int | None, ApiFailure]  # what the server refused, by group; None: of no group


def cause_of(decision: Decision, ordinal: int, failures: Failures) -> Cause:
    """The first cause that keeps the group at this ordinal from being available. One that never was has one too."""
    failure = failures.get(ordinal) or failures.get(None)
    if failure is not None and KIND not in failure.action:  # no group waits for a PodDisruptionBudget
        return cause(failure.reason, failure_text(failure))
    group = decision.existing(ordinal)
    if group is None:
        return cause(Reason.CREATING_PODS, "its pods are to be created")
    needs = decision.active_needs.get(ordinal)
    if needs is not None and needs.causes:
        return cause(*needs.causes[0])
    if group.move is not None:
        return cause(Reason.HANDING_OVER, f"it {reason_text(group.move)}")
    if needs is None or group.is_draining:
        return _removal_cause(decision, group)
    waiting = max(group.recovery.delayed, key=lambda one: one.due, default=None)
    if waiting is not None:
        return delay_cause(waiting)
    return _pod_cause(group) or _pod_group_cause(group) or _progress_cause(decision, group)


def failure_text(failure: ApiFailure) -> str:
    return f"{failure.action}: {failure.message}" if failure.action else failure.message


def cause(reason: str, message: str) -> Cause:
    fit = reason if REASON_PATTERN.fullmatch(reason) else Reason.POD_FAILED
    return Cause(fit, cut(one_line(message), MAX_MESSAGE_LENGTH))


def delay_cause(waiting: DelayedRecreate) -> Cause:
    """Why a recreation is due, and when the controller begins it."""
    what = "back-off" if waiting.is_backoff else "grace period"
    reason = Reason.WAITING_FOR_BACK_OFF if waiting.is_backoff else Reason.WAITING_FOR_GRACE_PERIOD
    scope = "the group" if waiting.scope == "*" else waiting.scope
    return cause(
        reason,
        f"{waiting.trigger.pod} {waiting.trigger.why}; the controller recreates {scope} "
        f"when its {what} ends at {clock(waiting.due)} (recreation {waiting.attempt})",
    )


def clock(moment: datetime) -> str:
    return f"{moment:%Y-%m-%dT%H:%M:%SZ}"


def _removal_cause(decision: Decision, group: Group) -> Cause:
    deadlines = [pod.drain_deadline for pod in group.live_pods if pod.drain_deadline is not None]
    if deadlines:
        return cause(Reason.DRAINING, f"its pods drain until {clock(min(deadlines))} at the latest")
    if decision.desired.drain_timeout is not None and group.live_pods:
        return cause(Reason.DRAINING, "its pods begin to drain")
    return _termination_cause(decision, list(group.pods))


def _pod_cause(group: Group) -> Cause | None:
    first = first_cause(group.live_pods)
    return cause(*first) if first is not None else None


def _pod_group_cause(group: Group) -> Cause | None:
    for key, stored in group.pod_groups:
        blocked = next(filter(_is_unschedulable, stored.status.conditions), None)
        if blocked is not None and not stored.metadata.is_terminating:
            return cause(blocked.reason or Reason.UNSCHEDULABLE, f"PodGroup {key.name}: {blocked.message}")
    return None


def _is_unschedulable(condition: Condition) -> bool:
    said_no = condition.type == "Unschedulable" and condition.status == "True"
    return said_no or (condition.type == "PodGroupInitiallyScheduled" and condition.status == "False")


def _progress_cause(decision: Decision, group: Group) -> Cause:
    terminating = [pod for pod in group.pods if pod.is_terminating]
    if terminating:
        return _termination_cause(decision, terminating)
    if entry := _awaited_entry(group):
        return cause(
            Reason.WAITING_FOR_ENTRY_POD, f"entry pod {entry.name} is not ready yet; its workers are created then"
        )
    missing = group.shape.pod_count - len(group.live_pods)
    if missing > 0:
        return cause(Reason.CREATING_PODS, f"{missing} of its pods are being created")
    unscheduled = [pod.name for pod in group.live_pods if not pod.is_scheduled]
    if unscheduled:
        return cause(Reason.SCHEDULING, f"{_names(unscheduled)} not scheduled yet")
    unready = [pod.name for pod in group.live_pods if not pod.is_ready]
    if unready:
        return cause(Reason.PODS_NOT_READY, f"{_names(unready)} not ready yet")
    since = available_since(group)
    if since is not None and group.desired.min_ready:
        return cause(
            Reason.WAITING_FOR_MIN_READY_SECONDS,
            f"all pods are ready; available at {clock(since + group.desired.min_ready)}",
        )
    return cause(Reason.PODS_NOT_READY, "a role has fewer complete, ready instances than its minimum")


def _awaited_entry(group: Group) -> PodView | None:
    if group.desired.spec.template.startup_policy is not StartupPolicy.ENTRY_READY:
        return None
    workers = {pod.instance for pod in group.live_pods if pod.identity.worker_index}
    entries = (pod for pod in group.live_pods if not pod.identity.worker_index and not pod.is_ready)
    has_workers = {name for name, role in group.shape.roles.items() if role.pods > 1}
    return next((pod for pod in entries if pod.identity.role in has_workers and pod.instance not in workers), None)


def _termination_cause(decision: Decision, pods: list[PodView]) -> Cause:
    text = f"waits for {_names([pod.name for pod in pods])} to be gone"
    where = next((found for pod in pods if (found := _absence_text(decision, pod))), "")
    if not where:
        return cause(Reason.WAITING_FOR_TERMINATION, text)
    advice = "if it does not come back, give it the taint node.kubernetes.io/out-of-service"
    return cause(Reason.NODE_NOT_READY, f"{text}; {where}" + ("" if where.endswith("is gone") else f"; {advice}"))


def _absence_text(decision: Decision, pod: PodView) -> str:
    """Why the kubelet of a terminating pod does not end it; "" where nothing speaks against that it will."""
    if pod.unreachable_since is not None:
        return unreachable_text(pod.node, pod.unreachable_since)
    return decision.observed.nodes.absence_text(pod.node)


def _names(pods: list[str]) -> str:
    """The first pod, and how many more."""
    more = f" and {len(pods) - 1} more" if len(pods) > 1 else ""
    return f"{'pods' if more else 'pod'} {pods[0] if pods else ''}{more}"
