"""Recovery goes on: whatever is refused, whatever the record says, however much failed, whatever the clock shows."""

import json
from datetime import timedelta
from typing import Any

import pytest

from modelinfer_controller.simulator.faults.admission import CREATE
from modelinfer_controller.simulator.faults.transport import Rates
from modelinfer_controller.simulator.nodes.stages import HEALTHY, Behaviour
from modelinfer_controller.simulator.resources import PlainObject
from sim.facts import Object
from sim.scene import Scene, scene
from sim.world import a_role, a_spec, behaviour_of_image, set_image

NOW = timedelta()
HOUR = 3600.0
LATENCY = Rates(latency=0.3)


def scale_role(count: int) -> Any:
    def scaled(spec: Object) -> None:
        spec["template"]["roles"][0]["replicas"] = count

    return scaled


async def test_a_waiting_group_that_failed_comes_back_whole() -> None:
    """The last pod of group 0 cannot be made; group 1 takes a bad image; then a pod of group 0 fails."""
    async with scene(a_spec(2, a_role("decode"), recoveryPolicy="InferGroupRecreate")) as stage:
        world = stage.world
        world.deny(CREATE, "pods", "m-0-decode-2-0")
        stage.rollout.forgive()
        await world.edit(scale_role(3))
        await world.until(lambda: len(world.live_pods()) == 5, 60)
        await world.sleep(30)
        await world.edit(set_image("never:1"))
        await world.sleep(60)
        before = {name: uid for name, uid in stage.uids().items() if name.startswith("m-0-")}
        assert sorted(before) == ["m-0-decode-0-0", "m-0-decode-1-0"]
        assert world.evict("m-0-decode-0-0")
        await world.sleep(HOUR)
        group = {pod.name: pod for pod in world.live_pods() if pod.group == 0}
        assert set(before) <= set(group)
        assert all(pod.is_ready for pod in group.values())
        assert all(group[name].uid != uid for name, uid in before.items()), "InferGroupRecreate recreates all of it"
        assert len({pod.incarnation for pod in group.values()}) == 1


@pytest.mark.parametrize("pause", [0.1, 0.2, 0.3])
async def test_a_waiting_group_of_two_hasty_edits_comes_back_whole(pause: float) -> None:
    """Four replicas of a role, then a bad image, within 0.3 s of latency."""
    async with scene(a_spec(2, a_role("decode"), recoveryPolicy="InferGroupRecreate")) as stage:
        world = stage.world
        stage.rules.has_faults = stage.rollout.has_faults = True
        world.storm(LATENCY)
        stage.rollout.forgive()
        await world.edit(scale_role(4))
        await world.sleep(pause)
        await world.edit(set_image("never:1"))
        await world.sleep(120)
        group = [pod.name for pod in world.live_pods() if pod.group == 0]
        assert group
        assert world.evict(group[0])
        await world.sleep(HOUR)
        left = {pod.name: pod for pod in world.live_pods() if pod.group == 0}
        assert set(group) <= set(left)
        assert all(pod.is_ready for pod in left.values())
        assert len({pod.incarnation for pod in left.values()}) == 1


def largest_status(stage: Scene) -> list[int]:
    """Fills with the size of each status that is written, in bytes."""
    sizes: list[int] = []

    def note(exchange: Any) -> None:
        if exchange.request.path.endswith("/m/status"):
            sizes.append(len(json.dumps(stage.status)))

    stage.world.journal.on_exchange.append(note)
    return sizes


@pytest.mark.parametrize(("groups", "instances"), [(1000, 8), (5000, 1)])
async def test_a_node_pool_that_is_lost_with_everything_is_recovered_from(groups: int, instances: int) -> None:
    """No rules watch: they look at every pod for each pod."""
    async with scene(a_spec(0), is_settled=False, nodes=10, decision_time=0.2) as stage:
        world = stage.world
        world.journal.on_entry.clear()
        world.journal.on_exchange.clear()
        world.cluster.kubelet.script = lambda pod: HEALTHY
        sizes = largest_status(stage)
        await world.edit(lambda spec: spec.update(a_spec(groups, a_role("decode", instances))))
        await world.until(lambda: stage.status.get("availableReplicas") == groups, 900, step=5)
        before = stage.uids()
        world.cluster.kubelet.script = lambda pod: (
            EVICTED if before.get(pod.metadata.name) == pod.metadata.uid else HEALTHY
        )
        for name in before:
            assert world.evict(name)
        await world.until(lambda: stage.status.get("availableReplicas", groups) < groups, 60, step=1)
        await world.until(lambda: stage.status.get("availableReplicas") == groups, 1800, step=10)
        assert not set(before.values()) & set(stage.uids().values())
        assert max(sizes) < 1024 * 1024


EVICTED = Behaviour(fail_after=NOW, reason="Evicted", exit_code=137)


async def test_a_revision_of_ours_in_another_shape_stops_nothing() -> None:
    async with scene(a_spec(2, a_role("duo", 1, 1))) as stage:
        world = stage.world
        owner = world.facts.model
        assert owner is not None
        reference = {"apiVersion": owner["apiVersion"], "kind": "ModelInfer", "name": "m", "uid": world.facts.uid}
        labels = {"modelinfer.volcano.sh/name": "m"}
        body = {
            "metadata": {"name": "m-strange", "labels": labels, "ownerReferences": [{**reference, "controller": True}]},
            "revision": 7,
            "data": {"roles": [{"replicas": 1}]},
        }
        await world.create("controllerrevisions", body)
        await world.edit(set_image("good:2"))
        await world.until(lambda: {pod.image for pod in world.live_pods() if pod.is_ready} == {"good:2"}, 120)
        model = world.facts.model
        assert model is not None
        assert stage.status["observedGeneration"] == model["metadata"]["generation"]


async def test_an_optional_instance_that_is_never_ready_does_not_keep_the_back_off_growing() -> None:
    def script(pod: PlainObject) -> Behaviour:
        return Behaviour(never_ready=True) if "-decode-1-" in pod.metadata.name else behaviour_of_image(pod)

    gang = {"minRoleReplicas": {"decode": 1}}
    spec = a_spec(1, a_role("decode", 2), gang=gang, recoveryPolicy="InferGroupRecreate")
    async with scene(spec, is_settled=False, script=script) as stage:
        world = stage.world
        await world.until(lambda: stage.status.get("availableReplicas") == 1, 60)
        took = []
        for _ in range(5):
            await world.sleep(24 * HOUR)
            uid = stage.uids()["m-0-decode-0-0"]
            began = world.now
            assert world.evict("m-0-decode-0-0")
            await world.until(
                lambda uid=uid: (
                    stage.uids().get("m-0-decode-0-0", uid) != uid  # type: ignore[misc]
                    and stage.status["availableReplicas"] == 1
                ),
                600,
            )
            took.append(world.now - began)
        assert max(took) < 8, took


async def test_a_clock_that_was_an_hour_ahead_delays_no_recreation_beyond_the_back_off() -> None:
    async with scene(a_spec(1, a_role("duo", 1, 1))) as stage:
        world = stage.world
        world.controller_clock.offset = timedelta(hours=1)
        first = stage.uids()["m-0-duo-0-0"]
        assert world.evict("m-0-duo-0-0")
        await world.until(lambda: stage.uids().get("m-0-duo-0-0", first) != first, 10)
        await world.sleep(5)
        await world.controller.kill()
        world.controller_clock.offset = timedelta()
        world.controller.start()
        await world.sleep(5)
        second = stage.uids()["m-0-duo-0-0"]
        assert world.evict("m-0-duo-0-0")
        await world.until(lambda: stage.uids().get("m-0-duo-0-0", second) != second, 15)
