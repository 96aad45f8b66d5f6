"""The order of starting and stopping, and what ends the process."""

import asyncio
import gc
import random
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from simulated import CRD, Leaving, Noting, User, make_components, make_manager, running

from modelinfer_controller.api.names import ObjectName
from modelinfer_controller.app.telemetry import Telemetry
from modelinfer_controller.controller.wiring import Components
from modelinfer_controller.kube.cache.reflector import ResourceNotServed
from modelinfer_controller.kube.client import Client
from modelinfer_controller.kube.leaderelection import LeaderElector
from modelinfer_controller.kube.lease import LEASES
from modelinfer_controller.kube.tasks import CancelledFromWithin
from modelinfer_controller.kube.transport import Request, Response
from modelinfer_controller.simulator.apiserver.deletion import DeleteOptions
from modelinfer_controller.simulator.apiserver.kinds import CUSTOM_RESOURCE_DEFINITIONS
from modelinfer_controller.simulator.apiserver.transport import InProcessTransport
from modelinfer_controller.simulator.control_plane import SimulatedControlPlane
from modelinfer_controller.simulator.faults.transport import Faults, Rates

LEASE = ObjectName("default", "modelinfer-controller")


@pytest_asyncio.fixture
async def cluster() -> AsyncIterator[SimulatedControlPlane]:
    async with SimulatedControlPlane(definitions=[CRD]) as running_cluster:
        yield running_cluster


def assembly_on(cluster: SimulatedControlPlane) -> Components:
    telemetry = Telemetry(server="https://server:6443", workers=4)
    return make_components(cluster.transport("controller"), cluster, telemetry)


def elector_on(client: Client, cluster: SimulatedControlPlane, identity: str) -> LeaderElector:
    return LeaderElector(client, LEASE, identity, clock=cluster.clock, random=random.Random(identity))


async def holder(cluster: SimulatedControlPlane) -> str:
    return (await cluster.client().get(LEASES, LEASE.namespace, LEASE.name)).holder


async def test_it_works_until_it_is_told_to_stop(cluster: SimulatedControlPlane) -> None:
    noting, user = Noting(), User(cluster)
    await user.create(2)
    async with running(make_manager(assembly_on(cluster), noting)):
        await asyncio.sleep(5)
        assert await user.available() == 2
    assert noting.notes == ["servers start", "events are sent", "events flushed", "servers stop"]


async def test_the_collector_is_off_until_the_caches_are_full(cluster: SimulatedControlPlane) -> None:
    telemetry = Telemetry(server="https://server:6443", workers=4)
    slow = Faults(0, Rates(latency=1.0)).wrap(cluster.transport("controller"))
    try:
        async with running(make_manager(make_components(slow, cluster, telemetry), Noting())):
            await asyncio.sleep(0.01)
            assert not gc.isenabled()
            await asyncio.sleep(10)
            assert gc.isenabled()
            assert gc.get_freeze_count() > 0
    finally:
        gc.unfreeze()


async def test_the_lease_is_released_last_of_all_and_the_next_leads_at_once(cluster: SimulatedControlPlane) -> None:
    released_before_servers_stopped: list[bool] = []

    class Watching(Noting):
        async def stop(self) -> None:
            released_before_servers_stopped.append(await holder(cluster) != "first")
            await super().stop()

    first, second = Watching(), Noting()
    clients = cluster.client(), cluster.client()
    managers = [
        make_manager(assembly_on(cluster), noting, elector=elector_on(client, cluster, identity))
        for noting, client, identity in zip((first, second), clients, ("first", "second"), strict=True)
    ]
    async with running(managers[0]) as stop:
        await asyncio.sleep(1)
        async with running(managers[1]):
            await asyncio.sleep(5)
            assert await holder(cluster) == "first"
            assert second.notes == ["servers start"]  # its caches are warm, its workers wait
            stop.set()
            await asyncio.sleep(2)
            assert await holder(cluster) == "second"
            assert second.notes == ["servers start", "events are sent"]
            assert released_before_servers_stopped[0] is False


async def test_a_lost_lease_leaves_without_cleaning_up(cluster: SimulatedControlPlane) -> None:
    noting = Noting()
    elector = elector_on(cluster.client(), cluster, "first")
    run = asyncio.create_task(make_manager(assembly_on(cluster), noting, elector=elector).run(asyncio.Event()))
    await asyncio.sleep(5)
    await cluster.client("thief").patch(LEASES, LEASE.namespace, LEASE.name, {"spec": {"holderIdentity": "thief"}})
    with pytest.raises(Leaving):
        await run
    assert "events flushed" not in noting.notes


async def test_a_crd_that_is_taken_away_ends_it(cluster: SimulatedControlPlane) -> None:
    noting = Noting()
    run = asyncio.create_task(make_manager(assembly_on(cluster), noting).run(asyncio.Event()))
    await asyncio.sleep(1)
    name = ("", "modelinfers.workload.volcano.sh")
    cluster.api.registry.delete(CUSTOM_RESOURCE_DEFINITIONS, name, DeleteOptions())
    with pytest.raises(ResourceNotServed):
        await run
    assert noting.notes[-1] == "servers stop"


async def test_a_stop_before_the_caches_have_synced(cluster: SimulatedControlPlane) -> None:
    noting = Noting()
    async with running(make_manager(assembly_on(cluster), noting)):
        pass
    assert "events are sent" not in noting.notes


async def test_a_sender_that_breaks_ends_it(cluster: SimulatedControlPlane) -> None:
    class Breaking(Noting):
        async def run(self) -> None:
            await asyncio.sleep(1)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await make_manager(assembly_on(cluster), Breaking()).run(asyncio.Event())


async def test_a_part_that_a_library_breaks_off_ends_it_with_an_error(cluster: SimulatedControlPlane) -> None:
    class BrokenOff(Noting):
        async def run(self) -> None:
            await asyncio.sleep(1)
            raise asyncio.CancelledError

    with pytest.raises(CancelledFromWithin, match="events"):
        await make_manager(assembly_on(cluster), BrokenOff()).run(asyncio.Event())


async def test_events_that_cannot_be_sent_hold_nothing_up(cluster: SimulatedControlPlane) -> None:
    class Stuck(Noting):
        async def flush(self) -> None:
            await asyncio.sleep(3600)

    began = asyncio.get_running_loop().time()
    async with running(make_manager(assembly_on(cluster), Stuck())):
        await asyncio.sleep(5)
    assert asyncio.get_running_loop().time() - began < 10


class MuteServer(InProcessTransport):
    """A server that stops to answer writes."""

    is_mute = False

    async def request(self, request: Request) -> Response:
        if self.is_mute and request.method != "GET":
            await asyncio.sleep(3600)
        return await super().request(request)


async def test_reconciles_that_do_not_end_are_cancelled(cluster: SimulatedControlPlane) -> None:
    transport = MuteServer(cluster.api, user_agent="controller")
    components = make_components(transport, cluster, Telemetry(server="https://server:6443", workers=4))
    async with running(make_manager(components, Noting())):
        await asyncio.sleep(1)
        transport.is_mute = True
        await User(cluster).create(1)
        await asyncio.sleep(1)
        began = asyncio.get_running_loop().time()
    assert 4 < asyncio.get_running_loop().time() - began < 6  # the drain's time-out
