"""Many actions at once: slowly at first, so that what cannot succeed is not tried a thousand times."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Generic, TypeAlias, TypeVar

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
    """Actions of an earlier batch failed; this one was not run."""


Outcome: TypeAlias = Succeeded[T_co] | Failed | NotStarted


class CancelledFromWithin(RuntimeError):
    """Something that was awaited raised CancelledError, though nobody asked for the end of the task."""


async def slow_start(
    actions: Iterable[Callable[[], Awaitable[T]]], in_flight: asyncio.Semaphore, *, first_batch: int = 1
) -> list[Outcome[T]]:
    """Runs the actions in batches of 1, 2, 4, ... and stops after a batch that had a failure.

    Returns one outcome for each action, in their order; an action's error never raises from here. At most as many
    run at once as in_flight has permits, which callers share. When cancelled, it cancels the actions under way and
    ends after they have; their outcomes are lost then, so what must be remembered the actions note themselves.
    """
    pending = list(actions)
    outcomes: list[Outcome[T]] = []
    for batch in _doubling(pending, first_batch):
        done = await _run_batch(batch, in_flight)
        outcomes += done
        if any(isinstance(outcome, Failed) for outcome in done):
            break
        await asyncio.sleep(0)  # the watch gets to see what was done before more is
    return outcomes + [NotStarted()] * (len(pending) - len(outcomes))


def errors_of(outcomes: Iterable[Outcome[T]]) -> list[Exception]:
    return [outcome.error for outcome in outcomes if isinstance(outcome, Failed)]


def _doubling(items: Sequence[T], first: int) -> Iterator[Sequence[T]]:
    start, size = 0, first
    while start < len(items):
        yield items[start : start + size]
        start, size = start + size, size * 2


async def _run_batch(
    actions: Sequence[Callable[[], Awaitable[T]]], in_flight: asyncio.Semaphore
) -> Sequence[Outcome[T]]:
    if len(actions) == 1:
        return [await _outcome(actions[0], in_flight)]
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(_outcome(action, in_flight), name="slow-start action") for action in actions]
    return [task.result() for task in tasks]


async def _outcome(action: Callable[[], Awaitable[T]], in_flight: asyncio.Semaphore) -> Outcome[T]:
    async with in_flight:
        try:
            return Succeeded(await action())
        except Exception as error:
            return Failed(error)
        except asyncio.CancelledError as error:
            if is_cancelled_from_outside():
                raise
            stray = CancelledFromWithin("the action was cancelled from within")
            stray.__cause__ = error
            return Failed(stray)


def is_cancelled_from_outside() -> bool:
    """Whether a CancelledError in the current task is a request to end it, not a stray one from what it awaited."""
    task = asyncio.current_task()
    return task is None or task.cancelling() > 0
