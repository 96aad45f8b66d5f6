"""Waiting of verbs that follow: for the cluster, or for a key."""

import asyncio
from collections.abc import Coroutine
from typing import Any


async def change_or_key(change: Coroutine[Any, Any, None], key: asyncio.Event) -> None:
    """Until the change has come, or a key was pressed, which is then forgotten."""
    tasks = {asyncio.create_task(change, name="change"), asyncio.create_task(key.wait(), name="key")}
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    key.clear()
