"""What is seen of a node that is lost, comes back, or is removed."""

import asyncio
from typing import Any

from api_user import PODS, User, pod

from modelinfer_controller.simulator.control_plane import SimulatedControlPlane

NODE = "/api/v1/nodes/node-0"


async def lose(cluster: SimulatedControlPlane) -> User:
    """Pod a runs on node-0, which is lost now."""
    user = User(cluster)
    await user.create(PODS, pod("a", nodeSelector={"kubernetes.io/hostname": "node-0"}))
    await asyncio.sleep(1)
    assert ready(await user_pod(user)) == "True"
    cluster.kubelet.freeze("node-0")
    return user


async def user_pod(user: User) -> dict[str, Any]:
    return (await user.get(f"{PODS}/a")).body


def ready(body: dict[str, Any]) -> str:
    return next(one["status"] for one in body["status"]["conditions"] if one["type"] == "Ready")


async def test_a_lost_node_is_not_ready_after_a_while_and_neither_are_its_pods(cluster: SimulatedControlPlane) -> None:
    user = await lose(cluster)
    await asyncio.sleep(45)
    assert (ready((await user.get(NODE)).body), ready(await user_pod(user))) == ("True", "True")

    await asyncio.sleep(10)
    assert (ready((await user.get(NODE)).body), ready(await user_pod(user))) == ("Unknown", "False")
    assert (await user_pod(user))["status"]["phase"] == "Running"


async def test_pods_of_a_lost_node_are_evicted_and_stay_terminating(cluster: SimulatedControlPlane) -> None:
    user = await lose(cluster)
    await asyncio.sleep(340)
    assert "deletionTimestamp" not in (await user_pod(user))["metadata"]

    await asyncio.sleep(20)
    assert "deletionTimestamp" in (await user_pod(user))["metadata"]
    await asyncio.sleep(3600)
    assert "deletionTimestamp" in (await user_pod(user))["metadata"]


async def test_evicted_pods_go_when_the_node_is_back(cluster: SimulatedControlPlane) -> None:
    user = await lose(cluster)
    await asyncio.sleep(400)

    cluster.kubelet.thaw("node-0")
    await asyncio.sleep(1)

    assert (await user.get(f"{PODS}/a")).status == 404
    assert ready((await user.get(NODE)).body) == "True"


async def test_evicted_pods_go_when_the_node_is_removed(cluster: SimulatedControlPlane) -> None:
    user = await lose(cluster)
    await asyncio.sleep(400)

    await user.delete(NODE)
    await asyncio.sleep(41)

    assert (await user.get(f"{PODS}/a")).status == 404


async def test_a_node_that_is_back_soon_has_lost_nothing(cluster: SimulatedControlPlane) -> None:
    user = await lose(cluster)
    uid = (await user_pod(user))["metadata"]["uid"]
    await asyncio.sleep(100)
    assert ready(await user_pod(user)) == "False"

    cluster.kubelet.thaw("node-0")
    await asyncio.sleep(1)

    body = await user_pod(user)
    assert (body["metadata"]["uid"], ready(body)) == (uid, "True")


async def test_nothing_is_scheduled_to_a_lost_node(cluster: SimulatedControlPlane) -> None:
    user = await lose(cluster)
    await asyncio.sleep(60)
    await user.create(PODS, pod("b", nodeSelector={"kubernetes.io/hostname": "node-0"}))
    await asyncio.sleep(1)

    (scheduled,) = (await user.get(f"{PODS}/b")).body["status"]["conditions"]
    assert "1 node(s) had untolerated taint {node.kubernetes.io/unreachable: }" in scheduled["message"]
