"""A ModelInfer that takes long to be made, on a server that takes up to a second for each answer."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from modelinfer_controller.controller.resources import MODEL_INFERS
from modelinfer_controller.kube.client import Client
from modelinfer_controller.kube.resource import PODS
from modelinfer_controller.simulator.control_plane import SimulatedControlPlane
from modelinfer_controller.simulator.faults.transport import Faults, Rates
from tests.unit.controller.conftest import CRD, NAMESPACE, controlled, spec

GROUPS = 100
IN_FLIGHT = 8


@dataclass(frozen=True)
class Scene:
    cluster: SimulatedControlPlane
    user: Client

    async def pod_count(self) -> int:
        return len((await self.user.list_all(PODS, NAMESPACE)).items)

    async def some_pods(self) -> int:
        """How many there are once it takes more than one round of requests to have made them."""
        made = await self.pod_count()
        while made < IN_FLIGHT:
            await asyncio.sleep(0.1)
            made = await self.pod_count()
        return made

    def pods_posted(self) -> int:
        return sum((call.verb, call.resource) == ("create", "pods") for call in self.cluster.api.audit.writes("it"))


@asynccontextmanager
async def being_made() -> AsyncIterator[Scene]:
    """A user has applied it; to make all takes more than half a minute."""
    async with SimulatedControlPlane(definitions=[CRD]) as cluster:
        slow = Client(Faults(0, Rates(latency=0.4)).wrap(cluster.transport("it")))
        async with controlled(cluster, slow, max_in_flight=IN_FLIGHT):
            user = cluster.client("user")
            await user.create(MODEL_INFERS, NAMESPACE, {"metadata": {"name": "demo"}, "spec": spec(replicas=GROUPS)})
            yield Scene(cluster, user)


async def test_the_status_says_meanwhile_that_the_spec_was_seen() -> None:
    async with being_made() as scene:
        await asyncio.sleep(3)
        assert await scene.pod_count() < GROUPS
        status = (await scene.user.get(MODEL_INFERS, NAMESPACE, "demo")).status
        assert status.observed_generation == 1
        assert {condition.type: condition.status for condition in status.conditions}["Available"] == "False"


async def test_an_edit_is_heard_before_the_old_spec_is_carried_out() -> None:
    async with being_made() as scene:
        most = made = await scene.some_pods()
        await scene.user.patch(MODEL_INFERS, NAMESPACE, "demo", {"spec": {"replicas": 1}})
        for _ in range(300):
            await asyncio.sleep(0.1)
            most = max(most, await scene.pod_count())
        assert most <= made + IN_FLIGHT
        assert await scene.pod_count() == 2


async def test_nothing_more_is_made_for_a_model_infer_that_was_deleted() -> None:
    async with being_made() as scene:
        await scene.some_pods()
        posted = scene.pods_posted()
        await scene.user.delete(MODEL_INFERS, NAMESPACE, "demo", uid=None)
        await asyncio.sleep(30)
        assert scene.pods_posted() <= posted + IN_FLIGHT
        assert await scene.pod_count() == 0
