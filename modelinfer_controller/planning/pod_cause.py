"""Why a pod is not ready, or why it goes: in the cluster's words where they help, without what changes at each try."""

from datetime import datetime

from modelinfer_controller.api.core import ContainerStateTerminated, ContainerStatus, Pod
from modelinfer_controller.api.reasons import Cause, Reason
from modelinfer_controller.planning.message import cut, one_line, tail
from modelinfer_controller.planning.pod_failures import OUT_OF_MEMORY, finished_phase, never_started

WAITS_FOR_ITS_GANG = "Schedulable"  # Volcano has a node for the pod; what is wrong is wrong with the others
QUIET_WAITS = frozenset({"", "ContainerCreating", "PodInitializing"})
CRASH_LOOP = "CrashLoopBackOff"
CANNOT_RUN = "RunContainerError"
MAX_RUNTIME_ERROR = 160  # bytes of the end of what the runtime says: the end names the file
MAX_MESSAGE = 400  # bytes: a condition names several pods
KILLED = 137

# source: pod condition DisruptionTarget, set by the eviction API, the scheduler, the taint manager and the pod GC
DISRUPTIONS = {
    "EvictionByEvictionAPI": "was evicted",
    "PreemptionByScheduler": "was preempted for a pod of higher priority",
    "DeletionByTaintManager": "was evicted by a taint",
    "DeletionByPodGC": "was removed after its node",
    "TerminationByKubelet": "was evicted by the kubelet",
}


def cause_of_pod(pod: Pod) -> Cause | None:
    """The first cause that keeps a pod from being ready, or None where it is ready or merely on its way.

    Its message is one line of at most MAX_MESSAGE bytes, whatever a container or an admission wrote.
    """
    found = _cause(pod)
    return Cause(found.reason, cut(one_line(found.message), MAX_MESSAGE)) if found is not None else None


def _cause(pod: Pod) -> Cause | None:
    if pod.is_ready or pod.metadata.is_terminating:
        return None
    if finished_phase(pod):
        return _finished_cause(pod)
    scheduled = pod.condition("PodScheduled")
    if scheduled is not None and scheduled.status == "False" and scheduled.reason != WAITS_FOR_ITS_GANG:
        return Cause(scheduled.reason or Reason.UNSCHEDULABLE, scheduled.message)
    if (since := unreachable_since(pod)) is not None:
        return Cause(Reason.NODE_NOT_READY, unreachable_text(pod.spec.node_name, since))
    causes = (_container_cause(status) for status in pod.status.all_container_statuses)
    return next((cause for cause in causes if cause is not None), None)


def unreachable_text(node: str, since: datetime) -> str:
    """As conditions and explanations say it.

    >>> from datetime import UTC, datetime
    >>> unreachable_text("node-3", datetime(2026, 11, 25, 8, tzinfo=UTC))
    'node node-3 has been unreachable since 2026-11-25T08:00:00Z'
    """
    return f"node {node} has been unreachable since {since:%Y-%m-%dT%H:%M:%SZ}"


def unreachable_since(pod: Pod) -> datetime | None:
    """Since when the pod's node is unreachable, as far as the pod shows it.

    The node controller takes Ready from the pods of such a node and leaves everything else as the kubelet last wrote
    it. A kubelet always gives a reason. source: MarkPodsNotReady, pkg/controller/util/node
    """
    ready, containers = pod.condition("Ready"), pod.condition("ContainersReady")
    if ready is None or containers is None or not pod.spec.node_name:
        return None
    is_taken_away = ready.status == "False" and not ready.reason and containers.status == "True"
    return ready.last_transition_time if is_taken_away else None


def end_of(pod: Pod) -> str:
    """How a terminating pod came to its end, as a predicate ("was evicted: ..."), or "" where nobody says more."""
    disrupted = pod.condition("DisruptionTarget") if pod.metadata.is_terminating else None
    if disrupted is None or disrupted.status != "True":
        return ""
    what = DISRUPTIONS.get(disrupted.reason, f"was disrupted ({disrupted.reason})")
    node = f" of node {pod.spec.node_name}" if disrupted.reason == "DeletionByTaintManager" else ""
    message = cut(one_line(disrupted.message), MAX_MESSAGE)
    return f"{what}{node}: {message}" if message else f"{what}{node}"


def was_killed(pod: Pod) -> bool:
    """Whether a container was killed from outside: where several pods fail in one second, that comes before an exit."""
    ends = (one.state.terminated or one.last_state.terminated for one in pod.status.all_container_statuses)
    return pod.status.reason == "Evicted" or any(
        end is not None and (end.reason == OUT_OF_MEMORY or end.exit_code == KILLED) for end in ends
    )


def _finished_cause(pod: Pod) -> Cause:
    ended = ((one.name, one.state.terminated) for one in pod.status.all_container_statuses)
    ends = [(name, end) for name, end in ended if end is not None]
    ends.sort(key=lambda end: not end[1].exit_code)
    exits = f"container {ends[0][0]} {_exit_text(ends[0][1])}" if ends else ""
    detail = "; ".join(part for part in (pod.status.message, exits) if part)
    phase = pod.status.phase if pod.status.phase in ("Failed", "Succeeded") else "Failed"
    reason = Reason.POD_SUCCEEDED if phase == "Succeeded" else Reason.POD_FAILED
    return Cause(pod.status.reason or reason, detail or f"its phase is {phase}")


def _container_cause(status: ContainerStatus) -> Cause | None:
    """A container that fails again and again has one cause, whichever of its states is seen."""
    ended = status.state.terminated or status.last_state.terminated
    if ended is not None and never_started(status) and not status.state.running:
        return Cause(CANNOT_RUN, f"container {status.name} cannot be started: {tail(ended.message, MAX_RUNTIME_ERROR)}")
    waiting = status.state.waiting
    is_loop = waiting is not None and waiting.reason == CRASH_LOOP
    if is_loop or (status.restart_count > 1 and not status.ready and ended is not None):
        return Cause(CRASH_LOOP, f"container {status.name} fails again and again{_last_exit(ended)}")
    if waiting is not None and waiting.reason not in QUIET_WAITS:
        return Cause(waiting.reason, f"container {status.name}: {_waiting_text(waiting.reason, waiting.message)}")
    if status.restart_count and not status.ready and ended is not None:
        return Cause(Reason.CONTAINER_RESTARTED, f"container {status.name} {_exit_text(ended)}")
    return None


def _waiting_text(reason: str, message: str) -> str:
    if reason == CANNOT_RUN:
        return f"it cannot be started: {tail(message, MAX_RUNTIME_ERROR)}"
    return message or "it waits"


def _last_exit(ended: ContainerStateTerminated | None) -> str:
    return f"; it last {_exit_text(ended)}" if ended is not None else ""


def _exit_text(ended: ContainerStateTerminated) -> str:
    """How a container ended.

    >>> _exit_text(ContainerStateTerminated(exit_code=137, reason="OOMKilled"))
    'exited with code 137 (OOMKilled)'
    """
    reason = f" ({ended.reason})" if ended.reason else ""
    return f"exited with code {ended.exit_code}{reason}"
