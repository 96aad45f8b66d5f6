"""A fresh control plane for each measurement, so that none pays for the leftovers of another."""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from controlplane import AuditEvent, ControlPlane, Settings

from bench.polling import until
from bench.progress import Progress
from modelinfer_controller.api import well_known
from modelinfer_controller.controller.resources import MODEL_INFERS
from modelinfer_controller.kube.aiohttp_transport import connect
from modelinfer_controller.kube.cache.discovered_informer import is_resource_served
from modelinfer_controller.kube.client import Client
from modelinfer_controller.kube.clock import SystemClock

CRD_FOLDER = Path(__file__).resolve().parents[2] / "manifests" / "crd"
NAMESPACE = "bench"
USER_AGENT = "modelinfer-controller"


@dataclass(frozen=True)
class Plane:
    control_plane: ControlPlane
    client: Client
    progress: Progress

    @property
    def log(self) -> Path:
        return self.control_plane.logs / "controller.log"

    def writes_of_controller(self, since: int = 0) -> list[AuditEvent]:
        events = self.control_plane.audit_events(since)
        return [event for event in events if event.user_agent.startswith(USER_AGENT)]

    def calls_of_controller(self) -> Counter[str]:
        """Writes by verb and kind; reads are a handful of lists and watches."""
        return Counter(
            f"{event.verb} {event.resource}{'/' if event.subresource else ''}{event.subresource}"
            for event in self.writes_of_controller()
        )


@asynccontextmanager
async def fresh_plane(nodes: int, pod_selector: str = well_known.NAME) -> AsyncIterator[Plane]:
    control_plane = await asyncio.to_thread(ControlPlane.start, Settings(nodes=nodes))
    try:
        control_plane.kubectl("apply", "-f", str(CRD_FOLDER))
        control_plane.create_namespace(NAMESPACE)
        transport = await connect(environ=os.environ, clock=SystemClock(), kubeconfig=str(control_plane.kubeconfig))
        client = Client(transport)
        await _until_served(client)
        progress = Progress(client, NAMESPACE, pod_selector)
        following = asyncio.create_task(progress.follow())
        try:
            yield Plane(control_plane, client, progress)
        finally:
            following.cancel()
            await asyncio.gather(following, return_exceptions=True)
            await client.close()
    finally:
        await asyncio.to_thread(control_plane.stop)


async def _until_served(client: Client) -> None:
    """A CRD that was just applied takes a moment until its resource can be used."""
    async with asyncio.timeout(30):
        await until(lambda: is_resource_served(client, MODEL_INFERS))
