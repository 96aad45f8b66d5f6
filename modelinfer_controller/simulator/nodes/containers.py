"""One container as the kubelet keeps it: what state it is in, how often it was restarted, when it may start again."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from modelinfer_controller.simulator.objects import Object, timestamp

FIRST_BACK_OFF = timedelta(seconds=10)
LONGEST_BACK_OFF = timedelta(minutes=5)
BACK_OFF_RESET = 2 * LONGEST_BACK_OFF  # a container that ran for so long starts from the first back-off again


@dataclass(frozen=True, slots=True)
class Waiting:
    """A container that has not started."""

    reason: str
    message: str = ""

    def json(self) -> Object:
        return {"waiting": {"reason": self.reason, **({"message": self.message} if self.message else {})}}


@dataclass(frozen=True, slots=True)
class Running:
    """A container that runs."""

    since: datetime

    def json(self) -> Object:
        return {"running": {"startedAt": timestamp(self.since)}}


@dataclass(frozen=True, slots=True)
class Terminated:
    """A container that has ended."""

    exit_code: int
    reason: str
    started: datetime
    finished: datetime

    def json(self) -> Object:
        times = {"startedAt": timestamp(self.started), "finishedAt": timestamp(self.finished)}
        return {"terminated": {"exitCode": self.exit_code, "reason": self.reason, **times}}


State = Waiting | Running | Terminated


@dataclass(slots=True)
class Container:
    """resume_at is set while the container waits for the end of its back-off."""

    name: str
    image: str
    state: State
    is_sidecar: bool = False
    ready: bool = False
    restart_count: int = 0
    last: Terminated | None = None
    resume_at: datetime | None = None
    _back_off: timedelta = timedelta()

    @property
    def running_since(self) -> datetime | None:
        return self.state.since if isinstance(self.state, Running) else None

    def start(self, now: datetime) -> None:
        if isinstance(self.state, Terminated):
            self.last = self.state
        self.state, self.resume_at = Running(now), None

    def restart(self, now: datetime) -> None:
        self.start(now)
        self.restart_count += 1

    def exit(self, now: datetime, code: int, reason: str) -> None:
        started = self.running_since or now
        self.state, self.ready = Terminated(code, reason, started, now), False

    def back_off(self, now: datetime, fixed: timedelta | None) -> None:
        """After an exit: restarts at once the first time, later waits 10 s, 20 s, ... 5 min, or the fixed time."""
        if not isinstance(self.state, Terminated):
            return
        ran = self.state.finished - self.state.started
        delay = timedelta() if ran >= BACK_OFF_RESET else self._back_off
        self._back_off = min(delay * 2, LONGEST_BACK_OFF) if delay else FIRST_BACK_OFF
        if fixed is not None:
            delay = fixed
        if not delay:
            self.restart(now)
            return
        self.last = self.state
        self.resume_at = now + delay
        text = f"back-off {delay.total_seconds():g}s restarting failed container={self.name}"
        self.state = Waiting("CrashLoopBackOff", text)

    def status(self) -> Object:
        """The ContainerStatus."""
        last = self.last.json() if self.last is not None else {}
        return {
            "name": self.name,
            "image": self.image,
            "imageID": "",
            "ready": self.ready,
            "started": isinstance(self.state, Running),
            "restartCount": self.restart_count,
            "state": self.state.json(),
            "lastState": last,
        }
