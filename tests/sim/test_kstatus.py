"""What tools that wait for a ModelInfer read off every watch event of it, in stories of a group's life."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from kstatus import Kstatus, kstatus

from modelinfer_controller.simulator.apiserver.store import ChangeType
from sim.facts import MODEL_INFERS, Facts, Object, resolve_budget
from sim.journal import Entry
from sim.scene import Scene, scene
from sim.world import a_role, a_spec, set_image, set_update

IN_PROGRESS, CURRENT, FAILED, TERMINATING = Kstatus
NODES = ("node-0", "node-1", "node-2")


class Watcher:
    """Reads every watch event of the ModelInfer: `seen` are the verdicts, each once for as long as it lasts."""

    def __init__(self, stage: Scene) -> None:
        self.seen: list[Kstatus] = []
        self._facts = stage.world.facts
        stage.world.journal.on_entry.append(self._read)

    def _read(self, entry: Entry) -> None:
        change = entry.change
        if change.kind_key != MODEL_INFERS or change.type is ChangeType.DELETED:
            return
        verdict = kstatus(change.stored.object)
        if verdict is CURRENT:
            check_is_current(self._facts, change.stored.object)
        if self.seen[-1:] != [verdict]:
            self.seen.append(verdict)

    def since(self) -> list[Kstatus]:
        """The verdicts since it was asked last; the one that still holds is the first of the next."""
        seen, self.seen = self.seen, self.seen[-1:]
        return seen


def check_is_current(facts: Facts, model: Object) -> None:
    """Whoever is told that it is current finds every group there, ready, and where no partition holds it updated."""
    spec, groups = model["spec"], facts.pods_by_group()
    assert groups.keys() == set(range(spec["replicas"])), f"current with groups {sorted(groups)}"
    expected = sum(role["replicas"] * (role.get("workerReplicas", 0) + 1) for role in spec["template"]["roles"])
    for ordinal, pods in groups.items():
        unready = [pod.name for pod in pods if not pod.is_ready]
        assert not unready, f"current while {unready} are not ready"
        assert len(pods) == expected, f"current while group {ordinal} has {len(pods)} of {expected} pods"
        if ordinal >= resolve_budget(spec)[2]:
            assert {pod.revision for pod in pods} == {facts.update_revision()}, f"current while {ordinal} is outdated"


def duo(replicas: int = 2, **rest: Any) -> Object:
    return a_spec(replicas, a_role("duo", 1, 1), **rest)


@asynccontextmanager
async def watched(spec: Object) -> AsyncIterator[tuple[Scene, Watcher]]:
    """A converged ModelInfer, and what is read of it from its creation on."""
    async with scene(duo(1), is_settled=False) as stage:
        await stage.world.delete("modelinfers", "m")
        await stage.world.until(lambda: stage.world.facts.model is None and not stage.world.facts.pods())
        watcher = Watcher(stage)
        await stage.world.create_model(spec)
        await stage.settle()
        assert watcher.since() == [IN_PROGRESS, CURRENT]
        yield stage, watcher


async def test_creation_is_in_progress_from_the_first_event_until_every_group_is_available() -> None:
    async with watched(duo()) as (stage, watcher):
        await stage.world.sleep(900)
        assert watcher.since() == [CURRENT]


async def test_an_update_is_in_progress_until_the_last_group_is_available_at_it() -> None:
    async with watched(duo(3)) as (stage, watcher):
        await stage.world.edit(set_image("good:2"))
        await stage.settle()
        assert watcher.since() == [CURRENT, IN_PROGRESS, CURRENT]


async def test_an_update_with_a_surge_is_in_progress_until_the_extra_groups_are_gone() -> None:
    async with watched(duo(3, max_surge=2)) as (stage, watcher):
        await stage.world.edit(set_image("good:2"))
        await stage.settle()
        assert watcher.since() == [CURRENT, IN_PROGRESS, CURRENT]


async def test_what_cannot_be_scheduled_is_in_progress() -> None:
    async with watched(duo()) as (stage, watcher):
        for node in NODES:
            await stage.world.cordon(node)
        await stage.world.patch_spec(replicas=3)
        await stage.world.sleep(900)
        assert watcher.since() == [CURRENT, IN_PROGRESS]
        for node in NODES:
            await stage.world.uncordon(node)
        await stage.settle()
        assert watcher.since() == [IN_PROGRESS, CURRENT]


async def test_groups_that_a_partition_holds_are_waited_for_by_nobody() -> None:
    async with watched(duo(3)) as (stage, watcher):
        await stage.world.edit(set_update(partition=2))
        await stage.settle()
        watcher.since()
        await stage.world.edit(set_image("good:2"))
        await stage.settle()
        assert watcher.since() == [CURRENT, IN_PROGRESS, CURRENT]


async def test_no_replicas_are_current() -> None:
    async with watched(duo()) as (stage, watcher):
        await stage.world.patch_spec(replicas=0)
        await stage.settle()
        assert watcher.since() == [CURRENT, IN_PROGRESS, CURRENT]


async def test_a_paused_update_is_in_progress_and_a_pause_without_one_is_current() -> None:
    async with watched(duo()) as (stage, watcher):
        await stage.world.patch_spec(paused=True)
        await stage.settle()
        assert watcher.since() == [CURRENT, IN_PROGRESS, CURRENT]
        await stage.world.edit(set_image("good:2"))
        await stage.world.sleep(900)
        assert watcher.since() == [CURRENT, IN_PROGRESS]
        await stage.world.patch_spec(paused=False)
        await stage.settle()
        assert watcher.since() == [IN_PROGRESS, CURRENT]


async def test_what_is_suspended_is_in_progress_until_it_is_resumed_and_available() -> None:
    async with watched(duo()) as (stage, watcher):
        await stage.world.patch_spec(suspend=True)
        await stage.world.sleep(900)
        assert watcher.since() == [CURRENT, IN_PROGRESS]
        await stage.world.patch_spec(suspend=False)
        await stage.settle()
        assert watcher.since() == [IN_PROGRESS, CURRENT]


async def test_an_update_that_is_halted_has_failed_until_another_template_is_there() -> None:
    async with watched(duo(progressDeadlineSeconds=60)) as (stage, watcher):
        await stage.world.edit(set_image("never:1"))
        await stage.world.sleep(900)
        assert watcher.since() == [CURRENT, IN_PROGRESS, FAILED]
        await stage.world.edit(set_image("good:2"))
        await stage.settle()
        assert watcher.since() == [FAILED, IN_PROGRESS, CURRENT]


async def test_an_update_that_is_rolled_back_has_failed_until_another_template_is_there() -> None:
    async with watched(duo(progressDeadlineSeconds=60)) as (stage, watcher):
        await stage.world.edit(set_update(onFailure="Rollback"))
        await stage.settle()
        assert watcher.since() == [CURRENT, IN_PROGRESS, CURRENT]
        await stage.world.edit(set_image("never:1"))
        await stage.world.sleep(900)
        assert watcher.since() == [CURRENT, IN_PROGRESS, FAILED]
        assert {pod.image for pod in stage.world.live_pods() if pod.is_ready} == {"good:1"}
        await stage.world.edit(set_image("good:1"))
        await stage.settle()
        assert watcher.since() == [FAILED, IN_PROGRESS, CURRENT]


async def test_a_scale_down_that_drains_is_in_progress_until_the_last_pod_is_gone() -> None:
    async with watched(duo(3)) as (stage, watcher):
        await stage.world.edit(lambda spec: spec["template"].update(drain={"timeoutSeconds": 30}))
        await stage.settle()
        watcher.since()
        await stage.world.patch_spec(replicas=2)
        await stage.world.sleep(20)
        assert watcher.since() == [CURRENT, IN_PROGRESS]
        await stage.settle()
        assert watcher.since() == [IN_PROGRESS, CURRENT]


async def test_min_ready_seconds_are_in_progress() -> None:
    async with watched(duo(minReadySeconds=30)) as (stage, watcher):
        await stage.world.patch_spec(replicas=3)
        await stage.world.sleep(20)
        assert watcher.since() == [CURRENT, IN_PROGRESS]
        await stage.settle()
        assert watcher.since() == [IN_PROGRESS, CURRENT]


async def test_a_recovery_is_in_progress_until_its_group_is_available() -> None:
    async with watched(duo()) as (stage, watcher):
        assert stage.world.evict("m-1-duo-0-1")
        await stage.world.sleep(0.05)
        await stage.settle()
        assert watcher.since() == [CURRENT, IN_PROGRESS, CURRENT]


async def test_what_is_being_deleted_is_terminating() -> None:
    async with watched(duo()) as (stage, watcher):
        await stage.world.delete("modelinfers", "m", propagation="Foreground")
        await stage.world.until(lambda: stage.world.facts.model is None)
        assert watcher.since() == [CURRENT, TERMINATING]


def test_the_verdicts_are_those_that_kstatus_gives() -> None:
    def model(generation: int, observed: int, **conditions: str) -> Object:
        stated = [{"type": type_, "status": status} for type_, status in conditions.items()]
        return {
            "metadata": {"generation": generation},
            "status": {"observedGeneration": observed, "conditions": stated},
        }

    assert kstatus(model(2, 1, Ready="True")) is IN_PROGRESS
    assert kstatus(model(2, 2, Ready="True")) is CURRENT
    assert kstatus(model(2, 2, Ready="False")) is IN_PROGRESS
    assert kstatus(model(2, 2, Ready="Unknown")) is IN_PROGRESS
    assert kstatus(model(2, 2, Ready="False", Stalled="True")) is FAILED
    assert kstatus({**model(2, 2, Ready="True"), "metadata": {"deletionTimestamp": "now"}}) is TERMINATING
