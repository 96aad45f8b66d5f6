"""The controller on a simulated cluster, in virtual time."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NoReturn

from modelinfer_controller.api.status import ModelInfer
from modelinfer_controller.app.manager import Manager
from modelinfer_controller.app.telemetry import Telemetry
from modelinfer_controller.controller.resources import MODEL_INFERS
from modelinfer_controller.controller.wiring import Components, wire
from modelinfer_controller.kube.client import Client
from modelinfer_controller.kube.leaderelection import LeaderElector, LeadershipLost
from modelinfer_controller.kube.resource import NODES, PODS
from modelinfer_controller.kube.transport import Transport
from modelinfer_controller.simulator.control_plane import SimulatedControlPlane

CRD = Path(__file__).parents[3] / "manifests" / "crd" / "modelinfers.yaml"
NAMESPACE = "default"


class Silent:
    """An EventSink that drops everything."""

    def record(self, stored: ModelInfer, type_: str, reason: str, message: str) -> None: ...


class Leaving(Exception):
    """Leadership was lost."""


def leave(error: LeadershipLost) -> NoReturn:
    raise Leaving from error


class Noting:
    """A part, and other things of a manager's, that write down what becomes of them."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    async def start(self) -> None:
        self.notes.append("servers start")

    async def stop(self) -> None:
        if self.notes[-1] != "servers stop":
            self.notes.append("servers stop")

    async def run(self) -> None:
        self.notes.append("events are sent")
        await asyncio.get_running_loop().create_future()

    async def flush(self) -> None:
        self.notes.append("events flushed")


def make_components(transport: Transport, cluster: SimulatedControlPlane, telemetry: Telemetry) -> Components:
    client = Client(transport, on_request=telemetry.requests)
    components = wire(client, Silent(), clock=cluster.clock, random=random.Random(0), observers=telemetry.observers)
    telemetry.watch(components)
    return components


def make_manager(
    components: Components,
    noting: Noting,
    *,
    elector: LeaderElector | None = None,
) -> Manager:
    return Manager(
        components,
        elector=elector,
        servers=noting,
        events=noting,
        drain_timeout=5.0,
        on_leadership_lost=leave,
    )


@asynccontextmanager
async def running(manager: Manager) -> AsyncIterator[asyncio.Event]:
    """The manager at work; setting the event, or leaving, stops it. Raises what it ended with."""
    stop = asyncio.Event()
    run = asyncio.create_task(manager.run(stop), name="manager")
    try:
        yield stop
    finally:
        stop.set()
        await run


class User:
    """Somebody with one ModelInfer, `mi`."""

    def __init__(self, cluster: SimulatedControlPlane) -> None:
        self._client = cluster.client("user")

    async def create(self, replicas: int = 2, *, name: str = "mi", annotations: dict[str, str] | None = None) -> None:
        await self.create_roles(replicas, "Decode", name=name, annotations=annotations)

    async def create_roles(
        self, replicas: int, *roles: str, name: str = "mi", annotations: dict[str, str] | None = None
    ) -> None:
        """Each role is one instance of an entry pod and a worker; the annotations are those of their pods."""
        pod = {"metadata": {"annotations": annotations or {}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
        made = [{"name": role, "workerReplicas": 1, "entryTemplate": pod, "workerTemplate": pod} for role in roles]
        body: dict[str, Any] = {
            "apiVersion": MODEL_INFERS.api_version,
            "kind": MODEL_INFERS.kind,
            "metadata": {"name": name},
            "spec": {"replicas": replicas, "template": {"roles": made}},
        }
        await self._client.create(MODEL_INFERS, NAMESPACE, body)

    async def patch(self, spec: dict[str, Any]) -> None:
        await self._client.patch(MODEL_INFERS, NAMESPACE, "mi", {"spec": spec})

    async def delete(self, name: str = "mi") -> None:
        await self._client.delete(MODEL_INFERS, NAMESPACE, name, uid=None)

    async def create_pod(self, name: str, labels: dict[str, str]) -> None:
        """A pod that no ModelInfer controls."""
        metadata = {"name": name, "labels": labels}
        body = {"metadata": metadata, "spec": {"containers": [{"name": "c", "image": "i"}]}}
        await self._client.create(PODS, NAMESPACE, {"apiVersion": "v1", "kind": "Pod", **body})

    async def delete_pod(self, name: str) -> None:
        await self._client.delete(PODS, NAMESPACE, name, uid=None)

    async def cordon(self, node: str) -> None:
        await self._client.patch(NODES, None, node, {"spec": {"unschedulable": True}})

    async def nodes(self) -> set[str]:
        """Those that have pods."""
        return {pod.spec.node_name for pod in (await self._client.list_all(PODS, NAMESPACE)).items}

    async def pods(self) -> set[str]:
        return set(await self.uids())

    async def uids(self) -> dict[str, str]:
        """Of the pods, by name."""
        return {pod.metadata.name: pod.metadata.uid for pod in (await self._client.list_all(PODS, NAMESPACE)).items}

    async def is_ready(self, pod: str) -> bool:
        return (await self._client.get(PODS, NAMESPACE, pod)).is_ready

    async def available(self) -> int:
        return (await self._client.get(MODEL_INFERS, NAMESPACE, "mi")).status.available_replicas
