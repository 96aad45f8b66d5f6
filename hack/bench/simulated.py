"""A fleet that no machine here could hold on a real control plane: the simulated one, and the controller as a process.

The API server, scheduler and kubelets of the simulation are one process, the controller is another, as its users run
it; they speak HTTP on loopback. What is measured is the controller: its processor time and memory. How long it took is
a matter of the simulation, and no measure of the controller.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from pathlib import Path
from typing import Any

from bench.bare import in_flight
from bench.creation import Fleet
from bench.process import running_controller
from bench.row import Row
from bench.workload import model_infer
from modelinfer_controller.controller.resources import MODEL_INFERS
from modelinfer_controller.kube.clock import SystemClock
from modelinfer_controller.simulator.apiserver.http_server import kubeconfig, serve_http
from modelinfer_controller.simulator.control_plane import SimulatedControlPlane
from modelinfer_controller.simulator.nodes.node import NodeShape

CRD = Path(__file__).resolve().parents[2] / "manifests" / "crd" / "modelinfers.yaml"
NAMESPACE = "default"
_PODS_ON_NODE = 2000
MANIFEST_LIMIT_MB = 1024.0


async def simulated_fleet(fleet: Fleet) -> list[Row]:
    count = fleet.pods // _PODS_ON_NODE + 2
    capacity = {"cpu": "10k", "memory": "100Ti", "pods": str(_PODS_ON_NODE)}
    nodes = [NodeShape(f"node-{number}", capacity=capacity) for number in range(count)]
    plane = SimulatedControlPlane(nodes=nodes, clock=SystemClock(), definitions=[CRD], history_limit=200_000)
    size = f"{fleet}, simulated"
    with tempfile.TemporaryDirectory() as folder:
        async with plane, serve_http(plane.api) as url:
            config = Path(folder) / "kubeconfig"
            config.write_text(kubeconfig(url))
            created = await _creation(plane, fleet, config, Path(folder) / "log")
            restarted = await _restart(plane, config, Path(folder) / "log.restarted")
    return [
        Row("processor time of the controller for it", size, "s", [created["cpu_s"]], details=created),
        Row("memory, peak", size, "MB", [created["peak_mb"]], aim=MANIFEST_LIMIT_MB),
        Row("memory after a restart, peak", size, "MB", [restarted["peak_mb"]], aim=MANIFEST_LIMIT_MB),
        Row("restart -> caches synced, processor time", size, "s", [restarted["synced_cpu_s"]], details=restarted),
    ]


async def _creation(plane: SimulatedControlPlane, fleet: Fleet, config: Path, log: Path) -> dict[str, Any]:
    client = plane.client("bench")
    async with running_controller(config, log) as process:
        began = time.time()
        bodies = [model_infer(name, fleet.groups) for name in fleet.names]
        await in_flight(lambda body: client.create(MODEL_INFERS, NAMESPACE, body), bodies)
        while not await _all_available(plane, fleet):
            plane.api.audit.clear()
            await asyncio.sleep(1.0)
        cost = process.cost()
        return {"cpu_s": cost.cpu_s, "peak_mb": cost.peak_mb, "seconds": round(time.time() - began, 1)}


async def _all_available(plane: SimulatedControlPlane, fleet: Fleet) -> bool:
    listed = await plane.client("bench").list_all(MODEL_INFERS, NAMESPACE)
    return all(one.status.available_replicas == fleet.groups for one in listed.items)


async def _restart(plane: SimulatedControlPlane, config: Path, log: Path) -> dict[str, Any]:
    """A process that finds all of it there, and has looked at every ModelInfer once."""
    plane.api.audit.clear()
    async with running_controller(config, log) as process:
        synced = process.cost().cpu_s
        before = -1.0
        while process.cost().cpu_s - before > 0.05:  # until it has nothing left to do
            before = process.cost().cpu_s
            await asyncio.sleep(2.0)
        writes = [call for call in plane.api.audit.calls if call.verb not in ("get", "list", "watch")]
        cost = process.cost()
        return {"synced_cpu_s": synced, "cpu_s": cost.cpu_s, "peak_mb": cost.peak_mb, "writes": len(writes)}
