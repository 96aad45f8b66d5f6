"""Rolling updates in virtual time, every take-down judged, with the controller killed at every step."""

from typing import Any

import pytest

from sim.facts import Object
from sim.journal import Entry
from sim.scene import Scene, renewed, scene
from sim.world import a_role, a_spec, set_image, set_update


def duo(replicas: int, **rest: Any) -> Object:
    return a_spec(replicas, a_role("duo", 1, 1), **rest)


def images(stage: Scene) -> dict[int, set[str]]:
    found: dict[int, set[str]] = {}
    for pod in stage.world.live_pods():
        found.setdefault(pod.group, set()).add(pod.image)
    return found


def taken_down(stage: Scene) -> list[int]:
    """Fills up with the ordinals in the order in which their first pod begins to go."""
    order: list[int] = []

    def note(entry: Entry) -> None:
        change = entry.change
        if change.kind_key[1] != "pods" or change.previous is None:
            return
        if "deletionTimestamp" in change.stored.object["metadata"]:
            group = int(change.key[1].split("-")[1])
            if group not in order:
                order.append(group)

    stage.world.journal.on_entry.append(note)
    return order


async def test_by_default_one_group_at_a_time_from_the_highest_ordinal() -> None:
    async with scene(duo(5)) as stage:
        order = taken_down(stage)
        await stage.world.edit(set_image("good:2"))
        await stage.settle()
        assert order == [4, 3, 2, 1, 0]
        assert stage.rollout.judged == 5


@pytest.mark.parametrize(
    ("unavailable", "surge"),
    [(2, 0), ("40%", 0), (9, 0), (1, 1), (1, 2), (1, "25%"), (1, 9), (0, 1), (0, 2), (2, 2)],
)
async def test_budgets_hold_at_every_take_down(unavailable: int | str, surge: int | str) -> None:
    async with scene(duo(5, max_unavailable=unavailable, max_surge=surge)) as stage:
        before = stage.uids()
        await stage.world.edit(set_image("good:2"))
        await stage.settle()
        assert stage.rollout.judged == 5
        assert renewed(before, stage.uids()) == before.keys()


async def test_with_a_surge_and_none_unavailable_all_replicas_are_available_at_every_instant() -> None:
    async with scene(duo(3, max_unavailable=0, max_surge=1)) as stage:

        def all_are_available(entry: Entry) -> None:
            ready = [pod for pod in stage.world.facts.pods() if pod.is_ready]
            whole = [group for group in range(9) if sum(pod.group == group for pod in ready) == 2]
            assert len(whole) >= 3, f"at {entry.change.key[1]} only {whole} are available"

        stage.world.journal.on_entry.append(all_are_available)
        await stage.world.edit(set_image("good:2"))
        await stage.settle()


async def test_a_partition_holds_through_a_rollout_a_lost_group_a_restart_and_role_scaling() -> None:
    async with scene(duo(4, partition=2)) as stage:
        await stage.world.edit(set_image("good:2"))
        await stage.settle()
        held = {0: {"good:1"}, 1: {"good:1"}, 2: {"good:2"}, 3: {"good:2"}}
        assert images(stage) == held
        for name in ("m-0-duo-0-0", "m-0-duo-0-1", "m-1-duo-0-1"):
            await stage.world.delete("pods", name)
        await stage.world.controller.kill()
        stage.world.controller.start()
        await stage.settle()
        assert images(stage) == held

        def two_instances(spec: Object) -> None:
            spec["template"]["roles"][0]["replicas"] = 2

        await stage.world.edit(two_instances)
        await stage.settle()
        assert images(stage) == held
        assert len(stage.uids()) == 16
        await stage.world.edit(set_update(partition=0))
        await stage.settle()
        assert images(stage) == {group: {"good:2"} for group in range(4)}


async def test_a_partition_that_is_raised_mid_way_stops_the_rollout() -> None:
    async with scene(duo(5)) as stage:
        await stage.world.edit(set_image("good:2"))
        await stage.world.until(lambda: images(stage).get(3) == {"good:2"})
        await stage.world.edit(set_update(partition=5))
        await stage.settle()
        assert images(stage) == {0: {"good:1"}, 1: {"good:1"}, 2: {"good:1"}, 3: {"good:2"}, 4: {"good:2"}}


async def test_a_bad_image_hurts_no_more_than_the_pace_rule_allows_and_the_next_good_one_goes_on() -> None:
    async with scene(duo(5)) as stage:
        await stage.world.edit(set_image("never:1"))
        await stage.world.sleep(1800)
        assert images(stage) == {group: {"never:1" if group == 4 else "good:1"} for group in range(5)}
        assert stage.condition("UpdateInProgress")["status"] == "True"
        await stage.world.edit(set_image("good:2"))
        await stage.settle()


async def test_groups_that_are_all_broken_do_not_block_the_fix() -> None:
    async with scene(duo(4, recoveryPolicy="None"), is_settled=False) as stage:
        await stage.world.edit(set_image("never:1"))
        await stage.world.sleep(120)
        await stage.world.edit(set_image("good:2"))
        await stage.settle()


async def test_of_three_images_mid_way_the_second_is_drained_first() -> None:
    async with scene(duo(5)) as stage:
        await stage.world.edit(set_image("slow:1"))
        await stage.world.until(lambda: images(stage).get(3) == {"slow:1"})
        order = taken_down(stage)
        await stage.world.edit(set_image("good:2"))
        await stage.settle()
        assert order[0] == 3, "the group that is not available goes first"
        assert sorted(order) == [0, 1, 2, 3, 4]


async def test_rolled_back_mid_way_only_what_had_changed_changes_again() -> None:
    async with scene(duo(5)) as stage:
        before = stage.uids()
        await stage.world.edit(set_image("good:2"))
        await stage.world.until(lambda: images(stage).get(3) == {"good:2"})
        await stage.world.edit(set_image("good:1"))
        await stage.settle()
        assert renewed(before, stage.uids()) == {name for name in before if name.startswith(("m-3-", "m-4-"))}


@pytest.mark.parametrize("replicas", [0, 2, 7])
@pytest.mark.parametrize("surge", [0, 2])
async def test_scaled_in_the_middle_of_a_rollout_it_converges(replicas: int, surge: int) -> None:
    async with scene(duo(5, max_surge=surge)) as stage:
        await stage.world.edit(set_image("good:2"))
        await stage.world.sleep(2.5)
        stage.rollout.forgive()
        await stage.world.patch_spec(replicas=replicas)
        await stage.settle()


async def test_roles_scaled_and_changed_in_one_edit_make_no_pod_in_a_group_about_to_be_replaced() -> None:
    async with scene(duo(3)) as stage:
        old = {pod.revision for pod in stage.world.live_pods()}
        made: list[str] = []

        def note(entry: Entry) -> None:
            if entry.change.kind_key[1] == "pods" and entry.change.previous is None:
                made.append(entry.change.stored.object["metadata"]["labels"]["modelinfer.volcano.sh/revision"])

        stage.world.journal.on_entry.append(note)

        def change(spec: Object) -> None:
            set_image("good:2")(spec)
            spec["template"]["roles"][0]["replicas"] = 2

        stage.rollout.forgive()
        await stage.world.edit(change)
        await stage.settle()
        assert not old & set(made)
        assert len(made) == 12


@pytest.mark.parametrize("how", ["add", "remove", "rename", "workers"])
async def test_roles_that_come_go_and_change_roll(how: str) -> None:
    async with scene(a_spec(2, a_role("a", 1, 1), a_role("b", 1))) as stage:
        before = stage.uids()

        def change(spec: Object) -> None:
            roles = spec["template"]["roles"]
            match how:
                case "add":
                    roles.append(a_role("c", 1, 1))
                case "remove":
                    roles.pop()
                case "rename":
                    roles[1]["name"] = "other"
                case _:
                    roles[0]["workerReplicas"] = 2

        await stage.world.edit(change)
        await stage.settle()
        assert not set(before.values()) & set(stage.uids().values())


NOT_ROLLING: dict[str, dict[str, Any]] = {
    "policy": {"recoveryPolicy": "None"},
    "grace": {"template": {"restartGracePeriodSeconds": 99}},
    "strategy": {"rolloutStrategy": {"rollingUpdateConfiguration": {"maxUnavailable": 2, "partition": 1}}},
    "replicas": {"replicas": 3},
}


@pytest.mark.parametrize("name", NOT_ROLLING)
async def test_what_shapes_no_pod_restarts_none(name: str) -> None:
    async with scene(duo(2)) as stage:
        before = stage.uids()
        await stage.world.patch_spec(**NOT_ROLLING[name])
        await stage.settle()
        assert before.items() <= stage.uids().items()


async def test_a_restart_of_the_controller_writes_nothing() -> None:
    async with scene(duo(2)) as stage:
        await stage.world.sleep(60)
        writes = len(stage.world.journal.controller_writes)
        await stage.world.controller.kill()
        stage.world.controller.start()
        await stage.world.sleep(600)
        assert len(stage.world.journal.controller_writes) == writes


async def test_of_many_revisions_the_ten_newest_unused_are_kept() -> None:
    async with scene(a_spec(1, a_role("a"))) as stage:
        for number in range(15):

            def change(spec: Object, number: int = number) -> None:
                container = spec["template"]["roles"][0]["entryTemplate"]["spec"]["containers"][0]
                container["env"] = [{"name": "NUMBER", "value": str(number)}]

            await stage.world.edit(change)
            await stage.settle()
        revisions = stage.world.facts.owned(("apps", "controllerrevisions"))
        assert len(revisions) == 11
        assert sorted(one["revision"] for one in revisions) == list(range(6, 17))


# -- the controller dies at every step -----------------------------------------------------------------------------

MOST_CALLS = 400


@pytest.mark.parametrize("is_committed", [False, True])
@pytest.mark.parametrize("name", ["creation", "rollout", "surge", "recovery", "scaling", "gang"])
async def test_killed_at_any_call_it_ends_the_same(name: str, is_committed: bool) -> None:
    """For each n: the n-th call of the controller's is its last; another one takes over."""
    for calls in range(MOST_CALLS):
        if not await _plays_with_crash(name, calls, is_committed=is_committed):
            assert calls > 5
            return
    raise AssertionError(f"not over after {MOST_CALLS} calls")


async def _plays_with_crash(name: str, calls: int, *, is_committed: bool) -> bool:
    """Whether the scene took so many calls that the crash came."""
    gang: Object | None = {} if name == "gang" else None
    spec = duo(2, max_surge=1 if name == "surge" else 0, gang=gang, recoveryPolicy="InferGroupRecreate")
    async with scene(spec, is_settled=False, volcano=name == "gang") as stage:
        if name != "creation":
            await stage.settle()
        starts = stage.world.controller.starts
        stage.world.controller.crash_after(calls, is_committed=is_committed)
        match name:
            case "rollout" | "surge" | "gang":
                await stage.world.edit(set_image("good:2"))
            case "recovery":
                stage.world.evict("m-1-duo-0-1")
            case "scaling":
                stage.rollout.forgive()
                await stage.world.patch_spec(replicas=0)
                await stage.settle()
                await stage.world.patch_spec(replicas=3)
            case _:
                pass
        await stage.world.sleep(2.0)
        await stage.settle()
        return stage.world.controller.starts > starts
