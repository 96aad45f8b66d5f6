"""Workers that take keys from a work queue and reconcile them, with the one retry policy."""

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import Generic, Protocol, TypeVar

import structlog

from modelinfer_controller.kube.tasks import stray_cancellation_as_error
from modelinfer_controller.kube.workqueue import QueueShutDown, WorkQueue

K = TypeVar("K", bound=Hashable)

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Result:
    """What a reconcile came to, and when the next one is to follow.

    requeue_after: run again after that time; None: when something changes. cooldown: do not run again before that
    time, whatever changes. outcome: a CamelCase word for a state of the object that is no error of the program, such as
    "QuotaExceeded", with a message for the log; "" for plain success. error: what went wrong, treated as if it had been
    raised; requeue_after counts beside its retry, and the sooner wins.
    """

    requeue_after: timedelta | None = None
    cooldown: timedelta = timedelta(0)
    outcome: str = ""
    message: str = ""
    error: Exception | None = None


class TerminalError(Exception):
    """An error of a reconcile that trying again cannot help: the key waits for the next event."""


class ResultLabel(StrEnum):
    """How a reconcile ended: controller-runtime's values of the label result of controller_runtime_reconcile_total."""

    SUCCESS = "success"
    REQUEUE_AFTER = "requeue_after"
    ERROR = "error"
    TERMINAL_ERROR = "terminal_error"


class ReconcileObserver(Protocol):
    """Hears of each reconcile."""

    def __call__(self, label: ResultLabel, seconds: float, outcome: str) -> None:
        """Called with each reconcile that ended, and its time; outcome as in `Result`. Must not block or raise."""


def ignore_reconcile(label: ResultLabel, seconds: float, outcome: str) -> None:
    """The observer of who does not observe."""


class Controller(Generic[K]):
    """Runs `reconcile(key)` for the keys of `queue`, by at most `workers` tasks, never two for one key at a time.

    The one retry policy: an error comes back rate-limited; requeue_after forgets the failures and comes back then;
    success forgets the failures; a terminal error forgets them and waits for an event. An ExceptionGroup is terminal
    if all its errors are. Every error is logged here, once, with the reconcile's id; the same id is bound to whatever
    the reconcile logs (structlog's contextvars: controller, key, reconcile_id). An outcome is logged when it is
    another than the key's last one.
    """

    def __init__(
        self,
        name: str,
        queue: WorkQueue[K],
        reconcile: Callable[[K], Awaitable[Result]],
        *,
        workers: int = 1,
        observe: ReconcileObserver = ignore_reconcile,
    ) -> None:
        self._name = name
        self._queue = queue
        self._reconcile = reconcile
        self._workers = workers
        self._observe = observe
        self._ids = itertools.count(1)
        self._idle_count = 0  # workers that wait for a key
        self._outcomes: dict[K, str] = {}  # the last of each key, where there is one

    async def run(self) -> None:
        """Works until the queue is shut down and empty; cancellation interrupts the reconciles.

        Raises an ExceptionGroup if a worker breaks, which no error of a reconcile can cause.
        """
        async with asyncio.TaskGroup() as workers:
            numbers = iter(range(self._workers))

            def start_worker() -> None:
                if (number := next(numbers, None)) is not None:
                    workers.create_task(self._work(start_worker), name=f"{self._name} worker {number}")

            start_worker()

    async def _work(self, start_worker: Callable[[], None]) -> None:
        """start_worker: called when no other worker is idle."""
        while True:
            self._idle_count += 1
            try:
                key = await self._queue.get()
            except QueueShutDown:
                return
            finally:
                self._idle_count -= 1
            if not self._idle_count:
                start_worker()
            cooldown = timedelta(0)
            try:
                cooldown = await self._run_one(key)
            finally:
                self._queue.done(key, cooldown=cooldown.total_seconds())
            await asyncio.sleep(0)  # a reconcile that had nothing to wait for does not keep the loop to its key

    async def _run_one(self, key: K) -> timedelta:
        """Returns the cooldown."""
        with structlog.contextvars.bound_contextvars(
            controller=self._name, key=str(key), reconcile_id=f"{self._name}-{next(self._ids)}"
        ):
            now = asyncio.get_running_loop().time
            began = now()
            result = await self._result_of(key)
            self._observe(self._settle(key, result), now() - began, result.outcome)
            self._note_outcome(key, result)
            return result.cooldown

    async def _result_of(self, key: K) -> Result:
        try:
            with stray_cancellation_as_error("the reconcile"):
                result = await self._reconcile(key)
        except Exception as error:  # noqa: BLE001 # logged once, and tried again
            return Result(error=error)
        if not isinstance(result, Result):
            raise TypeError(f"{self._name}: reconcile returned {result!r}, not a Result")
        return result

    def _settle(self, key: K, result: Result) -> ResultLabel:
        delay = result.requeue_after
        if delay is not None:
            self._queue.add_after(key, delay.total_seconds())
        match result.error:
            case None:
                self._queue.forget(key)
                return ResultLabel.SUCCESS if delay is None else ResultLabel.REQUEUE_AFTER
            case error if _is_terminal(error):
                self._queue.forget(key)
                log.error("Reconcile failed for good", exc_info=error)
                return ResultLabel.TERMINAL_ERROR
            case error:
                self._queue.add_rate_limited(key)
                log.error("Reconcile failed", failures=self._queue.num_requeues(key), exc_info=error)
                return ResultLabel.ERROR

    def _note_outcome(self, key: K, result: Result) -> None:
        if not result.outcome:
            self._outcomes.pop(key, None)
        elif self._outcomes.get(key) != result.outcome:
            self._outcomes[key] = result.outcome
            log.info("Reconcile waits", outcome=result.outcome, message=result.message)


def _is_terminal(error: Exception) -> bool:
    if isinstance(error, ExceptionGroup):
        return all(map(_is_terminal, error.exceptions))
    return isinstance(error, TerminalError)
