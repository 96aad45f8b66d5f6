"""Writes the latest value of each key: what comes while a write waits or goes on is written with, or after, it."""

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Generic, TypeVar

import structlog

from modelinfer_controller.kube.backoff import exponential
from modelinfer_controller.kube.inflight import FairLimiter, Flow
from modelinfer_controller.kube.tasks import stray_cancellation_as_error

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")

FIRST_RETRY, LAST_RETRY = 1.0, 60.0  # seconds

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


@dataclass(slots=True, eq=False)
class _Entry(Generic[V]):
    """A key with a value that is not written.

    value: the newest. due: its timer, or None where it may be written now. committed: the value that is written next
    or now, None while there is only one that waits for its time. task: the one writer of the key, there if and only if
    a committed value is not written. is_queued: the task waits for a slot, and has taken no value yet.
    """

    value: V
    deferred_since: float
    committed: V | None = None
    due: asyncio.TimerHandle | None = None
    task: "asyncio.Task[None] | None" = None
    is_queued: bool = False
    waiters: "list[asyncio.Future[None]]" = field(default_factory=list)


class CoalescingWriter(Generic[K, V]):
    """Of each key one write at a time; of all keys as many as the limiter lets run, but for those that are waited for.

    write(key, value) sends it. A value that could not be written is tried again, 1 s later at first and a minute at
    most, unless is_obsolete(key, value) says that there is nothing to write to any more. interval: seconds between two
    writes of a key that `throttle` asked for, and the longest that `defer` puts one off.
    """

    def __init__(
        self,
        write: Callable[[K, V], Awaitable[None]],
        limiter: FairLimiter,
        *,
        flow_of: Callable[[K], Flow],
        interval: float,
        is_obsolete: Callable[[V, Exception], bool] = lambda value, error: False,
    ) -> None:
        self._write = write
        self._limiter = limiter
        self._flow_of = flow_of
        self._interval = interval
        self._is_obsolete = is_obsolete
        self._entries: dict[K, _Entry[V]] = {}
        self._last_written: dict[K, float] = {}  # when the last write of a key began
        self._failures: dict[K, int] = {}  # in a row
        self._is_draining = False

    def pending(self, key: K) -> V | None:
        """The newest value, where it is not written yet; None also while the key's writes fail."""
        entry = self._entries.get(key)
        return None if entry is None or key in self._failures else entry.value

    def committed(self, key: K) -> V | None:
        """The value that is being written, or queued to be; None if there is none."""
        entry = self._entries.get(key)
        return None if entry is None else entry.committed

    def is_queued(self, key: K) -> bool:
        """Whether a write waits for its slot: another value for it costs no further request."""
        entry = self._entries.get(key)
        return entry is not None and entry.is_queued

    def enqueue(self, key: K, value: V) -> None:
        """Writes the value as soon as there is a slot."""
        self._put(key, value, delay=0.0)

    def throttle(self, key: K, value: V) -> None:
        """Like `enqueue`, but not within the interval after the last write of the key."""
        since = self._last_written.get(key)
        self._put(key, value, delay=0.0 if since is None else since + self._interval - _time())

    def defer(self, key: K, value: V) -> None:
        """A newer value is expected: waits for it, for the interval at most since the first value that waited."""
        entry = self._entries.get(key)
        since = entry.deferred_since if entry is not None and entry.due is not None else _time()
        self._put(key, value, delay=since + self._interval - _time())

    async def write(self, key: K, value: V) -> None:
        """Writes the value at once, before all that is queued, and waits for the answer. Raises what came of it."""
        entry = self._replace(key, value)
        self._commit(entry)
        written: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        entry.waiters.append(written)
        if entry.task is not None and entry.is_queued:
            entry.task.cancel()
            entry.task = None
        self._start(key, entry, is_awaited=True)
        await written

    def forget(self, key: K) -> None:
        """There is nothing to write to any more: what waits is dropped, what goes on ends."""
        self._last_written.pop(key, None)
        self._failures.pop(key, None)
        entry = self._entries.get(key)
        if entry is not None and entry.task is None:
            self._drop(key, entry)

    async def drain(self) -> None:
        """Ends when every value is written, or has failed once more, which nobody hears of."""
        self._is_draining = True
        for key, entry in list(self._entries.items()):
            self._commit(entry)
            self._start(key, entry)
        while tasks := [entry.task for entry in self._entries.values() if entry.task is not None]:
            await asyncio.wait(tasks)

    async def close(self) -> None:
        """Breaks off what is still being written: nothing, once it is drained."""
        tasks = [entry.task for entry in self._entries.values() if entry.task is not None]
        for key, entry in list(self._entries.items()):
            self._drop(key, entry)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _put(self, key: K, value: V, *, delay: float) -> None:
        entry = self._replace(key, value)
        if entry.is_queued or (key in self._failures and entry.task is not None):
            entry.committed = value
        elif key not in self._failures:
            due = _time() + delay
            if entry.due is not None:
                due = min(due, entry.due.when())
            self._cancel_timer(entry)
            self._set_timer(key, entry, due)

    def _replace(self, key: K, value: V) -> _Entry[V]:
        entry = self._entries.get(key)
        if entry is None:
            entry = self._entries[key] = _Entry(value, _time())
        elif entry.due is None:
            entry.deferred_since = _time()
        entry.value = value
        return entry

    def _commit(self, entry: _Entry[V]) -> None:
        self._cancel_timer(entry)
        entry.committed = entry.value

    def _set_timer(self, key: K, entry: _Entry[V], due: float) -> None:
        if due <= _time() or self._is_draining:
            self._come_due(key, entry)
        else:
            entry.due = asyncio.get_running_loop().call_at(due, self._come_due, key, entry)

    def _come_due(self, key: K, entry: _Entry[V]) -> None:
        self._commit(entry)
        self._start(key, entry)

    def _start(self, key: K, entry: _Entry[V], *, is_awaited: bool = False) -> None:
        """Unless the key's writer is there already: then it takes the value when it is through with the one before."""
        if entry.task is None:
            entry.is_queued = not is_awaited
            entry.task = asyncio.create_task(self._run(key, entry, is_awaited), name=f"write of {key}")

    async def _run(self, key: K, entry: _Entry[V], is_awaited: bool) -> None:
        async with AsyncExitStack() as slot:
            if not is_awaited:
                await slot.enter_async_context(self._limiter.slot(self._flow_of(key)))
            entry.is_queued = False
            while (value := entry.committed) is not None and (entry.waiters or not is_awaited):
                self._last_written[key] = _time()
                try:
                    with stray_cancellation_as_error(f"the write of {key}"):
                        await self._write(key, value)
                except Exception as error:  # noqa: BLE001 # it is tried again
                    self._fail(key, entry, value, error)
                    break
                self._succeed(key, entry, value)
        # From the last look at what is committed on nothing was awaited: what comes now starts a task of its own.
        entry.task = None
        if entry.committed is not None:
            self._start(key, entry)
        elif entry.due is None:
            self._entries.pop(key, None)

    def _succeed(self, key: K, entry: _Entry[V], value: V) -> None:
        self._failures.pop(key, None)
        if entry.committed is value:
            entry.committed = None
            self._answer(entry, None)

    def _fail(self, key: K, entry: _Entry[V], value: V, error: Exception) -> None:
        entry.committed = None
        self._cancel_timer(entry)
        if self._is_obsolete(value, error):
            self.forget(key)
            self._answer(entry, None)
            return
        failures = self._failures[key] = self._failures.get(key, 0) + 1
        delay = exponential(FIRST_RETRY, LAST_RETRY, failures - 1)
        if not entry.waiters:
            log.error("Write failed", key=str(key), failures=failures, retry_in=delay, error=str(error) or repr(error))
        if not self._is_draining:
            self._set_timer(key, entry, _time() + delay)
        self._answer(entry, error)

    @staticmethod
    def _answer(entry: _Entry[V], error: Exception | None) -> None:
        waiters, entry.waiters = entry.waiters, []
        for waiter in waiters:
            if waiter.done():
                continue
            if error is None:
                waiter.set_result(None)
            else:
                waiter.set_exception(error)

    def _drop(self, key: K, entry: _Entry[V]) -> None:
        self._cancel_timer(entry)
        self._entries.pop(key, None)

    @staticmethod
    def _cancel_timer(entry: _Entry[V]) -> None:
        if entry.due is not None:
            entry.due.cancel()
            entry.due = None


def _time() -> float:
    return asyncio.get_running_loop().time()
