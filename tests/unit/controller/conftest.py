"""A simulated cluster with our CRD and no controller: the tests call the parts of the shell themselves."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest_asyncio

from modelinfer_controller.api import validation
from modelinfer_controller.api.modelinfer import ModelInferSpec
from modelinfer_controller.api.status import ModelInfer
from modelinfer_controller.controller.caches import Caches, build_caches
from modelinfer_controller.controller.resources import MODEL_INFERS
from modelinfer_controller.controller.wiring import wire
from modelinfer_controller.kube.client import Client
from modelinfer_controller.planning.observed import Owner
from modelinfer_controller.simulator.control_plane import SimulatedControlPlane

CRD = Path(__file__).parents[3] / "manifests" / "crd" / "modelinfers.yaml"
NAMESPACE = "default"


def spec(replicas: int = 1, workers: int = 1) -> dict[str, Any]:
    template = {"spec": {"containers": [{"name": "server", "image": "inference:1"}]}}
    role = {"name": "decode", "entryTemplate": template, "workerReplicas": workers, "workerTemplate": template}
    return {"replicas": replicas, "template": {"roles": [role]}}


def owner_of(stored: ModelInfer) -> Owner:
    decoded = validation.decode(bytes(stored.spec), stored.metadata.name)
    assert isinstance(decoded, ModelInferSpec)
    return Owner(stored.metadata, decoded, bytes(stored.spec), stored.status)


class Shell:
    """A client and synced caches over the simulated cluster."""

    def __init__(self, cluster: SimulatedControlPlane, client: Client, caches: Caches) -> None:
        self.cluster = cluster
        self.client = client
        self.caches = caches

    async def model_infer(self, name: str = "demo", **of_spec: int) -> ModelInfer:
        body = {"metadata": {"name": name}, "spec": spec(**of_spec)}
        return await self.client.create(MODEL_INFERS, NAMESPACE, body)

    async def delete(self, stored: ModelInfer) -> None:
        name = stored.metadata.object_name
        await self.client.delete(MODEL_INFERS, name.namespace, name.name, uid=stored.metadata.uid)

    async def get(self, name: str) -> ModelInfer:
        return await self.client.get(MODEL_INFERS, NAMESPACE, name)

    async def sleep(self, seconds: float) -> None:
        """In virtual time."""
        await asyncio.sleep(seconds)

    def writes(self) -> list[str]:
        """What the client wrote since the last call, as "VERB resource"."""
        made = [f"{call.verb} {call.resource}" for call in self.cluster.api.audit.writes("shell")]
        self.cluster.api.audit.clear()
        return made


class NoEvents:
    def record(self, stored: ModelInfer, type_: str, reason: str, message: str) -> None: ...


@asynccontextmanager
async def controlled(cluster: SimulatedControlPlane, client: Client, **options: Any) -> AsyncIterator[None]:
    """The whole controller at work for as long as the context is open; options are those of `assemble`."""
    components = wire(client, NoEvents(), clock=cluster.clock, random=random.Random(0), **options)
    running = [asyncio.create_task(components.run_caches()), asyncio.create_task(components.run_workers())]
    try:
        yield
    finally:
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)


@asynccontextmanager
async def _shell() -> AsyncIterator[Shell]:
    async with SimulatedControlPlane(definitions=[CRD]) as cluster:
        client = cluster.client("shell")
        caches = build_caches(client, (), random=random.Random(0), clock=cluster.clock, on_support_changed=lambda: None)
        running = asyncio.create_task(caches.run())
        try:
            await caches.wait_for_sync()
            yield Shell(cluster, client, caches)
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)


@pytest_asyncio.fixture
async def shell() -> AsyncIterator[Shell]:
    async with _shell() as opened:
        yield opened
