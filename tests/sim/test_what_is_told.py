"""The conditions name what stands in the way, and why, also where everything else is fine."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

from modelinfer_controller.simulator.nodes.stages import HEALTHY, Behaviour
from modelinfer_controller.simulator.resources import PlainObject
from sim.facts import Object
from sim.scene import Scene, scene
from sim.world import a_role, a_spec, behaviour_of_image, set_image

NOW = timedelta()
KIBIBYTE = 1024


def told(stage: Scene) -> str:
    return " | ".join(f"{one['type']} {one['reason']}: {one['message']}" for one in stage.status["conditions"])


def duo(replicas: int, **rest: Any) -> Object:
    return a_spec(replicas, a_role("duo", 1, 1), **rest)


async def test_a_surge_group_that_cannot_be_scheduled_is_told_with_the_schedulers_words() -> None:
    async with scene(duo(2, max_surge=1, max_unavailable=0)) as stage:
        for node in ("node-0", "node-1", "node-2"):
            await stage.world.cordon(node)
        await stage.world.edit(set_image("good:2"))
        await stage.world.sleep(60)
        assert "m-2-duo-0-" in told(stage) or "group 2" in told(stage)
        assert "unschedulable" in told(stage)
        for node in ("node-0", "node-1", "node-2"):
            await stage.world.uncordon(node)
        await stage.settle()


async def test_a_pod_that_hangs_on_a_dead_node_is_told_with_its_node() -> None:
    async with scene(duo(2)) as stage:
        node = stage.pod("m-1-duo-0-1").object["spec"]["nodeName"]
        stage.world.freeze(node)
        await stage.world.sleep(900)
        assert node in told(stage)
        assert "unreachable" in told(stage).lower() or "not ready" in told(stage).lower()
        stage.world.thaw()
        await stage.settle()


async def test_a_recreation_that_waits_for_its_back_off_is_told_while_the_group_is_available() -> None:
    """With grace 0 a restart is never forgiven, also where the pod is ready again."""
    async with scene(duo(1)) as stage:
        world = stage.world
        for _ in range(4):  # 0, 10, 20, 40 s
            uid = stage.uids().get("m-0-duo-0-0")
            assert world.restart_container("m-0-duo-0-1")
            await world.until(lambda uid=uid: stage.uids().get("m-0-duo-0-0", uid) != uid, 120)  # type: ignore[misc]
            await world.until(lambda: len([pod for pod in world.live_pods() if pod.is_ready]) == 2, 20)
            await world.sleep(2)
        assert world.restart_container("m-0-duo-0-1")
        await world.until(lambda: len([pod for pod in world.live_pods() if pod.is_ready]) == 2, 20)
        await world.sleep(3)
        assert stage.condition("Available")["status"] == "True"
        assert "m-0-duo-0-1" in told(stage)
        assert any(word in told(stage) for word in ("BackOff", "back-off", "again at", "is due"))


async def test_no_message_has_a_hole_where_a_pod_should_be() -> None:
    async with scene(duo(2), is_settled=False, script=lambda pod: Behaviour(never_ready=True)) as stage:
        await stage.world.sleep(60)
        assert "pod -" not in told(stage)
        assert "m-0-duo-0-0" in told(stage)


async def test_a_containers_own_words_come_escaped_and_short() -> None:
    """Its message has control bytes, and is long."""
    noisy = replace(HEALTHY, crash_loop=True, reason="Error\x1b[31m\x00" + "x" * 5000)

    def script(pod: PlainObject) -> Behaviour:
        return noisy if pod.metadata.name == "m-1-duo-0-1" else behaviour_of_image(pod)

    async with scene(duo(2), is_settled=False, script=script) as stage:
        await stage.world.sleep(120)
        for one in stage.status["conditions"]:
            assert len(one["message"].encode()) <= KIBIBYTE
            assert one["message"].isprintable(), repr(one["message"])
        assert "m-1-duo-0-1" in told(stage)
