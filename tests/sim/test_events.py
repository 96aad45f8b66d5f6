"""The Events of a ModelInfer in stories of its life: each thing once, in words that stay the same while it goes on."""

from typing import Any

from sim.facts import Object
from sim.process import Told
from sim.scene import Scene, scene
from sim.world import a_role, a_spec, set_image, set_update

NODES = ("node-0", "node-1", "node-2")


def duo(replicas: int = 2, **rest: Any) -> Object:
    return a_spec(replicas, a_role("duo", 1, 1), **rest)


def told(stage: Scene) -> list[str]:
    """As "Normal Scaling: Scaling from 1 to 2 groups", since it was asked last."""
    events: list[Told] = stage.world.controller.told
    lines = [f"{one.type} {one.reason}: {one.message}" for one in events]
    events.clear()
    return lines


async def test_a_creation_is_told_when_all_groups_are_available() -> None:
    async with scene(duo()) as stage:
        assert told(stage) == ["Normal AllGroupsAvailable: All groups are available"]
        await stage.world.sleep(3600)
        assert told(stage) == []


async def test_an_update_is_told_as_it_starts_and_as_it_is_complete() -> None:
    async with scene(duo(3)) as stage:
        told(stage)
        await stage.world.edit(set_image("good:2"))
        await stage.settle()
        revision = stage.status["updateRevision"]
        assert [line for line in told(stage) if "AllGroups" not in line] == [
            f"Normal RolloutStarted: Updating groups to revision {revision}",
            f"Normal RolloutCompleted: The update to revision {revision} is complete",
        ]


async def test_scaling_is_told_once_and_nothing_else_is_taken_for_it() -> None:
    async with scene(duo()) as stage:
        told(stage)
        await stage.world.patch_spec(replicas=3)
        await stage.settle()
        assert told(stage)[0] == "Normal Scaling: Scaling from 2 to 3 groups"
        await stage.world.patch_spec(replicas=0)
        await stage.settle()
        assert told(stage) == ["Normal Scaling: Scaling from 3 to 0 groups"]
        await stage.world.patch_spec(replicas=1)
        await stage.settle()
        told(stage)
        await stage.world.delete("pods", "m-0-duo-0-0")
        await stage.world.edit(set_image("good:2"))
        await stage.settle()
        assert not [line for line in told(stage) if "Scaling" in line]


async def test_an_update_that_is_paused_and_resumed_is_told() -> None:
    async with scene(duo(paused=True)) as stage:
        told(stage)
        await stage.world.edit(set_image("good:2"))
        await stage.world.sleep(600)
        revision = stage.status["updateRevision"]
        assert told(stage) == [
            f"Normal RolloutStarted: Updating groups to revision {revision}",
            "Normal Paused: The update is paused (spec.paused)",
        ]
        await stage.world.patch_spec(paused=False)
        await stage.settle()
        assert [line for line in told(stage) if "AllGroups" not in line] == [
            "Normal Resumed: The update goes on (spec.paused)",
            f"Normal RolloutCompleted: The update to revision {revision} is complete",
        ]


async def test_an_update_that_is_halted_is_a_warning() -> None:
    async with scene(duo(progressDeadlineSeconds=60)) as stage:
        told(stage)
        await stage.world.edit(set_image("never:1"))
        await stage.world.sleep(900)
        revision = stage.status["updateRevision"]
        assert told(stage) == [
            f"Normal RolloutStarted: Updating groups to revision {revision}",
            f"Warning ProgressDeadlineExceeded: The update to revision {revision} has failed: no group became "
            "available in time. The controller replaces no more groups",
        ]


async def test_an_update_that_is_rolled_back_is_a_warning_and_its_end_is_told() -> None:
    async with scene(duo(progressDeadlineSeconds=60)) as stage:
        await stage.world.edit(set_update(onFailure="Rollback"))
        await stage.settle()
        told(stage)
        await stage.world.edit(set_image("never:1"))
        await stage.world.sleep(900)
        revision, before = stage.status["updateRevision"], stage.status["currentRevision"]
        assert [line for line in told(stage) if "AllGroups" not in line] == [
            f"Normal RolloutStarted: Updating groups to revision {revision}",
            f"Warning RolledBack: The update to revision {revision} has failed: no group became available in time. "
            f"Groups return to revision {before}",
            f"Normal RolloutCompleted: Every group has returned to revision {before}",
        ]


async def test_suspending_and_resuming_are_told() -> None:
    async with scene(duo()) as stage:
        told(stage)
        await stage.world.patch_spec(suspend=True)
        await stage.world.sleep(600)
        assert told(stage) == ["Normal Suspended: spec.suspend is true"]
        await stage.world.patch_spec(suspend=False)
        await stage.settle()
        assert told(stage) == [
            "Normal Resumed: spec.suspend is false",
            "Normal AllGroupsAvailable: All groups are available",
        ]


async def test_a_group_that_recovers_by_itself_is_no_warning_of_its_own() -> None:
    async with scene(duo()) as stage:
        told(stage)
        assert stage.world.behave("m-1-duo-0-0", unready_after=stage.world.controller_clock.offset)
        await stage.world.sleep(60)
        assert told(stage) == ["Normal GroupUnavailable: Group 1 is not available any more: PodsNotReady"]
        assert stage.world.behave("m-1-duo-0-0")
        await stage.settle()
        assert told(stage) == [
            "Normal GroupAvailable: Group 1 is available again",
            "Normal AllGroupsAvailable: All groups are available",
        ]


async def test_a_group_that_waits_for_somebody_is_a_warning_with_the_cause_once() -> None:
    async with scene(duo()) as stage:
        told(stage)
        for node in NODES:
            await stage.world.cordon(node)
        await stage.world.patch_spec(replicas=3)
        await stage.world.sleep(3600)
        assert told(stage) == [
            "Normal Scaling: Scaling from 2 to 3 groups",
            "Warning Unschedulable: Group 2 is not available: Unschedulable",
        ]
        for node in NODES:
            await stage.world.uncordon(node)
        await stage.settle()
        assert told(stage) == ["Normal AllGroupsAvailable: All groups are available"]


async def test_a_group_that_fails_in_turns_is_told_once() -> None:
    """A crash loop is seen as one, as not ready, as a recreation that waits; one Warning says that it fails."""
    async with scene(duo(recoveryPolicy="None")) as stage:
        told(stage)
        assert stage.world.behave("m-0-duo-0-1", crash_loop=True)
        await stage.world.sleep(1800)
        lines = told(stage)
        assert lines.count("Warning CrashLoopBackOff: Group 0 is not available: CrashLoopBackOff") == 1
        assert len(lines) <= 3
