"""The life of one pod on its node, as a machine that is given the time: which step comes next, and when."""

from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, timedelta
from enum import Enum, auto
from typing import Final

from modelinfer_controller.simulator.nodes.containers import Container, Running, State, Terminated, Waiting
from modelinfer_controller.simulator.nodes.stages import Behaviour
from modelinfer_controller.simulator.objects import Object, timestamp
from modelinfer_controller.simulator.resources import PlainObject

Step = tuple[datetime, Callable[[datetime], None]]
"""When something happens, and what."""


# The reason of a finished pod's conditions; it comes without a message.
_FINISHED: Final = {"Succeeded": {"reason": "PodCompleted"}, "Failed": {"reason": "PodFailed"}}


class Stage(Enum):
    """How far a pod is."""

    PULLING = auto()
    INITIALIZING = auto()
    RUNNING = auto()
    FINISHED = auto()


class PodRuntime:
    """Made when the kubelet first sees the pod on its node. `behaviour` may be changed at any time."""

    def __init__(self, pod: PlainObject, behaviour: Behaviour, now: datetime, address: str, host_address: str) -> None:
        self.behaviour = behaviour
        self._spec = pod.spec
        self._since = now
        self._addresses = (address, host_address)
        self._stage = Stage.PULLING
        self._phase = "Pending"
        self._reason = ""
        self._started_at: datetime | None = None
        self._ready_since: datetime | None = None
        self._has_lost_readiness = False
        self._terminating_since: datetime | None = None
        self._conditions: dict[str, Object] = {}
        self._init = [_container(one, Waiting("PodInitializing")) for one in pod.spec.get("initContainers") or []]
        state = Waiting("PodInitializing" if self._init else "ContainerCreating")
        self._main = [_container(one, state) for one in pod.spec["containers"]]
        self._update_conditions(now)

    def advance(self, now: datetime) -> datetime | None:
        """Takes every step that is due. Returns when the next one is, or None."""
        if self._stage is Stage.RUNNING:
            self._adjust(now)
        while (step := self._next_step(now)) is not None:
            due, take = step
            if due > now:
                return due
            take(now)
            self._update_conditions(now)
        return None

    def terminate(self, now: datetime, deadline: datetime) -> datetime:
        """The pod is being deleted: when its containers will have stopped. deadline: the end of the grace period."""
        if self._terminating_since is None:
            self._terminating_since = now
        return min(self._terminating_since + self.behaviour.terminate_after, max(deadline, now))

    def stop(self, now: datetime) -> None:
        """All containers end because the pod is deleted."""
        for container in [*self._init, *self._main]:
            if isinstance(container.state, Running):
                container.exit(now, 0, "Completed")
        if self._stage is not Stage.FINISHED:
            self._finish("Succeeded")
        self._update_conditions(now)

    def exit_container(self, now: datetime, exit_code: int) -> None:
        """The first container that runs ends now, and the kubelet acts as on any exit."""
        running = next((one for one in self._main if one.running_since is not None), None)
        if running is not None:
            self._exit(running, now, exit_code, None)
            self._update_conditions(now)

    def status(self, known: Object) -> Object:
        """The pod's status; of the known one it keeps what is not the kubelet's."""
        others = [one for one in known.get("conditions") or [] if one["type"] not in self._conditions]
        status = {
            **known,
            "phase": self._phase,
            "conditions": [*others, *self._conditions.values()],
            "startTime": timestamp(self._since),
            "hostIP": self._addresses[1],
            "podIP": self._addresses[0],
            "podIPs": [{"ip": self._addresses[0]}],
            "containerStatuses": [one.status() for one in self._main],
        }
        if self._init:
            status["initContainerStatuses"] = [one.status() for one in self._init]
        if self._reason:
            status["reason"] = self._reason
        return status

    def _next_step(self, now: datetime) -> Step | None:
        match self._stage:
            case Stage.PULLING:
                steps = self._pulling_steps()
            case Stage.INITIALIZING:
                steps = self._init_steps(now)
            case Stage.RUNNING:
                steps = self._running_steps(now)
            case Stage.FINISHED:
                return None
        return min(steps, key=lambda step: step[0], default=None)

    def _pulling_steps(self) -> Iterator[Step]:
        if not self.behaviour.image_pull_error:
            yield self._since + self.behaviour.pull_after, self._begin
            return
        first = self._main[0]
        message = f'Back-off pulling image "{first.image}"'
        if first.state != Waiting("ImagePullBackOff", message):
            yield self._since, lambda now: self._fail_to_pull(first, message)

    def _fail_to_pull(self, container: Container, message: str) -> None:
        container.state = Waiting("ImagePullBackOff", message)

    def _begin(self, now: datetime) -> None:
        self._stage = Stage.INITIALIZING
        if not self._init:
            self._run(now)

    def _init_steps(self, now: datetime) -> Iterator[Step]:
        current = next((one for one in self._init if not _has_initialized(one)), None)
        if current is None:
            yield now, self._run
        elif current.resume_at is not None:
            yield current.resume_at, current.restart
        elif current.running_since is None:
            yield now, current.start
        elif current is self._init[0] and current.restart_count < self.behaviour.init_restarts:
            yield current.running_since + self.behaviour.init_restart_after, lambda at: self._fail_init(current, at)
        else:
            yield current.running_since + self.behaviour.init_after, lambda at: self._complete_init(current, at)

    def _fail_init(self, container: Container, now: datetime) -> None:
        container.exit(now, 1, "Error")
        if self._spec.get("restartPolicy") == "Never":
            self._finish("Failed")
        else:
            container.restart(now)

    def _complete_init(self, container: Container, now: datetime) -> None:
        if not container.is_sidecar:
            container.exit(now, 0, "Completed")
        container.ready = True

    def _run(self, now: datetime) -> None:
        self._stage, self._phase, self._started_at = Stage.RUNNING, "Running", now
        for container in self._main:
            container.start(now)

    def _adjust(self, now: datetime) -> None:
        """What a changed behaviour undoes or does at once."""
        if self._has_lost_readiness and self.behaviour.unready_after is None:
            self._has_lost_readiness = False
        if self.behaviour.never_ready:
            for container in self._main:
                container.ready = False
        self._restart_init(now)
        self._update_conditions(now)

    def _restart_init(self, now: datetime) -> None:
        """A sidecar that crashed, or a sandbox made anew: the count rises while the pod runs on."""
        for container in self._init[:1]:
            if container.restart_count < self.behaviour.init_restart_now:
                started = container.running_since or now
                container.last = Terminated(self.behaviour.exit_code, self.behaviour.reason, started, now)
                container.restart_count = self.behaviour.init_restart_now

    def _running_steps(self, now: datetime) -> Iterator[Step]:
        behaviour, first = self.behaviour, self._main[0]
        started = self._started_at or now
        if behaviour.fail_after is not None:
            yield started + behaviour.fail_after, self._fail
        if behaviour.succeed_after is not None:
            yield started + behaviour.succeed_after, self._succeed
        if first.running_since is not None:
            if behaviour.crash_loop:
                yield (
                    first.running_since,
                    lambda at: self._exit(first, at, behaviour.exit_code, behaviour.restart_every),
                )
            elif behaviour.restart_after is not None and first.restart_count < behaviour.restarts:
                due = first.running_since + behaviour.restart_after
                yield due, lambda at: self._exit(first, at, behaviour.exit_code, None)
        yield from self._readiness_steps()
        for container in self._main:
            if container.resume_at is not None:
                yield container.resume_at, container.restart

    def _readiness_steps(self) -> Iterator[Step]:
        behaviour = self.behaviour
        if self._ready_since is not None and behaviour.unready_after is not None and not self._has_lost_readiness:
            yield self._ready_since + behaviour.unready_after, self._lose_readiness
        if behaviour.never_ready or self._has_lost_readiness:
            return
        for container in self._main:
            if container.running_since is not None and not container.ready:
                delay = behaviour.ready_again_after if container.restart_count else behaviour.ready_after
                yield container.running_since + delay, lambda at, one=container: _make_ready(one)  # type: ignore[misc]

    def _lose_readiness(self, now: datetime) -> None:
        self._has_lost_readiness = True
        self._main[0].ready = False

    def _exit(self, container: Container, now: datetime, code: int, fixed: timedelta | None) -> None:
        container.exit(now, code, self.behaviour.reason if code else "Completed")
        policy = self._spec.get("restartPolicy", "Always")
        if policy == "Always" or (policy == "OnFailure" and code):
            container.back_off(now, fixed)
            return
        ended = [one.state for one in self._main]
        if all(isinstance(state, Terminated) for state in ended):
            self._finish("Failed" if any(_failed(state) for state in ended) else "Succeeded")

    def _fail(self, now: datetime) -> None:
        if self.behaviour.reason == "Evicted":
            self._reason = "Evicted"  # said of the pod, as the kubelet does
        self._end_all(now, self.behaviour.exit_code, self.behaviour.reason)
        self._finish("Failed")

    def _succeed(self, now: datetime) -> None:
        self._end_all(now, 0, "Completed")
        self._finish("Succeeded")

    def _end_all(self, now: datetime, code: int, reason: str) -> None:
        for container in self._main:
            container.exit(now, code, reason)
        for container in self._init:
            if container.is_sidecar:
                container.exit(now, 0, "Completed")

    def _finish(self, phase: str) -> None:
        self._stage, self._phase = Stage.FINISHED, phase

    def _update_conditions(self, now: datetime) -> None:
        initialized = all(map(_has_initialized, self._init))
        ready = self._phase == "Running" and all(one.ready for one in self._main)
        unready = ", ".join(one.name for one in self._main if not one.ready)
        why_unready = {"reason": "ContainersNotReady", "message": f"containers with unready status: [{unready}]"}
        incomplete = {"reason": "ContainersNotInitialized", "message": "containers with incomplete status"}
        finished = _FINISHED.get(self._phase)
        completed = _FINISHED["Succeeded"] if self._phase == "Succeeded" else {}
        self._set("Initialized", initialized, completed if initialized else incomplete, now)
        for type_ in ("ContainersReady", "Ready"):
            self._set(type_, ready, {} if ready else finished or why_unready, now)
        if not ready:
            self._ready_since = None
        elif self._ready_since is None:
            self._ready_since = now

    def _set(self, type_: str, holds: bool, why: Mapping[str, str], now: datetime) -> None:
        status = "True" if holds else "False"
        old = self._conditions.get(type_)
        since = old["lastTransitionTime"] if old is not None and old["status"] == status else timestamp(now)
        self._conditions[type_] = {"type": type_, "status": status, "lastTransitionTime": since, **why}


def _container(spec: Object, state: State) -> Container:
    return Container(spec["name"], spec["image"], state, is_sidecar=spec.get("restartPolicy") == "Always")


def _has_initialized(container: Container) -> bool:
    if container.is_sidecar:
        return container.ready
    return isinstance(container.state, Terminated) and container.state.exit_code == 0


def _failed(state: State) -> bool:
    return isinstance(state, Terminated) and state.exit_code != 0


def _make_ready(container: Container) -> None:
    container.ready = True
