"""How long nobody works when the leader is killed, or hands over as asked; and how soon a process is ready."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Callable
from datetime import datetime
from typing import Any

from bench.plane import NAMESPACE, Plane, fresh_plane
from bench.polling import until
from bench.process import running_controller
from bench.row import Row
from bench.workload import model_infer
from modelinfer_controller.controller.resources import MODEL_INFERS

LEASE_SECONDS = 15.0  # the default
_ELECTION = ("--leader-elect", "--leader-elect-namespace=default")


async def failover(nodes: int, repeats: int) -> list[Row]:
    killed = [await _hand_over(nodes, signal.SIGKILL) for _ in range(repeats)]
    stopped = [await _hand_over(nodes, signal.SIGTERM) for _ in range(repeats)]
    return [
        Row("leader killed -9 -> next write", "lease of 15 s", "s", killed, aim=LEASE_SECONDS + 0.3),
        Row("planned hand-over -> next write", "lease of 15 s", "s", stopped, aim=0.5),
    ]


async def _hand_over(nodes: int, number: signal.Signals) -> float:
    """Seconds from the signal until the standby sends its first write for a ModelInfer that is scaled meanwhile."""
    async with fresh_plane(nodes) as plane:
        kubeconfig, log = plane.control_plane.kubeconfig, plane.log
        async with running_controller(kubeconfig, log, *_ELECTION) as leader:
            standby_log = log.with_suffix(".standby")
            async with running_controller(kubeconfig, standby_log, *_ELECTION, ready=b"Waiting for leadership"):
                await plane.client.create(MODEL_INFERS, NAMESPACE, model_infer("m0", 1))
                await plane.progress.until_ready(2)
                await asyncio.sleep(5.0)
                position, began = plane.control_plane.audit_position(), time.time()
                os.kill(leader.pid, number)
                await plane.client.patch(MODEL_INFERS, NAMESPACE, "m0", {"spec": {"replicas": 2}})
                return await _first_write(plane, position, lambda event: event.name.startswith("m0-1")) - began


async def _first_write(plane: Plane, position: int, is_it: Callable[[Any], bool]) -> float:
    async def look() -> list[Any]:
        return [event for event in plane.writes_of_controller(position) if is_it(event)]

    async with asyncio.timeout(60):
        found = await until(look)
    return datetime.fromisoformat(found[0].time).timestamp()


async def start(nodes: int, repeats: int) -> list[Row]:
    """A wheel's start on an empty cluster: what it costs until its workers run."""
    cpu, wall = [], []
    async with fresh_plane(nodes) as plane:
        for _ in range(repeats):
            began = time.time()
            async with running_controller(plane.control_plane.kubeconfig, plane.log) as process:
                cpu.append(process.cost().cpu_s)
                wall.append(time.time() - began)
    return [
        Row("start -> caches synced, processor time", "empty cluster", "s", cpu, aim=0.5),
        Row("start -> caches synced", "empty cluster", "s", wall),
    ]
