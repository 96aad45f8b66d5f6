"""Each fault as a client meets it; and that one seed draws the same ones."""

import asyncio
import json
from dataclasses import replace

import pytest
from api_user import PODS, User, config_map, pod

from modelinfer_controller.kube.transport import Request, Response, TransportError
from modelinfer_controller.simulator.control_plane import SimulatedControlPlane
from modelinfer_controller.simulator.faults.crash_points import CrashingTransport
from modelinfer_controller.simulator.faults.transport import NO_FAULTS, ROUGH, Faults, Rates

MAPS = "/api/v1/namespaces/default/configmaps"


def create(name: str) -> Request:
    return Request("POST", MAPS, body=json.dumps(config_map(name)).encode(), timeout=30.0)


async def exists(user: User, name: str) -> bool:
    return (await user.get(f"{MAPS}/{name}")).status == 200


@pytest.mark.parametrize(
    ("rates", "method", "status"),
    [
        (Rates(conflict=1), "DELETE", 409),
        (Rates(too_many_requests=1), "GET", 429),
        (Rates(internal_error=1), "POST", 500),
    ],
)
async def test_refusals(server: SimulatedControlPlane, rates: Rates, method: str, status: int) -> None:
    transport = Faults(0, rates).wrap(server.transport())

    response = await transport.request(Request(method, f"{MAPS}/a"))

    assert response.status == status
    assert json.loads(response.body)["code"] == status
    assert ("retry-after" in response.headers) == (status == 429)


@pytest.mark.parametrize(("rates", "committed"), [(Rates(timeout_before=1), False), (Rates(timeout_after=1), True)])
async def test_time_outs_before_and_after_the_commit(
    server: SimulatedControlPlane, user: User, rates: Rates, committed: bool
) -> None:
    transport = Faults(0, rates).wrap(server.transport())
    began = asyncio.get_running_loop().time()

    with pytest.raises(TransportError, match="timed out"):
        await transport.request(create("a"))

    assert await exists(user, "a") is committed
    assert asyncio.get_running_loop().time() - began == 30.0


async def test_stale_lists_go_back_in_time(server: SimulatedControlPlane, user: User) -> None:
    faults = Faults(0)
    transport = faults.wrap(server.transport())
    listing = Request("GET", MAPS, {"resourceVersion": "0"})
    await user.create(MAPS, config_map("a"))
    await transport.request(listing)
    await user.create(MAPS, config_map("b"))
    faults.rates = Rates(stale_list=1)

    stale = json.loads((await transport.request(listing)).body)
    newest = json.loads((await transport.request(Request("GET", MAPS))).body)

    assert [one["metadata"]["name"] for one in stale["items"]] == ["a"]
    assert [one["metadata"]["name"] for one in newest["items"]] == ["a", "b"]


async def lines(server: SimulatedControlPlane, rates: Rates) -> list[str]:
    transport = Faults(0, rates).wrap(server.transport())
    async with transport.stream(Request("GET", MAPS, {"watch": "1", "timeoutSeconds": "1"})) as response:
        return [json.loads(line)["type"] async for line in response.lines()]


async def test_watches_repeat_break_and_expire(server: SimulatedControlPlane, user: User) -> None:
    await user.create(MAPS, config_map("a"))

    assert await lines(server, NO_FAULTS) == ["ADDED"]
    assert await lines(server, Rates(watch_repeat=1)) == ["ADDED", "ADDED"]
    with pytest.raises(TransportError):
        await lines(server, Rates(watch_cut=1))


async def test_watches_expire_as_status_and_as_event(server: SimulatedControlPlane) -> None:
    faults = Faults(0, Rates(watch_expire=0.99))
    transport = faults.wrap(server.transport())
    seen = set()
    for _ in range(20):
        async with transport.stream(Request("GET", MAPS, {"watch": "1", "timeoutSeconds": "1"})) as response:
            async for line in response.lines():
                body = json.loads(line)
                seen.add((response.status, body.get("code") or body["object"]["code"]))

    assert seen == {(410, 410), (200, 410)}


async def test_one_seed_draws_the_same_faults(server: SimulatedControlPlane) -> None:
    async def statuses(seed: int) -> list[int]:
        transport = Faults(seed, replace(ROUGH, timeout_before=0, timeout_after=0, internal_error=0.5)).wrap(
            server.transport()
        )
        return [(await transport.request(Request("GET", PODS))).status for _ in range(30)]

    assert await statuses(1) == await statuses(1) != await statuses(2)


@pytest.mark.parametrize("committed", [True, False])
async def test_a_client_crashes_between_two_of_its_calls(
    server: SimulatedControlPlane, user: User, committed: bool
) -> None:
    transport = CrashingTransport(server.transport())
    transport.crash_after(1, is_committed=committed)

    async def client() -> Response:
        await transport.request(create("a"))
        await transport.request(create("b"))
        return await transport.request(create("c"))

    running = asyncio.create_task(client())
    await transport.crashed.wait()
    await asyncio.sleep(60)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)

    assert [await exists(user, name) for name in "abc"] == [True, committed, False]


async def test_scheduler_and_kubelet_get_through_faults() -> None:
    """They are clients like any other: with faults between them and the server every pod still becomes Ready."""
    faults = Faults(7, ROUGH)
    async with SimulatedControlPlane(7, faults=faults) as cluster:
        user = User(cluster)
        for number in range(20):
            await user.create(PODS, pod(f"a{number}"))
        await asyncio.sleep(600)

        items = (await user.get(PODS)).body["items"]
        assert [item["status"]["phase"] for item in items] == ["Running"] * 20
        assert faults.drawn_count > 10
