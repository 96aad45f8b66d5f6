"""Waiting for what only another process knows."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")


async def until(look: Callable[[], Awaitable[T]], interval: float = 0.1) -> T:
    """What `look` finds as soon as it is true. interval: seconds between two looks. The caller sets the timeout."""
    while not (found := await look()):  # noqa: ASYNC110 # nothing in this process can set an event for it
        await asyncio.sleep(interval)
    return found
