"""A number that no cluster can hold, which an older definition let through: it harms its own ModelInfer alone."""

import re
import resource
from typing import Any

import pytest

from sim.facts import Object
from sim.incidents import older_definition
from sim.scene import Scene, scene
from sim.world import a_role, a_spec

MOST = 2**31 - 1
MIB = 1024  # KiB, as ru_maxrss counts on Linux


def with_role(**fields: Any) -> Object:
    return a_spec(2, {**a_role("duo", 1, 1), **fields})


ABSURD: dict[str, Object] = {
    "replicas": {**a_spec(1, a_role("duo", 1, 1)), "replicas": MOST},
    "a million replicas": {**a_spec(1, a_role("duo", 1, 1)), "replicas": 1_000_000},
    "role replicas": with_role(replicas=MOST),
    "workers": with_role(workerReplicas=MOST),
}


def pods_of(stage: Scene, model: str) -> list[str]:
    return [
        one["metadata"]["name"]
        for one in stage.world.facts.objects(("", "pods"))
        if re.match(rf"{model}-\d+-", one["metadata"]["name"])
    ]


def status_of(stage: Scene, model: str) -> Any:
    stored = stage.world.facts.find(("workload.volcano.sh", "modelinfers"), model)
    return (stored or {}).get("status") or {}


@pytest.mark.parametrize("name", ABSURD)
async def test_an_absurd_number_harms_nobody_else_and_takes_no_memory(name: str) -> None:
    async with scene(a_spec(0), is_settled=False, definition=older_definition()) as stage:
        world = stage.world
        world.journal.on_entry.clear()  # rules about `m` look at each of its pods for each of its pods
        world.journal.on_exchange.clear()
        await world.create("resourcequotas", {"metadata": {"name": "few"}, "spec": {"hard": {"pods": "40"}}})
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        await world.replace_spec(ABSURD[name])
        await world.sleep(30)
        made = len(pods_of(stage, "m"))
        assert made <= 40
        assert stage.condition("Available")["status"] == "False"
        await world.create_model(a_spec(1, a_role("solo")), name="other")
        await world.until(lambda: status_of(stage, "other").get("observedGeneration") == 1, 2)
        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 150 * MIB
        services = len(list(world.facts.objects(("", "services"))))
        assert services <= len(pods_of(stage, "m")) + 100, "made with their pods, not far ahead of them"


async def test_ten_thousand_groups_under_a_quota_of_twenty_pods_make_little_more_than_their_pods() -> None:
    spec = a_spec(10_000, a_role("duo", 1, 1), gang={}, schedulerName="volcano")
    async with scene(a_spec(0), is_settled=False, volcano=True) as stage:
        world = stage.world
        world.journal.on_entry.clear()
        world.journal.on_exchange.clear()
        await world.create("resourcequotas", {"metadata": {"name": "few"}, "spec": {"hard": {"pods": "20"}}})
        await world.replace_spec(spec)
        await world.sleep(60)
        assert len(pods_of(stage, "m")) == 20
        assert len(list(world.facts.objects(("", "services")))) <= 150
        assert len(list(world.facts.objects(("scheduling.volcano.sh", "podgroups")))) <= 150


async def test_set_back_to_a_number_that_is_meant_it_converges() -> None:
    async with scene(a_spec(1, a_role("duo", 1, 1)), definition=older_definition()) as stage:
        await stage.world.create("resourcequotas", {"metadata": {"name": "few"}, "spec": {"hard": {"pods": "10"}}})
        await stage.world.patch_spec(replicas=MOST)
        await stage.world.sleep(30)
        await stage.world.patch_spec(replicas=2)
        await stage.settle()
