"""A webhook that does not answer, or refuses: what waits for it, and what must not."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import pytest

from modelinfer_controller.controller.resources import MODEL_INFERS
from modelinfer_controller.kube.client import Client
from modelinfer_controller.kube.resource import NAMESPACES, PODS
from modelinfer_controller.kube.transport import Request, Response, StreamResponse, Transport
from modelinfer_controller.simulator.control_plane import SimulatedControlPlane
from tests.unit.controller.conftest import CRD, NAMESPACE, controlled, spec

TIMEOUT = 30.0  # seconds: the longest that an API server waits for a webhook
REFUSED = Response(
    500, b'{"kind":"Status","code":500,"reason":"InternalError","message":"failed calling webhook: deadline exceeded"}'
)


class Hanging:
    """A way to a server that asks a webhook about some requests, which answers after `seconds`: with a refusal."""

    def __init__(self, inner: Transport, concerns: Callable[[Request], bool], seconds: float) -> None:
        self._inner = inner
        self._concerns = concerns
        self._seconds = seconds

    async def request(self, request: Request) -> Response:
        if self._concerns(request):
            await asyncio.sleep(self._seconds)
            return REFUSED
        return await self._inner.request(request)

    def stream(self, request: Request) -> AbstractAsyncContextManager[StreamResponse]:
        return self._inner.stream(request)

    async def close(self) -> None:
        await self._inner.close()


@asynccontextmanager
async def asking_a_webhook(concerns: Callable[[Request], bool], seconds: float) -> AsyncIterator[Client]:
    """The controller at work; the client is a user's."""
    async with SimulatedControlPlane(definitions=[CRD]) as cluster:
        client = Client(Hanging(cluster.transport("controller"), concerns, seconds))
        async with controlled(cluster, client):
            yield cluster.client("user")


async def pod_count(user: Client, namespace: str = NAMESPACE) -> int:
    return len((await user.list_all(PODS, namespace)).items)


@pytest.mark.parametrize("seconds", [0.0, TIMEOUT])
async def test_a_webhook_on_statuses_holds_up_neither_creation_nor_scaling(seconds: float) -> None:
    async with asking_a_webhook(lambda request: request.path.endswith("/status"), seconds) as user:
        await user.create(MODEL_INFERS, NAMESPACE, {"metadata": {"name": "m"}, "spec": spec(1)})
        await asyncio.sleep(1)
        assert await pod_count(user) == 2
        for replicas in (3, 1, 4):
            await asyncio.sleep(20)  # the status has been refused a few times, or is being asked about
            await user.patch(MODEL_INFERS, NAMESPACE, "m", {"spec": {"replicas": replicas}})
            await asyncio.sleep(2)
            assert await pod_count(user) == 2 * replicas


@pytest.mark.parametrize("hanging", [100, 300])
async def test_a_webhook_of_one_namespace_does_not_hold_up_anothers_first_pod(hanging: int) -> None:
    def concerns(request: Request) -> bool:
        return request.method == "POST" and request.path == PODS.path("hung")

    async with asking_a_webhook(concerns, TIMEOUT) as user:
        await user.create(NAMESPACES, None, {"metadata": {"name": "hung"}})
        for number in range(hanging):
            await user.create(MODEL_INFERS, "hung", {"metadata": {"name": f"m-{number}"}, "spec": spec(4)})
        for number in range(5):
            await asyncio.sleep(11 * number)
            await user.create(MODEL_INFERS, NAMESPACE, {"metadata": {"name": f"m-{number}"}, "spec": spec(1)})
            await asyncio.sleep(1)
            assert await pod_count(user) == 2 * (number + 1)
