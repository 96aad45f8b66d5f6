"""Which ends of containers are failures of their pod, and when the last one was.

A restart does not count where it is no failure: a resize asked for it, the template lists the container as one whose
restarts are nobody's concern, or the container has never run in this pod. Then recreating its siblings cannot help.
"""

from collections.abc import Iterator
from datetime import datetime

from modelinfer_controller.api import well_known
from modelinfer_controller.api.core import Container, ContainerStateTerminated, ContainerStatus, Pod

# source: kubelet, pkg/kubelet/kuberuntime, and the CRI runtimes: the process could not be started at all
NEVER_STARTED = frozenset({"StartError", "ContainerCannotRun"})
GRACEFUL_EXIT_CODES = frozenset({0, 137, 143})  # of a container that was told to end: done, SIGKILL, SIGTERM
OUT_OF_MEMORY = "OOMKilled"
NO_CONTAINER = Container()


def counted_restarts(pod: Pod) -> int:
    """Restarts of containers and init containers that are failures. It may go down: see `PodView.restart_count`."""
    return sum(_counted(pod, status) for status in pod.status.all_container_statuses)


def never_started(status: ContainerStatus) -> bool:
    """Whether the last try to run the container did not even start its process."""
    ended = status.state.terminated or status.last_state.terminated
    return ended is not None and ended.reason in NEVER_STARTED


def last_failure_time(pod: Pod) -> datetime | None:
    """When the pod's last failure happened, by its container statuses; for a finished pod also by its conditions."""
    is_finished = bool(finished_phase(pod))
    ends = [
        ended.finished_at
        for status in pod.status.all_container_statuses
        for ended in _failures(pod, status, is_finished=is_finished)
        if ended.finished_at is not None
    ]
    if not ends and is_finished:
        ends = [one.last_transition_time for one in pod.status.conditions if one.last_transition_time is not None]
    return max(ends, default=None)


def finished_phase(pod: Pod) -> str:
    """ "Failed" or "Succeeded" where the pod will never be ready again, else "".

    A pod one of whose containers has ended and is not restarted stays in phase Running for as long as another runs.
    """
    if pod.status.phase in ("Failed", "Succeeded"):
        return pod.status.phase
    return "Failed" if pod.status.phase == "Running" and any(_ended_for_good(pod)) else ""


def _ended_for_good(pod: Pod) -> Iterator[ContainerStatus]:
    for status in pod.status.container_statuses:
        policy = _spec_of(pod, status).restart_policy or pod.spec.restart_policy
        ended = status.state.terminated
        if ended is not None and (policy == "Never" or (policy == "OnFailure" and not ended.exit_code)):
            yield status


def _failures(pod: Pod, status: ContainerStatus, *, is_finished: bool) -> Iterator[ContainerStateTerminated]:
    if is_finished and status.state.terminated is not None:
        yield status.state.terminated
    if status.last_state.terminated is not None and _counted(pod, status):
        yield status.last_state.terminated


def _counted(pod: Pod, status: ContainerStatus) -> int:
    if not status.restart_count or never_started(status) or status.name in _ignored(pod):
        return 0
    return max(0, status.restart_count - _restarts_by_resize(pod, status))


def _ignored(pod: Pod) -> frozenset[str]:
    named = pod.metadata.annotations.get(well_known.IGNORE_RESTARTS_OF, "")
    return frozenset(name.strip() for name in named.split(",")) if named else frozenset()


def _restarts_by_resize(pod: Pod, status: ContainerStatus) -> int:
    """At most how many of the container's restarts a resize asked for.

    A resize is an edit of the pod's spec, which its generation counts, and ends the container as gracefully as a
    deletion does. No status says afterwards that it was one, so an end of another kind is taken for a failure.
    """
    if not any(one.restart_policy == "RestartContainer" for one in _spec_of(pod, status).resize_policy):
        return 0
    ended = status.last_state.terminated
    if ended is not None and (ended.reason == OUT_OF_MEMORY or ended.exit_code not in GRACEFUL_EXIT_CODES):
        return 0
    resizing = pod.condition("PodResizeInProgress")
    is_resizing = resizing is not None and resizing.status == "True"
    return max(pod.metadata.generation - 1, int(is_resizing))


def _spec_of(pod: Pod, status: ContainerStatus) -> Container:
    named = (one for one in (*pod.spec.init_containers, *pod.spec.containers) if one.name == status.name)
    return next(named, NO_CONTAINER)
