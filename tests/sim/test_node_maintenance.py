"""Drains in virtual time: groups are handed over whole, under the budget of updates, and every drain ends by itself."""

import asyncio
from typing import Any

import pytest

from sim.draining import Availability, dying_controller, handing_over, kubectl_drain, pods_on
from sim.facts import Object, metadata
from sim.scene import Scene, of_group, renewed, scene
from sim.world import Refused, a_role, a_spec, set_image

BUDGETS = ("policy", "poddisruptionbudgets")


def quartets(replicas: int = 6, **rest: Any) -> Object:
    """Groups of one entry pod and three workers."""
    rest = {"recoveryPolicy": "InferGroupRecreate", "max_unavailable": 1, **rest}
    return handing_over(a_spec(replicas, a_role("q", 1, 3), **rest))


def groups_on(stage: Scene, node: str) -> set[int]:
    return {pod.group for pod in pods_on(stage.world, node)}


def budgets(stage: Scene) -> list[Object]:
    return list(stage.world.facts.objects(BUDGETS))


async def test_a_drain_of_one_of_three_nodes_takes_one_group_after_another_and_ends() -> None:
    async with scene(quartets()) as stage:
        before, affected = stage.uids(), groups_on(stage, "node-1")
        seen = Availability(stage)
        refused = await kubectl_drain(stage.world, "node-1")
        await stage.settle()
        assert refused > 0, "no eviction had to wait"
        assert seen.lowest == 5
        moved = {name for group in affected for name in of_group(before, group)}
        assert renewed(before, stage.uids()) == moved, "a group was moved that had no pod there, or only a part of one"
        assert all(len(uids) == 4 for uids in seen.made.values()), "a group was moved twice"
        assert stage.condition("HandOver")["reason"] == "EvictionsWait"


async def test_two_nodes_that_are_drained_at_once_share_the_budget() -> None:
    async with scene(quartets(4), nodes=4) as stage:
        seen = Availability(stage)
        await asyncio.gather(*(kubectl_drain(stage.world, node) for node in ("node-1", "node-2")))
        await stage.settle()
        assert seen.lowest == 3
        assert {pod.node for pod in stage.world.live_pods()} <= {"node-0", "node-3"}


async def test_a_drain_in_an_update_shares_its_budget_and_replaces_no_group_twice() -> None:
    async with scene(quartets(5)) as stage:
        seen = Availability(stage)
        await stage.world.edit(set_image("good:2"))
        await stage.world.sleep(1)
        await kubectl_drain(stage.world, "node-1")
        await stage.settle()
        assert seen.lowest == 4
        assert {pod.image for pod in stage.world.live_pods()} == {"good:2"}
        for group in range(5):
            assert len(seen.made[group]) <= 8, "a group was replaced more than twice"
        # Those that were outdated when the node was cordoned went straight to the update revision.
        assert sum(len(uids) == 4 for uids in seen.made.values()) >= 4


async def test_with_a_surge_and_none_unavailable_all_groups_are_available_at_every_instant() -> None:
    async with scene(quartets(3, max_unavailable=0, max_surge=1)) as stage:
        seen = Availability(stage)
        await kubectl_drain(stage.world, "node-1")
        await stage.settle()
        assert seen.lowest == 3
        assert {pod.group for pod in stage.world.live_pods()} == {0, 1, 2}


async def test_a_drain_ends_while_the_controller_is_killed_every_three_seconds() -> None:
    async with scene(quartets(4)) as stage:
        seen = Availability(stage)
        async with dying_controller(stage.world):
            await kubectl_drain(stage.world, "node-1")
        await stage.settle()
        assert seen.lowest == 3
        assert all(len(uids) == 4 for uids in seen.made.values()), "a group was moved twice"


async def test_pods_finish_their_requests_before_they_move() -> None:
    spec = quartets(3)
    spec["template"]["drain"] = {"timeoutSeconds": 30}
    async with scene(spec) as stage:
        seen = Availability(stage)
        began = stage.world.now
        moves = len(groups_on(stage, "node-1"))
        await kubectl_drain(stage.world, "node-1")
        await stage.settle()
        assert stage.world.now - began >= 30 * moves
        assert seen.lowest == 2


@pytest.mark.parametrize("policy", ["InferGroupRecreate", "RoleRecreate"])
@pytest.mark.parametrize("scheduler", ["volcano", "default-scheduler"])
async def test_gangs_move_whole_and_are_spread_as_before(policy: str, scheduler: str) -> None:
    spread = [{"maxSkew": 1, "topologyKey": "kubernetes.io/hostname", "whenUnsatisfiable": "ScheduleAnyway"}]
    spec = quartets(3, recoveryPolicy=policy, gang={}, schedulerName=scheduler, topologySpreadConstraints=spread)
    async with scene(spec, nodes=4, volcano=scheduler == "volcano", native_gang=scheduler != "volcano") as stage:
        seen = Availability(stage)
        node = stage.pod("m-0-q-0-0").node
        await kubectl_drain(stage.world, node)
        await stage.settle()
        assert seen.lowest == 2
        leaders = [stage.pod(f"m-{group}-q-0-0").node for group in range(3)]
        assert len(set(leaders)) == 3, f"the groups' leaders are on {leaders}"


async def test_a_group_that_the_partition_holds_moves_at_its_own_revision_in_the_middle_of_an_update() -> None:
    async with scene(quartets(4, partition=2)) as stage:
        seen = Availability(stage)
        await stage.world.edit(set_image("good:2"))
        await stage.world.sleep(1)
        await kubectl_drain(stage.world, "node-1")
        await stage.settle()
        assert seen.lowest == 3
        by_group = {pod.group: pod.image for pod in stage.world.live_pods()}
        assert by_group == {0: "good:1", 1: "good:1", 2: "good:2", 3: "good:2"}


async def test_a_surge_an_update_two_drains_and_a_dying_controller_at_once() -> None:
    async with scene(quartets(4, max_unavailable=0, max_surge=1), nodes=4) as stage:
        seen = Availability(stage)
        await stage.world.edit(set_image("good:2"))
        async with dying_controller(stage.world):
            await asyncio.gather(*(kubectl_drain(stage.world, node) for node in ("node-1", "node-2")))
        await stage.settle()
        assert seen.lowest == 4
        assert {pod.image for pod in stage.world.live_pods()} == {"good:2"}


async def test_a_drain_of_all_nodes_takes_no_more_groups_down_than_may_be() -> None:
    """Nowhere is room: the first group to move waits for a node, and the others for the first."""
    async with scene(quartets(4)) as stage:
        seen = Availability(stage)
        for node in ("node-0", "node-1", "node-2"):
            await stage.world.cordon(node)
        await stage.world.sleep(3600)
        assert seen.lowest == len(seen.available()) == 3
        assert stage.condition("Available")["reason"] == "Unschedulable"
        assert stage.condition("HandOver")["reason"] == "HandingOver"
        await stage.world.uncordon("node-0")
        await stage.world.until(lambda: {pod.node for pod in stage.world.facts.pods()} == {"node-0"})
        await stage.settle()
        assert seen.lowest == 3


async def test_a_node_that_is_removed_while_its_groups_move_costs_what_was_on_it_alone() -> None:
    spec = quartets(4)
    spec["template"]["drain"] = {"timeoutSeconds": 30}
    async with scene(spec) as stage:
        before, affected = stage.uids(), groups_on(stage, "node-1")
        await stage.world.cordon("node-1")
        await stage.world.sleep(10)
        await stage.world.remove_node("node-1")
        await stage.world.sleep(60)  # until the control plane takes its pods away
        await stage.settle()
        lost = {int(name.split("-")[1]) for name in renewed(before, stage.uids())}
        assert lost == affected
        assert stage.condition("HandOver")["reason"] == "EvictionsWait"


async def test_a_policy_that_is_changed_in_the_middle_of_a_drain_undoes_it_and_lets_evictions_through() -> None:
    spec = quartets(3)
    spec["template"]["drain"] = {"timeoutSeconds": 60}
    async with scene(spec) as stage:
        seen, before = Availability(stage), stage.uids()
        await stage.world.cordon("node-1")
        await stage.world.sleep(10)
        assert any(pod.is_draining for pod in stage.world.live_pods())
        await stage.world.patch_spec(nodeDrainPolicy="Evict")
        await stage.settle()
        assert budgets(stage) == []
        assert stage.uids() == before
        assert len(seen.available()) == 3
        await stage.world.patch_spec(nodeDrainPolicy="HandOver")
        await stage.world.sleep(1)  # until evictions wait again
        await kubectl_drain(stage.world, "node-1")
        await stage.settle()
        assert seen.lowest == 2


async def test_what_is_lost_on_a_node_without_power_is_made_elsewhere_once_it_is_out_of_service() -> None:
    async with scene(quartets(3)) as stage:
        before, affected = stage.uids(), groups_on(stage, "node-1")
        stage.world.freeze("node-1")
        await stage.world.sleep(600)
        stuck = [pod for pod in pods_on(stage.world, "node-1") if pod.is_terminating]
        assert stuck, "nobody can say that they have ended"
        assert "node node-1 has been unreachable since" in stage.condition("Available")["message"]
        await stage.world.taint("node-1", "node.kubernetes.io/out-of-service", "NoExecute")
        await stage.settle()
        assert pods_on(stage.world, "node-1") == []
        assert {int(name.split("-")[1]) for name in renewed(before, stage.uids())} == affected


async def test_a_node_that_comes_back_ends_the_matter() -> None:
    async with scene(quartets(4)) as stage:
        before = stage.uids()
        affected = groups_on(stage, "node-1")
        await stage.world.cordon("node-1")
        await stage.world.sleep(0.2)
        await stage.world.uncordon("node-1")
        await stage.settle()
        moved = {int(name.split("-")[1]) for name in renewed(before, stage.uids())}
        assert len(moved) == 1 < len(affected), f"{moved} of {affected} have moved"


async def test_a_taint_of_leaving_is_heard_before_anybody_evicts() -> None:
    async with scene(quartets(3)) as stage:
        seen = Availability(stage)
        await stage.world.taint("node-1", "karpenter.sh/disrupted")
        await stage.world.until(lambda: not pods_on(stage.world, "node-1"))
        await stage.settle()
        assert seen.lowest == 2


async def test_the_budget_is_kept_in_step_and_goes_with_the_policy() -> None:
    async with scene(quartets(1)) as stage:
        world = stage.world
        (one,) = budgets(stage)
        assert metadata(one)["ownerReferences"][0]["uid"] == world.facts.uid
        body: Object = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "m-0-q-0-0"}}
        with pytest.raises(Refused, match="disruption budget"):
            await world.send("POST", "/api/v1/namespaces/default/pods/m-0-q-0-0/eviction", body)
        path = "/apis/policy/v1/namespaces/default/poddisruptionbudgets/m"
        await world.send("PATCH", path, {"spec": {"minAvailable": 1}}, "application/merge-patch+json")
        await stage.settle()
        assert budgets(stage)[0]["spec"]["minAvailable"] == 2147483647
        await world.patch_spec(nodeDrainPolicy="Evict")
        await stage.settle()
        assert budgets(stage) == []
