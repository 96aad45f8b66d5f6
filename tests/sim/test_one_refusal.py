"""One refused request holds up its own group, and no other."""

from datetime import timedelta
from typing import Any

import pytest
from structlog.testing import capture_logs

from modelinfer_controller.simulator.faults.admission import CREATE, DELETE, UPDATE, Hang, Match, StripAnnotations
from sim.facts import Object
from sim.scene import Scene, scene
from sim.world import World, a_role, a_spec, set_image

NOW = timedelta()


def prefill_decode(replicas: int, **rest: Any) -> Object:
    return a_spec(replicas, a_role("prefill", 1, 1), a_role("decode", 1, 1), **rest)


def duo(replicas: int, **rest: Any) -> Object:
    return a_spec(replicas, a_role("duo", 1, 1), **rest)


def ready(world: World) -> set[str]:
    return {pod.name for pod in world.live_pods() if pod.is_ready}


def places(*groups: int) -> set[str]:
    """Every pod of these groups of `prefill_decode`."""
    return {f"m-{group}-{role}-0-{index}" for group in groups for role in ("prefill", "decode") for index in (0, 1)}


def pods_quota(count: int) -> Object:
    return {"metadata": {"name": "few"}, "spec": {"hard": {"pods": str(count)}}}


def refusals(stage: Scene, method: str, name_part: str, since: float) -> int:
    """How often the server refused such a write of the controller's."""
    return sum(
        one.time >= since
        and one.response.status >= 300
        and one.request.method == method
        and name_part in one.request.path + str((one.body.get("metadata") or {}).get("name", ""))
        for one in stage.world.journal.controller_writes
    )


# -- creations -------------------------------------------------------------------------------------------------------


async def test_a_refused_creation_holds_up_its_own_group_alone() -> None:
    async with scene(a_spec(0), is_settled=False) as stage:
        world = stage.world
        world.deny(CREATE, "pods", "m-1-decode-", message="no decode in group 1")
        await world.edit(lambda spec: spec.update(prefill_decode(8)))
        await world.until(lambda: places(0, *range(2, 8)) <= ready(world), 60)
        await world.until(lambda: stage.status.get("availableReplicas") == 7, 5)
        available = stage.condition("Available")
        assert available["status"] == "False"
        assert "group 1" in available["message"]
        assert "no decode in group 1" in available["message"]


async def test_what_is_refused_everywhere_stops_no_recovery_of_what_is_not() -> None:
    async with scene(prefill_decode(8)) as stage:
        world, before = stage.world, stage.uids()
        world.deny(CREATE, "pods", "-decode-")
        await world.delete("pods", "m-5-prefill-0-1")
        await world.until(lambda: places(*range(8)) <= ready(world), 45)
        assert stage.uids()["m-5-prefill-0-1"] != before["m-5-prefill-0-1"]


async def test_what_is_refused_everywhere_stops_no_scale_up_of_what_is_not() -> None:
    async with scene(prefill_decode(8)) as stage:
        world = stage.world
        world.deny(CREATE, "pods", "-decode-")
        stage.rollout.forgive()
        await world.patch_spec(replicas=10)
        wanted = {f"m-{group}-prefill-0-{index}" for group in (8, 9) for index in (0, 1)}
        await world.until(lambda: wanted <= ready(world), 60)


async def test_a_refused_group_is_tried_again_at_growing_intervals_and_comes_once_it_may() -> None:
    async with scene(prefill_decode(3)) as stage:
        world = stage.world
        policy = world.deny(CREATE, "pods", "m-3-")
        await world.patch_spec(replicas=4)
        await world.sleep(600)
        assert refusals(stage, "POST", "m-3-", 0) <= 40
        assert refusals(stage, "POST", "m-3-", world.now - 300) >= 1, "and never given up"
        world.allow(policy)
        await world.until(lambda: places(3) <= ready(world), 310)


async def test_under_a_quota_refusals_are_few_and_every_group_has_its_turn() -> None:
    async with scene(a_spec(0), is_settled=False) as stage:
        world = stage.world
        await world.create("resourcequotas", pods_quota(20))
        await world.edit(lambda spec: spec.update(a_spec(1000, a_role("solo"))))
        await world.sleep(120)
        assert len(ready(world)) == 20
        assert refusals(stage, "POST", "/pods", 0) <= 100
        services = list(world.facts.objects(("", "services")))
        assert len(services) <= 100, "made with their pods, not far ahead of them"


async def test_of_groups_that_are_refused_in_turn_none_starves() -> None:
    """Half of the groups are refused for ever: the others, behind them in order, all come."""
    async with scene(a_spec(0), is_settled=False) as stage:
        world = stage.world
        world.deny(CREATE, "pods", is_matched=lambda review: int(review.name.split("-")[1]) < 30)
        await world.edit(lambda spec: spec.update(a_spec(60, a_role("solo"))))
        await world.until(lambda: {f"m-{group}-solo-0-0" for group in range(30, 60)} <= ready(world), 300)


async def test_a_webhook_that_hangs_for_one_group_holds_up_no_other() -> None:
    async with scene(a_spec(0), is_settled=False) as stage:
        world = stage.world
        world.cluster.api.admission.add(Hang(Match({CREATE}, "pods", "m-0-"), 10.0))
        await world.edit(lambda spec: spec.update(prefill_decode(4)))
        await world.until(lambda: places(1, 2, 3) <= ready(world), 8)
        assert world.evict("m-2-decode-0-0")
        uid = stage.uids()["m-2-decode-0-0"]
        await world.until(lambda: stage.uids().get("m-2-decode-0-0", uid) != uid and places(2) <= ready(world), 20)


# -- deletions -------------------------------------------------------------------------------------------------------


async def test_a_refused_deletion_holds_up_its_own_group_alone() -> None:
    async with scene(prefill_decode(5)) as stage:
        world, before = stage.world, stage.uids()
        world.deny(DELETE, "pods", "m-4-decode-0-0", message="keep it")
        stage.rollout.forgive()
        began = world.now
        await world.patch_spec(replicas=4)
        await world.delete("pods", "m-1-decode-0-1")
        await world.until(
            lambda: places(0, 1, 2, 3) <= ready(world) and stage.uids()["m-1-decode-0-1"] != before["m-1-decode-0-1"],
            30,
        )
        await world.edit(set_image("good:2"))
        await world.until(
            lambda: (
                {pod.name for pod in world.live_pods() if pod.is_ready and pod.image == "good:2"} >= places(0, 1, 2, 3)
            ),
            120,
        )
        message = " ".join(one["message"] for one in stage.status["conditions"])
        assert "group 4" in message
        assert "keep it" in message
        assert refusals(stage, "DELETE", "m-4-decode-0-0", began) <= 12


async def test_a_refused_deletion_is_told_also_while_all_groups_are_available() -> None:
    async with scene(prefill_decode(3)) as stage:
        world = stage.world
        world.deny(DELETE, "pods", "m-2-decode-0-0", message="keep it")
        stage.rollout.forgive()
        await world.patch_spec(replicas=2)
        await world.sleep(30)
        assert stage.condition("Available")["status"] == "True"
        told = [one["message"] for one in stage.status["conditions"] if one["type"] != "Available"]
        assert any("keep it" in message and "group 2" in message for message in told), told


# -- the pass goes on at its own times -------------------------------------------------------------------------------


async def one_group_too_many(stage: Scene, **fields: Any) -> None:
    """3 groups of duo run under a quota of 6 pods; a fourth can never be made, and everything had time to back off."""
    await stage.world.create("resourcequotas", pods_quota(6))
    await stage.world.patch_spec(replicas=4, **fields)
    await stage.world.sleep(600)


async def test_a_pod_that_loses_readiness_is_counted_at_once_while_another_group_is_refused() -> None:
    async with scene(duo(3)) as stage:
        await one_group_too_many(stage)
        assert stage.status["availableReplicas"] == 3
        assert stage.world.behave("m-1-duo-0-1", unready_after=NOW)
        await stage.world.until(lambda: stage.status["availableReplicas"] == 2, 2.5)


async def test_a_grace_period_ends_on_time_while_another_group_is_refused() -> None:
    async with scene(duo(3, grace=30)) as stage:
        await one_group_too_many(stage)
        world, before = stage.world, stage.uids()
        assert world.behave("m-1-duo-0-1", crash_loop=True)
        await world.until(lambda: stage.uids().get("m-1-duo-0-0") != before["m-1-duo-0-0"], 32)


async def test_what_failed_is_taken_away_while_more_instances_are_refused() -> None:
    async with scene(duo(3)) as stage:
        world = stage.world
        await world.create("resourcequotas", pods_quota(6))
        stage.rollout.forgive()

        def more(spec: Object) -> None:
            spec["template"]["roles"][0]["replicas"] = 2

        await world.edit(more)
        await world.sleep(600)
        assert world.evict("m-2-duo-0-1")
        await world.sleep(60)
        assert [pod.name for pod in world.live_pods() if pod.phase == "Failed"] == []
        assert len(ready(world)) == 6


async def test_a_refused_pod_group_patch_stops_no_recovery() -> None:
    async with scene(duo(3, gang={}, schedulerName="volcano"), volcano=True) as stage:
        world, before = stage.world, stage.uids()
        world.deny(UPDATE, "podgroups", message="queue `closed` state is `Closed`")
        await world.patch(
            "modelinfers", "m", {"metadata": {"annotations": {"scheduling.volcano.sh/queue-name": "closed"}}}
        )
        await world.sleep(60)
        assert world.evict("m-2-duo-0-1")
        await world.until(lambda: stage.uids().get("m-2-duo-0-1", "") not in ("", before["m-2-duo-0-1"]), 60)
        await world.until(lambda: len(ready(world)) == 6, 10)
        message = " ".join(one["message"] for one in stage.status["conditions"])
        assert "closed" in message


async def test_a_webhook_that_strips_our_annotations_makes_no_hot_loop() -> None:
    async with scene(duo(2)) as stage:
        world = stage.world
        stage.rollout.spoilt = 1
        world.cluster.api.admission.add(StripAnnotations(Match({CREATE}, "pods"), "modelinfer.volcano.sh/"))
        began = world.now
        assert world.evict("m-1-duo-0-1")
        await world.sleep(120)
        made = [
            one
            for one in world.journal.controller_writes
            if one.time >= began and one.request.method == "POST" and one.request.path.endswith("/pods")
        ]
        assert len(made) <= 12, f"{len(made)} pods in two minutes"
        assert {name for name in ready(world) if name.startswith("m-0-")} == {"m-0-duo-0-0", "m-0-duo-0-1"}


# -- outcomes are not errors -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("why", ["quota", "policy", "name"])
async def test_what_a_tenant_may_not_do_is_no_error_of_the_controller(why: str) -> None:
    async with scene(duo(2), is_settled=False) as stage:
        world = stage.world
        await stage.settle()
        match why:
            case "quota":
                await world.create("resourcequotas", pods_quota(4))
            case "policy":
                world.deny(CREATE, "pods", "m-2-")
            case _:
                pod: Object = {"metadata": {"name": "m-2-duo-0-0"}}
                await world.create("pods", {**pod, "spec": {"containers": [{"name": "main", "image": "good:1"}]}})
        with capture_logs() as lines:
            await world.patch_spec(replicas=3)
            await world.sleep(300)
        worst = [one for one in lines if one["log_level"] in ("error", "critical", "warning")]
        assert worst == []
        assert len([one for one in lines if one["log_level"] == "info"]) <= 5
