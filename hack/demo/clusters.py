"""The control plane that the demo plays on. Nothing after this file knows which one it is."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from controlplane import ControlPlane, Settings

from modelinfer_controller.kube.clock import SystemClock
from modelinfer_controller.simulator.apiserver.http_server import kubeconfig, serve_http
from modelinfer_controller.simulator.control_plane import SimulatedControlPlane
from modelinfer_controller.simulator.nodes.node import NodeShape

NODES = 9  # of 8 GPUs, over three zones
_CPU, _MEMORY, _PODS, _GPUS = "96", "1Ti", "110", "8"


@dataclass(frozen=True)
class Cluster:
    """title: what it is, for people. folder: where logs may be written while it is up."""

    title: str
    kubeconfig: Path
    folder: Path


@asynccontextmanager
async def simulated_cluster(folder: Path) -> AsyncIterator[Cluster]:
    """The embedded control plane in real time, served to kubectl on loopback."""
    capacity = {"cpu": _CPU, "memory": _MEMORY, "pods": _PODS, "nvidia.com/gpu": _GPUS}
    nodes = [NodeShape(f"node-{number}", capacity=capacity) for number in range(NODES)]
    plane = SimulatedControlPlane(nodes=nodes, clock=SystemClock())
    async with plane, serve_http(plane.api) as url:
        path = folder / "kubeconfig"
        path.write_text(kubeconfig(url))
        yield Cluster(f"a simulated control plane with {NODES} nodes: {url}", path, folder)


@contextmanager
def real_cluster() -> Iterator[Cluster]:
    """A control plane of hack/cluster of its own, gone at the end. Builds the binaries first where they are missing."""
    settings = Settings(nodes=NODES, cpu=_CPU, memory=_MEMORY, pods=_PODS, gpus=_GPUS)
    with ControlPlane.start(settings, name=f"demo-{os.getpid()}") as plane:
        title = f"a real control plane with {NODES} simulated nodes: {plane.server}"
        yield Cluster(title, plane.kubeconfig, plane.logs)
