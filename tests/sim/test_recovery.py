"""Recovery: each policy, each trigger, each kind of pod; grace, back-off and memory, with the controller killed."""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta

import pytest

from modelinfer_controller.simulator.nodes.stages import Behaviour
from modelinfer_controller.simulator.resources import PlainObject
from sim.facts import PODS, Object
from sim.journal import CONTROLLER, Entry
from sim.scene import Scene, of_group, renewed, scene
from sim.world import IMAGES, World, a_role, a_spec, set_image

NOW = timedelta()
SINGLE, ENTRY, WORKER = "m-1-solo-0-0", "m-1-duo-0-0", "m-1-duo-0-1"
POLICIES = ("RoleRecreate", "InferGroupRecreate", "None")


def two_roles(policy: str, *, grace: int = 0, replicas: int = 2, sidecars: bool = False) -> Object:
    roles = [a_role("solo", 2), a_role("duo", 2, 2)]
    if sidecars:
        for role in roles:
            for key in ("entryTemplate", "workerTemplate"):
                if key in role:
                    sidecar = {"name": "side", "image": "good:1", "restartPolicy": "Always"}
                    role[key] = {"spec": {**role[key]["spec"], "initContainers": [sidecar]}}
    return a_spec(replicas, *roles, grace=grace, recoveryPolicy=policy)


async def deleted(world: World, pod: str) -> None:
    await world.delete("pods", pod)


async def evicted(world: World, pod: str) -> None:
    assert world.evict(pod)


async def failed(world: World, pod: str) -> None:
    assert world.behave(pod, fail_after=NOW)


async def succeeded(world: World, pod: str) -> None:
    assert world.behave(pod, succeed_after=NOW)


async def container_restarted(world: World, pod: str) -> None:
    assert world.restart_container(pod)


async def init_container_restarted(world: World, pod: str) -> None:
    assert world.behave(pod, init_restart_now=1)


Trigger = Callable[[World, str], Awaitable[None]]
GONE: tuple[Trigger, ...] = (deleted, evicted, failed, succeeded)
RESTARTED: tuple[Trigger, ...] = (container_restarted, init_container_restarted)


def rebuilt(policy: str, trigger: Trigger, pod: str, names: dict[str, str]) -> set[str]:
    """By the words of the contract: which pods are others afterwards."""
    if policy == "None":
        return set() if trigger in RESTARTED else {pod}
    if policy == "InferGroupRecreate":
        return of_group(names, 1)
    return {name for name in names if name.rsplit("-", 1)[0] == pod.rsplit("-", 1)[0]}


@pytest.mark.parametrize("pod", [SINGLE, ENTRY, WORKER])
@pytest.mark.parametrize("trigger", [*GONE, *RESTARTED])
@pytest.mark.parametrize("policy", POLICIES)
async def test_exactly_the_right_pods_are_rebuilt(policy: str, trigger: Trigger, pod: str) -> None:
    spec = two_roles(policy, sidecars=trigger is init_container_restarted)
    async with scene(spec) as stage:
        before = stage.uids()
        creations = watch_creations(stage)
        await trigger(stage.world, pod)
        await stage.world.sleep(60)
        stage.check_at_rest()
        assert renewed(before, stage.uids()) == rebuilt(policy, trigger, pod, before)
        assert all(count == 1 for count in creations.values()), f"made more than once: {creations}"


def watch_creations(stage: Scene) -> dict[str, int]:
    """Counts from now on how often the controller makes a pod of each name, none while what is rebuilt is there."""
    made: dict[str, int] = {}

    def note(entry: Entry) -> None:
        if entry.author == CONTROLLER and entry.change.kind_key[1] == "pods" and entry.change.previous is None:
            made[entry.change.key[1]] = made.get(entry.change.key[1], 0) + 1

    stage.world.journal.on_entry.append(note)
    return made


@pytest.mark.parametrize("policy", POLICIES)
async def test_a_lost_node_leads_to_a_rebuild_elsewhere(policy: str) -> None:
    async with scene(a_spec(2, a_role("duo", 1, 1), recoveryPolicy=policy)) as stage:
        before = stage.uids()
        nodes = {pod.name: pod.object["spec"]["nodeName"] for pod in stage.world.live_pods()}
        lost = nodes["m-1-duo-0-1"]
        stage.world.freeze(lost)
        await stage.world.sleep(30)
        assert stage.uids() == before, "a node may be silent for a moment"
        await stage.world.until(lambda: any(pod.is_terminating for pod in stage.world.facts.pods()), 900)
        await stage.world.sleep(5)
        # Its pods stay Terminating until the node is back or removed, and their names stay reserved.
        stage.world.thaw()
        await stage.settle()
        on_lost = {name for name, node in nodes.items() if node == lost}
        instances = {name.rsplit("-", 1)[0] for name in on_lost}
        expected = on_lost if policy == "None" else {n for n in before if n.rsplit("-", 1)[0] in instances}
        assert renewed(before, stage.uids()) == expected


@pytest.mark.parametrize("policy", ["RoleRecreate", "InferGroupRecreate"])
async def test_in_a_rebuild_all_are_gone_before_the_first_is_made(policy: str) -> None:
    """Pods that take long to stop, of different lengths."""
    async with scene(two_roles(policy)) as stage:
        before = stage.uids()
        for number, name in enumerate(sorted(of_group(before, 1))):
            stage.world.behave(name, terminate_after=timedelta(seconds=2 + 3 * number))
        await stage.world.sleep(1)
        old = {name: before[name] for name in rebuilt(policy, failed, WORKER, before)}

        def none_of_the_old_is_there(entry: Entry) -> None:
            if entry.author == CONTROLLER and entry.change.kind_key[1] == "pods" and entry.change.previous is None:
                left = {pod.name for pod in stage.world.facts.pods() if pod.uid in old.values()}
                assert not left, f"{entry.change.key[1]} is made while {left} are there"

        stage.world.journal.on_entry.append(none_of_the_old_is_there)
        stage.world.evict(WORKER)
        await stage.world.sleep(120)
        stage.check_at_rest()
        assert renewed(before, stage.uids()) == set(old)


async def test_recovered_within_the_grace_period_nothing_happens_then_or_an_hour_later() -> None:
    async with scene(two_roles("RoleRecreate", grace=60)) as stage:
        before = stage.uids()
        stage.world.restart_container(ENTRY)
        await stage.world.sleep(90)
        assert stage.uids() == before
        await stage.world.sleep(3600)
        stage.world.behave(ENTRY, unready_after=NOW)
        await stage.world.sleep(300)
        assert stage.uids() == before, "a readiness blip is not a failure"
        assert stage.condition("Available")["status"] == "False"


async def test_not_recovered_it_is_rebuilt_once_at_the_deadline_and_a_crash_loop_does_not_move_it() -> None:
    async with scene(two_roles("RoleRecreate", grace=60)) as stage:
        before, began = stage.uids(), stage.world.now
        stage.world.behave(ENTRY, crash_loop=True, restart_every=timedelta(seconds=7))
        stage.world.restart_container(ENTRY)
        await stage.world.until(lambda: stage.uids() != before, 200, step=0.1)
        waited = stage.world.now - began
        assert 59 <= waited <= 63, f"rebuilt after {waited} s"
        await stage.settle()
        assert renewed(before, stage.uids()) == rebuilt("RoleRecreate", container_restarted, ENTRY, before)
        after = stage.uids()
        await stage.world.sleep(900)
        assert stage.uids() == after


async def test_the_deadline_survives_a_restart_of_the_controller() -> None:
    async with scene(two_roles("RoleRecreate", grace=60)) as stage:
        before, began = stage.uids(), stage.world.now
        stage.world.behave(ENTRY, crash_loop=True, restart_every=timedelta(seconds=7))
        stage.world.restart_container(ENTRY)
        await stage.world.sleep(30)
        await stage.world.controller.kill()
        await stage.world.sleep(15)
        stage.world.controller.start()
        await stage.world.until(lambda: stage.uids() != before, 200, step=0.1)
        assert 59 <= stage.world.now - began <= 63


@pytest.mark.parametrize(("grace", "at_least", "at_most"), [(10, 19, 23), (100, 99, 103)])
async def test_a_grace_period_that_is_changed_meanwhile_counts(grace: int, at_least: float, at_most: float) -> None:
    """Shortened to what is over already, the rebuild is at once; lengthened, it is later."""
    async with scene(two_roles("RoleRecreate", grace=60)) as stage:
        before, began = stage.uids(), stage.world.now
        stage.world.behave(ENTRY, crash_loop=True, restart_every=timedelta(seconds=7))
        stage.world.restart_container(ENTRY)
        await stage.world.sleep(20)

        def change(spec: Object) -> None:
            spec["template"]["restartGracePeriodSeconds"] = grace

        await stage.world.edit(change)
        await stage.world.until(lambda: stage.uids() != before, 200, step=0.1)
        assert at_least <= stage.world.now - began <= at_most


BACKOFF = (0, 10, 20, 40, 80, 160, 300, 300)


@pytest.mark.parametrize("is_killed", [False, True])
async def test_rebuilds_back_off_across_restarts_of_the_controller_and_reset(is_killed: bool) -> None:
    """At once, then 10 s doubling to 5 min; after 10 healthy minutes at once again. The failed pod stays meanwhile."""
    async with scene(a_spec(1, a_role("solo"))) as stage:
        name, waits = "m-0-solo-0-0", []
        for _ in BACKOFF:
            await stage.world.until(lambda: stage.is_at_rest() and stage.pod(name).is_ready, 30, step=0.1)
            uid, began = stage.pod(name).uid, stage.world.now
            stage.world.evict(name)
            if is_killed:
                await stage.world.controller.kill()
                stage.world.controller.start()
            await stage.world.until(lambda uid=uid: uid not in stage.uids().values(), 400, step=0.1)  # type: ignore[misc]
            waits.append(stage.world.now - began)
        assert [round(wait, -1) for wait in waits] == [*BACKOFF]
        await stage.settle()
        await stage.world.sleep(620)
        uid, began = stage.pod(name).uid, stage.world.now
        stage.world.evict(name)
        await stage.world.until(lambda: uid not in stage.uids().values(), 400, step=0.1)
        assert stage.world.now - began < 2


async def test_a_backoff_is_told_with_its_end_and_its_cause_and_does_not_hold_up_a_rollout() -> None:
    async with scene(a_spec(2, a_role("solo"))) as stage:
        for _ in range(4):
            await stage.world.until(lambda: stage.is_at_rest() and "m-1-solo-0-0" in stage.uids(), 60)
            uid = stage.pod("m-1-solo-0-0").uid
            stage.world.evict("m-1-solo-0-0")
            await stage.world.sleep(5)
            if uid in stage.uids().values():
                break
            await stage.world.sleep(1)
        await stage.world.until(lambda: any(told.reason == "BackOff" for told in stage.world.controller.told), 60)
        told = next(told for told in stage.world.controller.told if told.reason == "BackOff")
        assert "m-1-solo-0-0" in told.message
        assert "recreates it after a back-off" in told.message
        assert "back-off" in stage.condition("Available")["message"].lower()
        began = stage.world.now
        await stage.world.edit(set_image("good:2"))
        await stage.settle()
        assert stage.world.now - began < 30


@pytest.mark.parametrize("policy", POLICIES)
async def test_a_storm_rebuilds_each_of_a_hundred_groups_once(policy: str) -> None:
    async with scene(a_spec(100, a_role("duo", 1, 1), recoveryPolicy=policy)) as stage:
        before, creations = stage.uids(), watch_creations(stage)
        for group in range(100):
            stage.world.evict(f"m-{group}-duo-0-1")
        await stage.settle()
        both = {name for name in before if policy != "None" or name.endswith("-1")}
        assert renewed(before, stage.uids()) == both
        assert creations == dict.fromkeys(both, 1)


async def test_a_second_failure_in_the_middle_of_a_rebuild_starts_no_other() -> None:
    async with scene(two_roles("InferGroupRecreate")) as stage:
        before, creations = stage.uids(), watch_creations(stage)
        for name in of_group(before, 1):
            stage.world.behave(name, terminate_after=timedelta(seconds=10))
        await stage.world.sleep(1)
        stage.world.evict(SINGLE)
        await stage.world.sleep(3)
        stage.world.restart_container(WORKER)
        await stage.world.sleep(60)
        stage.check_at_rest()
        assert renewed(before, stage.uids()) == of_group(before, 1)
        assert set(creations.values()) == {1}


async def test_pods_that_are_pending_for_long_are_no_failure() -> None:
    async with scene(two_roles("InferGroupRecreate"), is_settled=False) as stage:
        stage.world.cluster.kubelet.script = slow_start
        await stage.world.sleep(60)
        before = stage.uids()
        await stage.world.sleep(1500)
        assert stage.uids() == before
        await stage.world.sleep(600)
        assert stage.uids() == before
        stage.check_at_rest()


def slow_start(pod: PlainObject) -> Behaviour:
    return replace(IMAGES["good:1"], pull_after=timedelta(minutes=30 if pod.metadata.name.endswith("-0") else 0))


async def test_quota_in_the_middle_of_creation_leaves_siblings_alone_and_is_told() -> None:
    async with scene(two_roles("InferGroupRecreate", replicas=1), is_settled=False) as stage:
        await stage.world.create("resourcequotas", {"metadata": {"name": "q"}, "spec": {"hard": {"pods": "5"}}})
        await stage.world.sleep(120)
        before = stage.uids()
        assert len(before) == 5
        await stage.world.sleep(600)
        assert stage.uids() == before, "running siblings are left alone"
        assert stage.condition("Available")["reason"] == "QuotaExceeded"
        await stage.world.delete("resourcequotas", "q")
        await stage.settle()
        assert before.items() <= stage.uids().items()


async def test_a_pod_deleted_while_the_controller_was_down_is_recovered() -> None:
    async with scene(two_roles("InferGroupRecreate")) as stage:
        before = stage.uids()
        await stage.world.controller.kill()
        await stage.world.delete("pods", WORKER)
        await stage.world.sleep(30)
        stage.world.controller.start()
        await stage.settle()
        assert renewed(before, stage.uids()) == of_group(before, 1)


async def test_all_pods_of_a_group_deleted_are_made_again_at_the_groups_revision() -> None:
    async with scene(a_spec(2, a_role("duo", 1, 1), partition=2)) as stage:
        revision = stage.pod("m-1-duo-0-0").revision
        await stage.world.edit(set_image("good:2"))
        await stage.world.sleep(5)
        for name in ("m-1-duo-0-0", "m-1-duo-0-1"):
            await stage.world.delete("pods", name)
        await stage.settle()
        assert {pod.revision for pod in stage.world.live_pods()} == {revision}


async def test_an_edit_while_a_group_is_rebuilt_is_followed_without_a_detour() -> None:
    async with scene(two_roles("InferGroupRecreate")) as stage:
        for name in of_group(stage.uids(), 1):
            stage.world.behave(name, terminate_after=timedelta(seconds=10))
        await stage.world.sleep(1)
        stage.world.evict(SINGLE)
        await stage.world.sleep(3)
        creations = watch_creations(stage)
        await stage.world.edit(set_image("good:2"))
        await stage.settle()
        assert set(creations.values()) == {1}, creations
        assert {pod.image for pod in stage.world.live_pods()} == {"good:2"}


async def test_each_rebuild_is_told_with_its_pod_cause_policy_and_attempt() -> None:
    async with scene(two_roles("RoleRecreate")) as stage:
        stage.world.evict(WORKER)
        await stage.settle()
        told = [one for one in stage.world.controller.told if one.reason == "Rebuilding"]
        assert len(told) == 1
        for words in (WORKER, "Evicted", "RoleRecreate", "attempt 1"):
            assert words in told[0].message, told[0].message


async def test_pods_that_come_and_go_while_no_watch_is_open_are_made_again() -> None:
    """No event shows them, neither that they are there nor that they are gone."""
    async with World() as world:
        stage = Scene(world)
        await world.sleep(0.05)
        world.cluster.api.watches.end_all(PODS)  # so soon after it was opened that it is not opened again at once
        await world.create_model(a_spec(2, a_role("duo", 1, 1)))
        await world.sleep(0.05)
        made = stage.uids()
        assert len(made) == 4
        for name in made:
            await world.delete("pods", name)
        world.cluster.api.store.compact(PODS)
        assert not world.live_pods()
        await stage.settle()
        assert renewed(made, stage.uids()) == set(made)
