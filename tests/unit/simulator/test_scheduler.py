"""Which node a pod gets, and what is said where it gets none."""

import asyncio
from typing import Any

import pytest
from api_user import PODS, User, pod

from modelinfer_controller.simulator.control_plane import SimulatedControlPlane
from modelinfer_controller.simulator.nodes.node import NodeShape

VOLCANO = "/apis/scheduling.volcano.sh/v1beta1/namespaces/default/podgroups"
NATIVE = "/apis/scheduling.k8s.io/v1beta1/namespaces/default/podgroups"
NODES = "/api/v1/nodes"
SMALL = {"cpu": "2", "memory": "8Gi", "pods": "10"}


def small_nodes(*zones: str) -> list[NodeShape]:
    return [NodeShape(f"node-{index}", zone, SMALL) for index, zone in enumerate(zones)]


async def nodes_of(user: User) -> dict[str, str]:
    await asyncio.sleep(1)
    items = (await user.get(PODS)).body["items"]
    return {item["metadata"]["name"]: item["spec"].get("nodeName", "") for item in items}


async def refusal(user: User, name: str) -> str:
    await asyncio.sleep(1)
    conditions = (await user.get(f"{PODS}/{name}")).body["status"].get("conditions", [])
    (scheduled,) = [one for one in conditions if one["type"] == "PodScheduled"]
    assert (scheduled["status"], scheduled["reason"]) == ("False", "Unschedulable")
    return str(scheduled["message"])


async def test_resources_are_never_overcommitted() -> None:
    async with SimulatedControlPlane(nodes=small_nodes("a", "b")) as cluster:
        user = User(cluster)
        for name in "abcde":
            await user.create(PODS, pod(name, cpu="1"))
        placed = await nodes_of(user)

        assert sorted(placed.values()) == ["", "node-0", "node-0", "node-1", "node-1"]
        assert await refusal(user, "e") == "0/2 nodes are available: 2 Insufficient cpu."


async def test_a_pod_that_goes_makes_room_for_another() -> None:
    async with SimulatedControlPlane(nodes=small_nodes("a")) as cluster:
        user = User(cluster)
        await user.create(PODS, pod("a", cpu="2"))
        await user.create(PODS, pod("b", cpu="2"))
        assert await nodes_of(user) == {"a": "node-0", "b": ""}

        await user.delete(f"{PODS}/a")
        assert await nodes_of(user) == {"b": "node-0"}


async def test_a_new_node_takes_what_waits() -> None:
    async with SimulatedControlPlane(nodes=0) as cluster:
        user = User(cluster)
        await user.create(PODS, pod("a"))
        assert await refusal(user, "a") == "no nodes available to schedule pods"

        cluster.add_node(NodeShape("late"))
        assert await nodes_of(user) == {"a": "late"}


async def test_selectors_and_cordons_are_obeyed() -> None:
    async with SimulatedControlPlane(nodes=small_nodes("a", "b", "b")) as cluster:
        user = User(cluster)
        await user.patch(f"{NODES}/node-1", {"spec": {"unschedulable": True}})
        in_b = {"nodeSelector": {"topology.kubernetes.io/zone": "b"}}
        await user.create(PODS, pod("a", cpu="2", **in_b))
        assert await nodes_of(user) == {"a": "node-2"}

        await user.create(PODS, pod("b", cpu="2", **in_b))
        assert await refusal(user, "b") == (
            "0/3 nodes are available: 1 Insufficient cpu, 1 node(s) didn't match Pod's node affinity/selector, "
            "1 node(s) were unschedulable."
        )


async def test_other_schedulers_pods_are_left_alone(cluster: SimulatedControlPlane) -> None:
    user = User(cluster)
    await user.create(PODS, pod("a", schedulerName="mine"))

    assert await nodes_of(user) == {"a": ""}


def spread(when: str, **labels: str) -> dict[str, Any]:
    constraint = {"maxSkew": 1, "topologyKey": "topology.kubernetes.io/zone", "whenUnsatisfiable": when}
    return {"topologySpreadConstraints": [{**constraint, "labelSelector": {"matchLabels": labels}}]}


async def test_spread_pods_are_even_over_the_zones() -> None:
    async with SimulatedControlPlane(nodes=small_nodes("a", "a", "b")) as cluster:
        user = User(cluster)
        for name in "abcdef":
            await user.create(PODS, pod(name, labels={"x": "y"}, cpu="1", **spread("DoNotSchedule", x="y")))
        placed = list((await nodes_of(user)).values())

        assert (placed.count("node-2"), placed.count("")) == (2, 1)
        waiting = next(name for name, node in (await nodes_of(user)).items() if not node)
        assert "1 node(s) didn't match pod topology spread constraints" in await refusal(user, waiting) or (
            "2 node(s) didn't match pod topology spread constraints" in await refusal(user, waiting)
        )


async def test_spread_anyway_prefers_and_does_not_insist() -> None:
    async with SimulatedControlPlane(nodes=small_nodes("a", "b")) as cluster:
        user = User(cluster)
        for name in "abc":
            await user.create(PODS, pod(name, labels={"x": "y"}, cpu="100m", **spread("ScheduleAnyway", x="y")))

        assert sorted((await nodes_of(user)).values()) in (
            ["node-0", "node-0", "node-1"],
            ["node-0", "node-1", "node-1"],
        )


async def test_preferred_affinity_draws_pods_to_a_domain() -> None:
    async with SimulatedControlPlane(nodes=small_nodes("a", "b", "b")) as cluster:
        user = User(cluster)
        zone = "topology.kubernetes.io/zone"
        await user.create(PODS, pod("leader", labels={"lead": "yes"}, cpu="2", nodeSelector={zone: "b"}))
        term = {"topologyKey": zone, "labelSelector": {"matchLabels": {"lead": "yes"}}}
        preferred = {"preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 100, "podAffinityTerm": term}]}
        assert (await nodes_of(user))["leader"] == "node-1"

        await user.create(PODS, pod("follower", cpu="1", affinity={"podAffinity": preferred}))
        assert (await nodes_of(user))["follower"] == "node-2"


def volcano_pod(name: str, task: str = "", cpu: str = "1") -> dict[str, Any]:
    annotations = {"scheduling.k8s.io/group-name": "gang", "volcano.sh/task-spec": task}
    return pod(name, cpu=cpu, annotations=annotations, schedulerName="volcano")


def native_pod(name: str) -> dict[str, Any]:
    return pod(name, cpu="2", schedulingGroup={"podGroupName": "gang"})


async def test_a_volcano_gang_is_placed_whole_or_not_at_all() -> None:
    async with SimulatedControlPlane(nodes=small_nodes("a", "b"), volcano=True) as cluster:
        user = User(cluster)
        await user.create(VOLCANO, {"metadata": {"name": "gang"}, "spec": {"minMember": 3}})
        for name in "abc":
            await user.create(PODS, volcano_pod(name, cpu="2"))
        assert set((await nodes_of(user)).values()) == {""}
        assert "pod group is not ready" in await refusal(user, "a")

        cluster.add_node(small_nodes("c", "c", "c")[2])
        assert sorted((await nodes_of(user)).values()) == ["node-0", "node-1", "node-2"]


async def test_a_gang_waits_for_its_pod_group_and_its_pods() -> None:
    async with SimulatedControlPlane(volcano=True) as cluster:
        user = User(cluster)
        await user.create(PODS, volcano_pod("a"))
        assert await nodes_of(user) == {"a": ""}
        await user.create(VOLCANO, {"metadata": {"name": "gang"}, "spec": {"minMember": 2}})
        assert await nodes_of(user) == {"a": ""}

        await user.create(PODS, volcano_pod("b"))
        assert "" not in (await nodes_of(user)).values()


async def test_a_volcano_gang_needs_the_minimum_of_each_task() -> None:
    async with SimulatedControlPlane(volcano=True) as cluster:
        user = User(cluster)
        minimum = {"minMember": 2, "minTaskMember": {"p": 1, "d": 1}}
        await user.create(VOLCANO, {"metadata": {"name": "gang"}, "spec": minimum})
        for name in ("p0", "p1"):
            await user.create(PODS, volcano_pod(name, "p"))
        assert set((await nodes_of(user)).values()) == {""}

        await user.create(PODS, volcano_pod("d0", "d"))
        assert "" not in (await nodes_of(user)).values()


async def test_a_native_gang_is_placed_whole_or_not_at_all() -> None:
    async with SimulatedControlPlane(nodes=small_nodes("a", "b"), native_gang=True) as cluster:
        user = User(cluster)
        gang = {"schedulingPolicy": {"gang": {"minCount": 3}}}
        await user.create(NATIVE, {"metadata": {"name": "gang"}, "spec": gang})
        for name in "abc":
            await user.create(PODS, native_pod(name))
        assert set((await nodes_of(user)).values()) == {""}

        assert (
            await user.patch(f"{NATIVE}/gang", {"spec": {"schedulingPolicy": {"gang": {"minCount": 2}}}})
        ).status == 200
        assert sorted((await nodes_of(user)).values()) == ["", "node-0", "node-1"]


async def test_a_native_pod_group_waits_for_its_pods_to_go() -> None:
    async with SimulatedControlPlane(native_gang=True) as cluster:
        user = User(cluster)
        gang = {"schedulingPolicy": {"gang": {"minCount": 1}}}
        await user.create(NATIVE, {"metadata": {"name": "gang"}, "spec": gang})
        await user.create(PODS, native_pod("a"))
        await asyncio.sleep(1)

        await user.delete(f"{NATIVE}/gang")
        await asyncio.sleep(1)
        assert (await user.get(f"{NATIVE}/gang")).body["metadata"]["finalizers"] == [
            "scheduling.k8s.io/podgroup-protection"
        ]
        await user.delete(f"{PODS}/a")
        await asyncio.sleep(1)
        assert (await user.get(f"{NATIVE}/gang")).status == 404


@pytest.mark.parametrize("group", ["scheduling.volcano.sh", "scheduling.k8s.io"])
async def test_without_the_kind_there_are_no_pod_groups(cluster: SimulatedControlPlane, group: str) -> None:
    answer = await User(cluster).get(f"/apis/{group}/v1beta1/namespaces/default/podgroups")

    assert answer.status == 404


async def test_volcano_comes_and_goes(cluster: SimulatedControlPlane) -> None:
    user = User(cluster)
    cluster.install_volcano()
    await user.create(VOLCANO, {"metadata": {"name": "gang"}, "spec": {"minMember": 1}})
    await user.create(PODS, volcano_pod("a"))
    await asyncio.sleep(15)
    assert (await nodes_of(user))["a"]

    cluster.remove_volcano()
    assert (await user.get(VOLCANO)).status == 404
