"""An event loop on which waiting takes no time: when nothing is ready, its clock jumps to the next timer.

Code that waits by `asyncio.sleep`, `loop.call_later` and `asyncio.timeout` alone, and reads `loop.time()` alone, runs
on it unchanged: an hour of leases takes milliseconds, and every run takes the same course.
"""

import asyncio
import selectors
from collections.abc import Callable, Coroutine, Iterator, Mapping
from concurrent.futures import Executor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, TypeVar, TypeVarTuple

if TYPE_CHECKING:
    from _typeshed import FileDescriptorLike

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

EPOCH = datetime(2026, 1, 1, tzinfo=UTC)

# Real seconds that open sockets are given to become ready before the clock jumps.
IO_GRACE = 0.02

# Larger than the error of adding floats up to 30 years of seconds, or a due timer could be missed for ever.
RESOLUTION = 1e-6

# Rounds of the loop at one instant. Ten thousand pods that fail at once take some thousand.
MOST_ROUNDS = 100_000


class Deadlock(RuntimeError):
    """Nothing is ready, nothing is scheduled, no I/O is open: what the main coroutine awaits will never come."""


class Livelock(RuntimeError):
    """Something goes on and on, and the clock does not move: at an instant there is always one more thing to do."""


class LeakedTask(RuntimeError):
    """The main coroutine has ended and left tasks behind."""


class VirtualClock:
    """The wall clock that goes with a loop's clock: `start` is what it shows at loop.time() == 0."""

    def __init__(self, loop: asyncio.AbstractEventLoop, start: datetime = EPOCH) -> None:
        self._loop = loop
        self._start = start

    def now(self) -> datetime:
        return self._start + timedelta(seconds=self._loop.time())


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """time() starts at 0 and moves only by jumps to the next timer.

    Real waiting remains where it must: work in executor threads stops the clock until it is done, and open sockets get
    IO_GRACE of silence before each jump. Raises Deadlock out of the running call where a real loop would hang, and
    Livelock where a real one would spin.
    """

    def __init__(self) -> None:
        self._now = 0.0
        self._work_in_threads = 0
        self._rounds = 0
        super().__init__(_JumpingSelector(self._wait))
        self._clock_resolution = RESOLUTION

    def time(self) -> float:
        return self._now

    def stall(self, seconds: float) -> None:
        """The process was stopped for that long: nothing ran, the clock went on, and what fell due is overdue."""
        self._now += seconds

    def run_in_executor(self, executor: Executor | None, func: Callable[[*Ts], T], *args: *Ts) -> asyncio.Future[T]:
        future = super().run_in_executor(executor, func, *args)
        self._work_in_threads += 1
        future.add_done_callback(self._thread_done)
        return future

    async def shutdown_default_executor(self, *args: Any, **kwargs: Any) -> None:
        with self._clock_stopped():
            await super().shutdown_default_executor(*args, **kwargs)

    @contextmanager
    def _clock_stopped(self) -> Iterator[None]:
        self._work_in_threads += 1
        try:
            yield
        finally:
            self._work_in_threads -= 1

    def _thread_done(self, _: asyncio.Future[Any]) -> None:
        self._work_in_threads -= 1

    def _wait(self, selector: selectors.BaseSelector, timeout: float | None) -> "_Ready":
        """Takes the place of select(timeout), which a real loop spends its idle time in; None means no timer."""
        ready = selector.select(0)
        if ready or timeout == 0:
            self._rounds += 1
            if self._rounds > MOST_ROUNDS and not ready:
                self._rounds = 0
                raise Livelock(f"{MOST_ROUNDS} rounds at {self._now:g} s, and no end; {_waiting(self)}")
            return ready
        if self._work_in_threads:
            return selector.select(None)
        has_open_sockets = len(selector.get_map()) > 1  # one is the loop's own wake-up pipe
        if has_open_sockets:
            ready = selector.select(IO_GRACE if timeout is not None else None)
            if ready:
                return ready
        if timeout is None:
            raise Deadlock(f"nothing is ready and no timer is set at {self._now:g} s; {_waiting(self)}")
        self._now += timeout
        self._rounds = 0
        return ready


_Ready = list[tuple[selectors.SelectorKey, int]]


class _JumpingSelector(selectors.BaseSelector):
    """The default selector, with its waiting replaced by `wait`."""

    def __init__(self, wait: Callable[[selectors.BaseSelector, float | None], _Ready]) -> None:
        self._selector = selectors.DefaultSelector()
        self._wait = wait

    def register(self, fileobj: "FileDescriptorLike", events: int, data: Any = None) -> selectors.SelectorKey:
        return self._selector.register(fileobj, events, data)

    def unregister(self, fileobj: "FileDescriptorLike") -> selectors.SelectorKey:
        return self._selector.unregister(fileobj)

    def modify(self, fileobj: "FileDescriptorLike", events: int, data: Any = None) -> selectors.SelectorKey:
        return self._selector.modify(fileobj, events, data)

    def select(self, timeout: float | None = None) -> _Ready:
        return self._wait(self._selector, timeout)

    def close(self) -> None:
        self._selector.close()

    def get_map(self) -> Mapping["FileDescriptorLike", selectors.SelectorKey]:
        return self._selector.get_map()


def run(main: Coroutine[Any, Any, T]) -> T:
    """asyncio.run in virtual time, from 0. Raises LeakedTask if `main` returns and leaves a task behind."""
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        result = runner.run(main)
        if asyncio.all_tasks(runner.get_loop()):
            raise LeakedTask(_waiting(runner.get_loop()))
        return result


def _waiting(loop: asyncio.AbstractEventLoop) -> str:
    return "waiting: " + ", ".join(sorted(map(_whereabouts, asyncio.all_tasks(loop))))


def _whereabouts(task: asyncio.Task[Any]) -> str:
    frames = task.get_stack(limit=1)
    where = f"{frames[0].f_code.co_filename}:{frames[0].f_lineno}" if frames else "not started"
    return f"{task.get_name()} at {where}"
