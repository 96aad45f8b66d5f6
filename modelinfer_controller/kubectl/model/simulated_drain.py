"""`kubectl drain`, as a simulation plays it."""

import asyncio
from collections.abc import Callable
from http import HTTPStatus

from modelinfer_controller.kube.client import Client
from modelinfer_controller.kube.errors import NotFound
from modelinfer_controller.kube.resource import NODES, PODS
from modelinfer_controller.kube.transport import Request, Transport
from modelinfer_controller.kubectl.model.kubeconfig import failure

RETRY = 5.0  # seconds between two attempts to evict a pod, as kubectl waits


async def drain(transport: Transport, node: str, mark: Callable[[str], None]) -> None:
    """Cordon, and evict what is there until nothing is. mark(text): told of the beginning and the end. Raises Exit."""
    client = Client(transport)
    try:
        await client.patch(NODES, None, node, {"spec": {"unschedulable": True}})
    except NotFound as error:
        raise failure(f"--drain: there is no node {node!r}; they are node-0, node-1 and so on") from error
    mark(f"drain of {node} begins")
    while paths := await _pods_on(client, node):
        for path in paths:
            await _evict(transport, path)
        await asyncio.sleep(RETRY)
    mark(f"{node} is empty")


async def _pods_on(client: Client, node: str) -> list[str]:
    pods = (await client.list_all(PODS)).items
    return [PODS.path(p.metadata.namespace, p.metadata.name) for p in pods if p.spec.node_name == node]


async def _evict(transport: Transport, pod: str) -> None:
    """Once: where a budget makes it wait, the next attempt comes later."""
    body = b'{"apiVersion": "policy/v1", "kind": "Eviction"}'
    request = Request("POST", f"{pod}/eviction", {}, {"Content-Type": "application/json"}, body)
    response = await transport.request(request)
    if response.status not in (HTTPStatus.CREATED, HTTPStatus.NOT_FOUND, HTTPStatus.TOO_MANY_REQUESTS):
        raise failure(f"--drain: {response.body.decode()}")
