"""From apply to created and to ready, beside a bare loop; with a large fleet, what comes after that, too."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from bench.bare import apply_and_post, in_flight
from bench.contender import OURS, Contender
from bench.plane import NAMESPACE, Plane, fresh_plane
from bench.process import ControllerProcess
from bench.row import Row
from bench.waiting import until_available
from bench.workload import model_infer

WARM_UP = 2.0  # seconds for the controller's start and the API server's own settling


@dataclass(frozen=True)
class Fleet:
    """So many workloads, of so many groups of a Service and two pods each."""

    objects: int
    groups: int

    @property
    def names(self) -> list[str]:
        return [f"m{number}" for number in range(self.objects)]

    @property
    def pods(self) -> int:
        return self.objects * self.groups * 2

    def __str__(self) -> str:
        return f"{self.objects} x {self.groups} groups of 2"


@dataclass(frozen=True)
class Times:
    """Seconds from the start until every pod was created, and until every pod was ready."""

    created: float
    ready: float


async def creation(nodes: int, fleet: Fleet, repeats: int, contender: Contender = OURS) -> list[Row]:
    """In turns: other work on the machine slows one run or another, and the fastest is the least disturbed."""
    floors, ours = [], []
    details: dict[str, Any] = {}
    for _ in range(repeats):
        async with fresh_plane(nodes) as plane:
            floors.append(await bare_creation(plane, fleet))
        async with fresh_plane(nodes, contender.pod_selector) as plane, contender.running(plane) as process:
            ours.append(await create(plane, fleet, contender))
            if contender is OURS:
                await until_available(plane, fleet.names, fleet.groups)
            details = cost_of(process) | {"calls": dict(plane.calls_of_controller()), "controller": contender.name}
    return rows_of(fleet, ours, floors, details)


def rows_of(fleet: Fleet, ours: Sequence[Times], floors: Sequence[Times], details: dict[str, Any]) -> list[Row]:
    created, ready = [one.created for one in ours], [one.ready for one in ours]
    of_floor = [one.created for one in floors], [one.ready for one in floors]
    return [
        Row("created", str(fleet), "s", created, of_floor[0], aim_ratio=1.1, details=details),
        Row("all ready", str(fleet), "s", ready, of_floor[1], aim_ratio=1.05),
    ]


async def create(plane: Plane, fleet: Fleet, contender: Contender = OURS) -> Times:
    await asyncio.sleep(WARM_UP)
    started = time.time()

    async def post(name: str) -> None:
        resource, body = contender.manifest(name, fleet.groups)
        await plane.client.create(resource, NAMESPACE, body)

    applying = asyncio.create_task(in_flight(post, fleet.names))
    times = await _times(plane, started, fleet.pods)
    await applying
    return times


async def bare_creation(plane: Plane, fleet: Fleet) -> Times:
    await asyncio.sleep(WARM_UP)
    started = time.time()
    bodies = [model_infer(name, fleet.groups) for name in fleet.names]
    posting = asyncio.create_task(apply_and_post(plane.client, NAMESPACE, bodies))
    times = await _times(plane, started, fleet.pods)
    await posting
    return times


async def _times(plane: Plane, started: float, pods: int) -> Times:
    created = await plane.progress.until(lambda: len(plane.progress.seen) >= pods)
    ready = await plane.progress.until_ready(pods)
    return Times(created - started, ready - started)


def cost_of(process: ControllerProcess) -> dict[str, Any]:
    cost = process.cost()
    return {"cpu_s": round(cost.cpu_s, 2), "peak_mb": round(cost.peak_mb, 1)}
