"""Waiting for what only the server can say."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from bench.plane import NAMESPACE, Plane
from bench.polling import until
from modelinfer_controller.api.status import ModelInfer
from modelinfer_controller.controller.resources import MODEL_INFERS


async def until_available(plane: Plane, names: Sequence[str], groups: int) -> None:
    """Until the status says so too: what it costs to report belongs to the bill."""
    for name in names:
        await until_stored(plane, name, lambda stored: stored.status.available_replicas == groups)


async def until_stored(plane: Plane, name: str, holds: Callable[[ModelInfer], bool]) -> None:
    async def look() -> bool:
        return holds(await plane.client.get(MODEL_INFERS, NAMESPACE, name))

    async with asyncio.timeout(600):
        await until(look)
