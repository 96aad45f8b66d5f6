"""Nothing is recreated, replaced or dropped that nobody asked for."""

import copy
from datetime import timedelta
from typing import Any

import pytest
import yaml

from modelinfer_controller.simulator.faults.transport import Rates
from modelinfer_controller.simulator.nodes.stages import HEALTHY, Behaviour
from modelinfer_controller.simulator.resources import PlainObject
from sim.facts import Object
from sim.journal import CONTROLLER, Entry
from sim.scene import Scene, of_group, renewed, scene
from sim.world import CRD, a_role, a_spec, set_image, set_update

SLOW_TO_END = Behaviour(ready_after=timedelta(seconds=1), terminate_after=timedelta(seconds=10))


def scale_role(count: int) -> Any:
    def scaled(spec: Object) -> None:
        spec["template"]["roles"][0]["replicas"] = count

    return scaled


def creations(stage: Scene) -> dict[str, int]:
    """Fills with how often the controller makes each pod."""
    made: dict[str, int] = {}

    def note(entry: Entry) -> None:
        if entry.author == CONTROLLER and entry.change.kind_key[1] == "pods" and entry.change.previous is None:
            made[entry.change.key[1]] = made.get(entry.change.key[1], 0) + 1

    stage.world.journal.on_entry.append(note)
    return made


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("milliseconds", [100, 255, 270, 285, 300, 315, 500])
async def test_its_own_deletions_are_not_taken_for_somebody_elses(milliseconds: int, seed: int) -> None:
    """Role a goes to 1 and back to 2 while the deletion's echo is under way."""
    spec = a_spec(1, a_role("a", 2, 3), a_role("b"), recoveryPolicy="InferGroupRecreate")
    async with scene(spec, script=lambda pod: SLOW_TO_END, seed=seed) as stage:
        world, before = stage.world, stage.uids()
        stage.rules.has_faults = stage.rollout.has_faults = True  # what it sees is late
        world.storm(Rates(latency=0.3))
        await world.edit(scale_role(1))
        await world.sleep(milliseconds / 1000)
        await world.edit(scale_role(2))
        await world.sleep(120)
        assert renewed(before, stage.uids()) <= {name for name in before if name.startswith("m-0-a-1-")}


@pytest.mark.parametrize("seconds", [0.01, 2.0, 9.99, 10.3, 11.1])
@pytest.mark.parametrize("policy", ["RoleRecreate", "InferGroupRecreate"])
async def test_a_status_wiped_by_hand_while_a_role_is_recreated_costs_no_other_pod(policy: str, seconds: float) -> None:
    """Whatever it had remembered of the recreation is on the pods as well; the controller restarts, too."""
    spec = a_spec(2, a_role("a", 1, 2), a_role("b"), recoveryPolicy=policy)
    async with scene(spec, script=lambda pod: SLOW_TO_END) as stage:
        world, before = stage.world, stage.uids()
        world.restart_container("m-0-a-0-1")
        await world.sleep(seconds)
        await world.controller.kill()
        await world.patch("modelinfers", "m", {"status": None}, "/status")
        world.controller.start()
        await stage.settle()
        scope = "m-0-a-0-" if policy == "RoleRecreate" else "m-0-"
        assert renewed(before, stage.uids()) == {name for name in before if name.startswith(scope)}


async def test_own_deletions_are_known_as_such_after_a_restart() -> None:
    spec = a_spec(1, a_role("a", 2, 3), a_role("b"), recoveryPolicy="InferGroupRecreate")
    async with scene(spec, script=lambda pod: SLOW_TO_END) as stage:
        world, before = stage.world, stage.uids()
        await world.edit(scale_role(1))
        await world.sleep(3)
        await world.controller.kill()
        await world.edit(scale_role(2))
        world.controller.start()
        await world.sleep(120)
        assert renewed(before, stage.uids()) == {name for name in before if name.startswith("m-0-a-1-")}


async def test_a_group_that_the_partition_holds_keeps_its_revision_through_zero() -> None:
    """Group 1 is the canary at v2; then the partition holds both groups."""
    async with scene(a_spec(2, a_role("solo"), partition=1)) as stage:
        world = stage.world
        await world.edit(set_image("good:2"))
        await stage.settle()
        images = {pod.group: pod.image for pod in world.live_pods()}
        assert images == {0: "good:1", 1: "good:2"}
        await world.edit(set_update(partition=2))
        await stage.settle()
        stage.rollout.forgive()
        await world.edit(scale_role(0))
        await world.until(lambda: not world.live_pods(), 60)
        await world.sleep(5)
        await world.edit(scale_role(1))
        await world.until(lambda: len([pod for pod in world.live_pods() if pod.is_ready]) == 2, 60)
        assert {pod.group: pod.image for pod in world.live_pods()} == images


async def test_a_condition_of_somebody_else_stays() -> None:
    async with scene(a_spec(2, a_role("solo"))) as stage:
        foreign = {
            "type": "example.com/Reviewed",
            "status": "True",
            "reason": "Reviewed",
            "message": "by hand",
            "lastTransitionTime": "2026-01-01T00:00:00Z",
        }
        conditions = [*stage.status["conditions"], foreign]
        await stage.world.patch("modelinfers", "m", {"status": {"conditions": conditions}}, "/status")
        await stage.world.edit(set_image("good:2"))
        await stage.world.sleep(60)
        assert stage.condition("example.com/Reviewed") == foreign
        assert stage.condition("Available")["status"] == "True"


@pytest.mark.parametrize("policy", ["RoleRecreate", "InferGroupRecreate"])
async def test_a_worker_that_crashes_does_not_end_the_pull_of_its_entry(policy: str) -> None:
    """The entry pulls its image for 60 s; the worker restarts at 5, 15 and 35 s and is never ready before that."""

    def script(pod: PlainObject) -> Behaviour:
        if pod.metadata.name.endswith("-0"):
            return Behaviour(pull_after=timedelta(seconds=60))
        return Behaviour(never_ready=True)

    async with scene(a_spec(1, a_role("duo", 1, 1), recoveryPolicy=policy), is_settled=False, script=script) as stage:
        world = stage.world
        made = creations(stage)
        for pause in (5.0, 10.0, 20.0):
            await world.sleep(pause)
            assert world.restart_container("m-0-duo-0-1")
        await world.sleep(5)
        message = stage.condition("Available")["message"]
        assert made.get("m-0-duo-0-0", 1) == 1
        assert "m-0-duo-0-0" in message, f"the pull is the first cause: {message}"
        world.cluster.kubelet.script = lambda pod: HEALTHY
        for name in ("m-0-duo-0-1", "m-0-duo-0-0"):
            assert world.behave(name)
        await stage.settle()


async def test_a_held_group_does_not_change_its_version_because_its_revision_was_deleted() -> None:
    """Partition holds group 0 at v1; somebody deletes v1's ControllerRevision, then a pod of group 0."""
    async with scene(a_spec(2, a_role("duo", 1, 1), partition=1)) as stage:
        world = stage.world
        first = world.facts.update_revision()
        data = world.facts.revision_data(first)
        await world.edit(set_image("good:2"))
        await stage.settle()
        await world.delete("controllerrevisions", first)
        await world.sleep(5)
        restored = world.facts.revision_data(first)
        assert restored in (data, {}), "written again as it was, or not at all"
        before = stage.uids()
        await world.delete("pods", "m-0-duo-0-0")
        await world.sleep(60)
        assert {pod.image for pod in world.live_pods() if pod.group == 0} <= {"good:1"}
        if restored:
            assert renewed(before, stage.uids()) == of_group(before, 0)
        else:
            assert any(one["reason"] == "RevisionMissing" for one in stage.status["conditions"])


async def test_a_definition_that_gains_defaults_inside_the_template_restarts_no_pod() -> None:
    """The port's protocol has no default; then it has one; then the controller starts anew."""
    with_port = a_role("duo", 1, 1)
    with_port["entryTemplate"]["spec"]["containers"][0]["ports"] = [{"containerPort": 8000}]
    async with scene(a_spec(3, with_port), definition=definition_with_protocol(None)) as stage:
        world, before = stage.world, stage.uids()
        for default in ("TCP", None, "TCP"):
            world.cluster.replace_definition(definition_with_protocol(default))
            await world.controller.kill()
            world.controller.start()
            await world.sleep(60)
            assert stage.uids() == before
        await world.patch_spec(replicas=4)
        await world.until(lambda: len([pod for pod in world.live_pods() if pod.is_ready]) == 8, 60)
        assert before.items() <= stage.uids().items()


def definition_with_protocol(default: str | None) -> Object:
    definition: Object = copy.deepcopy(yaml.load(CRD.read_text(), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)))
    for protocol in _protocols(definition["spec"]["versions"][0]["schema"]):
        protocol.pop("default", None)
        if default is not None:
            protocol["default"] = default
    return definition


def _protocols(node: Any) -> list[Object]:
    """The schema of each container port's protocol."""
    if isinstance(node, list):
        return [found for one in node for found in _protocols(one)]
    if not isinstance(node, dict):
        return []
    own = node.get("properties") or {}
    found = [own["protocol"]] if "containerPort" in own and "protocol" in own else []
    return [*found, *(one for child in node.values() for one in _protocols(child))]
