"""How long a pod's start takes, by phase, as its status shows when it becomes ready."""

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime

from modelinfer_controller.api.core import ContainerStatus, Pod
from modelinfer_controller.kube.cache.handlers import DeletedFinalStateUnknown, last_state


class PodStartupHandler:
    """A handler of the informer of pods: tells each pod's first readiness that happens before its eyes."""

    def __init__(self, became_ready: Callable[[Pod], None]) -> None:
        self._became_ready = became_ready
        self._was_ready: set[str] = set()  # UIDs

    def on_add(self, obj: Pod, is_in_initial_list: bool) -> None:
        if obj.is_ready:
            self._was_ready.add(obj.metadata.uid)

    def on_update(self, old: Pod, new: Pod) -> None:
        if new.is_ready and new.metadata.uid not in self._was_ready:
            self._was_ready.add(new.metadata.uid)
            self._became_ready(new)

    def on_delete(self, obj: Pod | DeletedFinalStateUnknown[Pod]) -> None:
        self._was_ready.discard(last_state(obj).metadata.uid)


def startup_phases(pod: Pod) -> Mapping[str, float]:
    """Seconds of each phase of a ready pod's start, as far as its status tells; to the second, as it does."""
    times = [
        pod.metadata.creation_timestamp,
        _transition(pod, "PodScheduled"),
        _started_at(pod.status.container_statuses),
        _transition(pod, "Ready"),
    ]
    phases = zip(("scheduling", "pulling", "starting"), times, times[1:], strict=False)
    return {
        phase: max(0.0, (end - begin).total_seconds())
        for phase, begin, end in phases
        if begin is not None and end is not None
    }


def _transition(pod: Pod, type_: str) -> datetime | None:
    condition = pod.condition(type_)
    return condition.last_transition_time if condition is not None else None


def _started_at(statuses: Iterable[ContainerStatus]) -> datetime | None:
    started = [status.state.running.started_at for status in statuses if status.state.running is not None]
    return max((time for time in started if time is not None), default=None)
