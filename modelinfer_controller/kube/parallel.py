"""Many actions at once: slowly at first, so that what cannot succeed is not tried a thousand times."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeAlias, TypeVar

from modelinfer_controller.kube.tasks import CancelledFromWithin as CancelledFromWithin
from modelinfer_controller.kube.tasks import is_cancelled_from_outside as is_cancelled_from_outside
from modelinfer_controller.kube.tasks import stray_cancellation_as_error

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


@dataclass(frozen=True, slots=True)
class Succeeded(Generic[T_co]):
    value: T_co


@dataclass(frozen=True, slots=True)
class Failed:
    """The action was run and raised."""

    error: Exception


@dataclass(frozen=True, slots=True)
class NotStarted:
    """An action before it failed; this one was not run."""


Outcome: TypeAlias = Succeeded[T_co] | Failed | NotStarted


async def slow_start(
    actions: Iterable[Callable[[], Awaitable[T]]],
    in_flight: asyncio.Semaphore,
    *,
    first: int = 1,
    when_all_run: Callable[[], None] = lambda: None,
) -> list[Outcome[T]]:
    """Runs the actions in their order, `first` at once and one more for each that succeeds; none after one has failed.

    That is batches of 1, 2, 4, ... where all take as long; but none waits for the slowest of the batch before it.
    Returns one outcome for each action, in their order; an action's error never raises from here. At most as many
    run at once as in_flight has permits, which callers share. When cancelled, it cancels the actions under way and
    ends after they have; their outcomes are lost then, so what must be remembered the actions note themselves.
    when_all_run is called, once or more, when no further action will start, while the last ones go on.
    """
    run = _Run(list(actions), in_flight, when_all_run)
    if len(run.outcomes) == 1:
        await run.work()
        return run.outcomes
    async with asyncio.TaskGroup() as group:
        run.grow = lambda: group.create_task(run.work(), name="slow-start worker")
        for _ in range(min(first, len(run.outcomes))):
            run.grow()
    return run.outcomes


class _Run(Generic[T]):
    """Workers that take from the same actions; how many there are is how many run at once."""

    def __init__(
        self,
        actions: Sequence[Callable[[], Awaitable[T]]],
        in_flight: asyncio.Semaphore,
        when_all_run: Callable[[], None],
    ) -> None:
        self.outcomes: list[Outcome[T]] = [NotStarted()] * len(actions)
        self.grow: Callable[[], object] = lambda: None
        self._pending = enumerate(actions)
        self._in_flight = in_flight
        self._when_all_run = when_all_run
        self._has_failed = False

    async def work(self) -> None:
        for index, action in self._pending:
            async with self._in_flight:
                if self._has_failed:
                    break
                outcome = self.outcomes[index] = await _outcome(action)
            self._has_failed |= isinstance(outcome, Failed)
            if self._has_failed:
                break
            if not self._in_flight.locked():
                self.grow()
        self._when_all_run()


def errors_of(outcomes: Iterable[Outcome[T]]) -> list[Exception]:
    return [outcome.error for outcome in outcomes if isinstance(outcome, Failed)]


async def _outcome(action: Callable[[], Awaitable[T]]) -> Outcome[T]:
    try:
        with stray_cancellation_as_error("the action"):
            return Succeeded(await action())
    except Exception as error:
        return Failed(error)
