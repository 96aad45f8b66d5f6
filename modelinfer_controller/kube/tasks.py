"""Tasks that live and end together, and cancellations that nobody requested."""

import asyncio
from collections.abc import Coroutine, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, NoReturn, TypeVar

T = TypeVar("T")


class CancelledFromWithin(RuntimeError):
    """Something that was awaited raised CancelledError, though nobody requested the end of the task."""


def is_cancelled_from_outside() -> bool:
    """Whether a CancelledError in the current task is a request to end it, not a stray one from what it awaited."""
    task = asyncio.current_task()
    return task is None or task.cancelling() > 0


@contextmanager
def stray_cancellation_as_error(what: str) -> Iterator[None]:
    """Turns a CancelledError that nobody requested into CancelledFromWithin.

    Nobody would miss a task that ended of it. what: the subject of the message.
    """
    try:
        yield
    except asyncio.CancelledError as error:
        if is_cancelled_from_outside():
            raise
        raise CancelledFromWithin(f"{what} was cancelled from within") from error


def result_of(task: "asyncio.Task[T]") -> T:
    """The result of a task that has ended, and that nobody asked to end. Raises its error, or CancelledFromWithin."""
    if task.cancelled():
        raise CancelledFromWithin(f"{task.get_name()} was cancelled from within")
    return task.result()


async def run_all(coroutines: Iterable[tuple[str, Coroutine[Any, Any, Any]]]) -> NoReturn:
    """Runs coroutines that have no end of their own, each as a task of the name before it; ends by cancellation.

    When one ends all the same the others are cancelled, and its error is raised, or RuntimeError if it had none.
    """
    tasks = [asyncio.create_task(coroutine, name=name) for name, coroutine in coroutines]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    for task in done:
        result_of(task)
    raise RuntimeError(f"{', '.join(task.get_name() for task in done)} ended, and was not meant to")
