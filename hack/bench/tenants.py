"""One tenant's webhook hangs for each of its pods: how long another tenant waits for its first one."""

from __future__ import annotations

import asyncio
import base64
import json
import ssl
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from bench.bare import in_flight
from bench.plane import NAMESPACE, Plane, fresh_plane
from bench.polling import until
from bench.process import running_controller
from bench.row import Row
from bench.workload import model_infer
from modelinfer_controller.api.core import Pod
from modelinfer_controller.controller.resources import MODEL_INFERS
from modelinfer_controller.kube.resource import PODS

HANGS = 30  # seconds, the most that Kubernetes lets a webhook take
OTHER = "other"


async def hanging_webhook(nodes: int, waiting: int, repeats: int) -> list[Row]:
    ours = []
    async with fresh_plane(nodes) as plane, _hanging_port(plane) as port:
        _install(plane, port)
        plane.control_plane.create_namespace(OTHER)
        async with running_controller(plane.control_plane.kubeconfig, plane.log):
            bodies = [(f"m{number}", model_infer(f"m{number}", 1)) for number in range(waiting)]
            await in_flight(lambda one: plane.client.create(MODEL_INFERS, NAMESPACE, one[1]), bodies)
            await asyncio.sleep(5.0)
            for number in range(repeats):
                ours.append(await _first_pod(plane, f"other{number}"))
    size = f"{waiting} ModelInfers wait"
    return [Row("another tenant's first pod while a webhook hangs", size, "s", ours, aim=1.0)]


async def _first_pod(plane: Plane, name: str) -> float:
    began = time.time()
    await plane.client.create(MODEL_INFERS, OTHER, model_infer(name, 1))
    async with asyncio.timeout(300):
        await until(lambda: _pods(plane, name), interval=0.02)
    return time.time() - began


async def _pods(plane: Plane, name: str) -> tuple[Pod, ...]:
    found = await plane.client.list_page(PODS, OTHER, label_selector=f"modelinfer.volcano.sh/name={name}")
    return tuple(found.items)


@asynccontextmanager
async def _hanging_port(plane: Plane) -> AsyncIterator[int]:
    """A TLS server that accepts and never answers."""
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority = plane.control_plane.layout.authority
    tls.load_cert_chain(authority, authority.with_suffix(".key"))
    held: list[asyncio.StreamWriter] = []

    async def hold(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        held.append(writer)

    server = await asyncio.start_server(hold, "127.0.0.1", 0, ssl=tls)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for writer in held:
            writer.transport.abort()


def _install(plane: Plane, port: int) -> None:
    authority = base64.b64encode(plane.control_plane.layout.authority.read_bytes()).decode()
    pods = {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}
    webhook = {
        "name": "hangs.example.com",
        "clientConfig": {"url": f"https://127.0.0.1:{port}/", "caBundle": authority},
        "rules": [pods],
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": NAMESPACE}},
        "failurePolicy": "Fail",
        "sideEffects": "None",
        "admissionReviewVersions": ["v1"],
        "timeoutSeconds": HANGS,
    }
    kind = {"apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingWebhookConfiguration"}
    body = {**kind, "metadata": {"name": "hangs"}, "webhooks": [webhook]}
    plane.control_plane.kubectl("create", "-f-", input=json.dumps(body))
