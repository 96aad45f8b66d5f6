"""Coroutines that live and end together."""

import asyncio
from collections.abc import Coroutine, Iterable
from typing import Any, NoReturn


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
        if not task.cancelled():
            task.result()
    raise RuntimeError(f"{', '.join(task.get_name() for task in done)} ended, and was not meant to")
