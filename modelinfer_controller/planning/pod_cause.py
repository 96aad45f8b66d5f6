"""Why a pod is not ready, in the cluster's own words."""

from modelinfer_controller.api.core import ContainerStatus, Pod
from modelinfer_controller.api.reasons import Cause

WAITS_FOR_ITS_GANG = "Schedulable"  # Volcano has a node for the pod; what is wrong is wrong with the others


def cause_of_pod(pod: Pod) -> Cause | None:
    """The first cause that keeps a pod from being ready, or None where it is ready or merely on its way."""
    if pod.is_ready or pod.metadata.is_terminating:
        return None
    if pod.status.phase in ("Failed", "Succeeded"):
        return _finished_cause(pod)
    scheduled = pod.condition("PodScheduled")
    if scheduled is not None and scheduled.status == "False" and scheduled.reason != WAITS_FOR_ITS_GANG:
        return Cause(scheduled.reason or "Unschedulable", scheduled.message)
    for status in pod.status.all_container_statuses:
        if (cause := _container_cause(status)) is not None:
            return cause
    return None


def _finished_cause(pod: Pod) -> Cause:
    ended = [
        s for s in pod.status.all_container_statuses if s.state.terminated is not None and s.state.terminated.exit_code
    ]
    detail = f"{pod.status.message} {_exit_text(ended[0])}" if ended else pod.status.message
    return Cause(pod.status.reason or f"Pod{pod.status.phase}", detail.strip() or f"phase {pod.status.phase}")


QUIET_WAITS = frozenset({"", "ContainerCreating", "PodInitializing"})


def _container_cause(status: ContainerStatus) -> Cause | None:
    waiting = status.state.waiting
    if waiting is not None and waiting.reason not in QUIET_WAITS:
        detail = f"container {status.name}: {waiting.message}" if waiting.message else f"container {status.name}"
        return Cause(waiting.reason, f"{detail} {_exit_text(status)}".strip())
    if status.restart_count and not status.ready and status.last_state.terminated is not None:
        return Cause("ContainerRestarted", f"container {status.name} {_exit_text(status)}")
    return None


def _exit_text(status: ContainerStatus) -> str:
    terminated = status.state.terminated or status.last_state.terminated
    if terminated is None:
        return ""
    reason = f" ({terminated.reason})" if terminated.reason else ""
    return f"(container {status.name} last exited with code {terminated.exit_code}{reason})"
