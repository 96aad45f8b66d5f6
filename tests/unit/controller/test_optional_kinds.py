"""PodGroups that are served and cannot be read: all but gangs works, and a condition says what is missing."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import pytest

from modelinfer_controller.controller.resources import MODEL_INFERS
from modelinfer_controller.kube.client import Client
from modelinfer_controller.kube.resource import POD_DISRUPTION_BUDGETS, PODS
from modelinfer_controller.kube.transport import Request, Response, StreamResponse, Transport
from modelinfer_controller.simulator.control_plane import SimulatedControlPlane
from tests.unit.controller.conftest import CRD, NAMESPACE, controlled, spec

GROUP = "/apis/scheduling.volcano.sh/v1beta1"
FORBIDDEN = Response(403, b'{"kind":"Status","code":403,"reason":"Forbidden","message":"cannot list podgroups"}')
BROKEN = Response(500, b'{"kind":"Status","code":500,"reason":"InternalError","message":"etcd"}')


class Refusing:
    """A way to the server on which some paths are answered by something else."""

    def __init__(self, inner: Transport, path: str, answer: Response) -> None:
        self._inner = inner
        self._path = path
        self._answer = answer

    async def request(self, request: Request) -> Response:
        return self._answer if request.path == self._path else await self._inner.request(request)

    def stream(self, request: Request) -> AbstractAsyncContextManager[StreamResponse]:
        return self._inner.stream(request)

    async def close(self) -> None:
        await self._inner.close()


@asynccontextmanager
async def running(path: str, answer: Response) -> AsyncIterator[Client]:
    async with SimulatedControlPlane(volcano=True, definitions=[CRD]) as cluster:
        client = Client(Refusing(cluster.transport("controller"), path, answer))
        async with controlled(cluster, client):
            yield cluster.client("user")


async def create(user: Client, name: str, **of_spec: Any) -> None:
    body = {"metadata": {"name": name}, "spec": {**spec(), **of_spec}}
    await user.create(MODEL_INFERS, NAMESPACE, body)


def gang() -> dict[str, Any]:
    wanted = spec()
    return {"schedulerName": "volcano", "template": {**wanted["template"], "gangSchedule": {}}}


CASES = {
    "list forbidden": (f"{GROUP}/podgroups", FORBIDDEN, 2),
    "discovery forbidden": (GROUP, FORBIDDEN, 2),
    "list broken": (f"{GROUP}/podgroups", BROKEN, 30),
    "discovery broken": (GROUP, BROKEN, 30),
}


@pytest.mark.parametrize(("path", "answer", "seconds"), CASES.values(), ids=CASES)
async def test_a_kind_that_cannot_be_read_stops_nothing(path: str, answer: Response, seconds: float) -> None:
    async with running(path, answer) as user:
        await create(user, "plain")
        await asyncio.sleep(seconds)
        assert len((await user.list_all(PODS, NAMESPACE)).items) == 2
        assert (await user.get(MODEL_INFERS, NAMESPACE, "plain")).status.available_replicas == 1


async def test_who_asks_for_a_gang_is_told_which_permission_is_missing() -> None:
    async with running(f"{GROUP}/podgroups", FORBIDDEN) as user:
        await create(user, "gang", **gang())
        await asyncio.sleep(5)
        status = (await user.get(MODEL_INFERS, NAMESPACE, "gang")).status
        [condition] = [one for one in status.conditions if one.type == "GangScheduling"]
        assert condition.status == "False"
        assert "the controller may not list podgroups.scheduling.volcano.sh in all namespaces" in condition.message


async def test_who_hands_over_is_told_that_nodes_may_not_be_read_and_has_no_budget() -> None:
    """A budget would make evictions wait, and nobody could hand over."""
    async with running("/api/v1/nodes", FORBIDDEN) as user:
        await create(user, "maintained", nodeDrainPolicy="HandOver")
        await asyncio.sleep(5)
        status = (await user.get(MODEL_INFERS, NAMESPACE, "maintained")).status
        [condition] = [one for one in status.conditions if one.type == "HandOver"]
        assert (condition.status, condition.reason) == ("False", "NodesForbidden")
        assert "the controller may not list nodes in all namespaces" in condition.message
        assert status.available_replicas == 1
        assert not (await user.list_all(POD_DISRUPTION_BUDGETS, NAMESPACE)).items
