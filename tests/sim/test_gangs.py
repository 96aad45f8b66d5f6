"""PodGroups and pods, consistent at every step: the rules watch, and the scheduler admits gangs all or nothing."""

from typing import Any

import pytest

from sim.facts import NATIVE, VOLCANO, Object
from sim.scene import Scene, renewed, scene
from sim.world import a_role, a_spec, set_image


def gang(replicas: int, scheduler: str | None = None, **rest: Any) -> Object:
    named: Object = {"schedulerName": scheduler} if scheduler else {}
    return a_spec(replicas, a_role("a", 1, 1), a_role("b", 2), gang={}, **named, **rest)


def kinds(stage: Scene) -> tuple[int, int]:
    """(PodGroups of Volcano's, Kubernetes' own)."""
    return len(stage.world.facts.owned(VOLCANO)), len(stage.world.facts.owned(NATIVE))


@pytest.mark.parametrize(("volcano", "native"), [(True, False), (False, True)])
async def test_scaled_to_nothing_and_back_each_group_has_its_pod_group(volcano: bool, native: bool) -> None:
    async with scene(gang(4, "volcano" if volcano else None), volcano=volcano, native_gang=native) as stage:
        for replicas in (0, 4):
            await stage.world.patch_spec(replicas=replicas)
            if replicas == 0:
                await stage.world.sleep(0.05)  # and back while pods are still going away
                continue
            await stage.settle()
        for replicas in (0, 4):
            await stage.world.patch_spec(replicas=replicas)
            await stage.settle()
        assert sum(kinds(stage)) == 4


@pytest.mark.parametrize("surge", [0, 1])
async def test_a_rollout_and_a_recovery_leave_one_pod_group_for_each_group(surge: int) -> None:
    async with scene(gang(3, "volcano", max_surge=surge), volcano=True) as stage:
        await stage.world.edit(set_image("good:2"))
        await stage.settle()
        assert stage.world.evict("m-1-a-0-1")
        await stage.settle()
        assert kinds(stage) == (3, 0)


async def test_toggled_it_is_a_new_revision_and_the_pod_groups_come_and_go() -> None:
    async with scene(a_spec(2, a_role("a", 1, 1), schedulerName="volcano"), volcano=True) as stage:
        before = stage.uids()

        def on(spec: Object) -> None:
            spec["template"]["gangSchedule"] = {}

        def off(spec: Object) -> None:
            del spec["template"]["gangSchedule"]

        await stage.world.edit(on)
        await stage.settle()
        during = stage.uids()
        assert kinds(stage) == (2, 0)
        assert renewed(before, during) == before.keys()
        await stage.world.edit(off)
        await stage.settle()
        assert kinds(stage) == (0, 0)
        assert renewed(during, stage.uids()) == before.keys()


async def test_a_deleted_or_changed_pod_group_is_made_good_without_touching_a_pod() -> None:
    async with scene(gang(2, "volcano"), volcano=True) as stage:
        before = stage.uids()
        await stage.world.delete("volcano", "m-0")
        await stage.world.patch("volcano", "m-1", {"spec": {"minMember": 77}})
        await stage.world.sleep(30)
        stage.check_at_rest()
        assert stage.uids() == before


async def test_without_either_kind_pods_run_the_condition_says_so_and_pod_groups_come_with_the_kind() -> None:
    async with scene(gang(2), is_settled=False) as stage:
        await stage.settle()
        assert stage.condition("GangScheduling")["status"] == "False"
        stage.world.install_volcano()
        await stage.world.sleep(60)
        assert kinds(stage)[0] == 2
        await stage.settle()


async def test_minimum_and_role_scaling_keep_pod_groups_in_step() -> None:
    async with scene(gang(2, "volcano"), volcano=True) as stage:
        before = stage.uids()

        def minimum(spec: Object) -> None:
            spec["template"]["gangSchedule"] = {"minRoleReplicas": {"b": 1}}

        def scaled(spec: Object) -> None:
            spec["template"]["roles"][1]["replicas"] = 3

        await stage.world.edit(minimum)
        await stage.settle()
        await stage.world.edit(scaled)
        await stage.settle()
        assert before.items() <= stage.uids().items()
