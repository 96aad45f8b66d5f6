"""A group's life: ready for long enough, drained before it goes, paused, suspended, halted, rolled back."""

from datetime import timedelta

import msgspec
import pytest

from modelinfer_controller.api import well_known
from modelinfer_controller.planning.actions import CreatePod, DeletePod, PatchPodMetadata
from planning.world import World, a_role, a_spec, pod_name

DUO = a_role("decode", 1, workers=1)


def settled(replicas: int = 3, *roles: dict[str, object], **rest: object) -> World:
    world = World(a_spec(replicas, *(roles or (DUO,)), **rest))  # type: ignore[arg-type]
    world.settle()
    world.pass_time(3600)
    return world


def deleted(world: World) -> set[str]:
    return {action.name for action in world.plan().actions if isinstance(action, DeletePod)}


def created(world: World) -> set[str]:
    return {action.name for action in world.plan().actions if isinstance(action, CreatePod)}


def ready(world: World) -> tuple[str, str]:
    condition = world.condition("Ready")
    return condition.status, condition.reason


def set_drain(world: World, seconds: int | None) -> None:
    def change(spec: dict[str, object]) -> None:
        template = spec["template"]
        assert isinstance(template, dict)
        template.pop("drain", None)
        if seconds is not None:
            template["drain"] = {"timeoutSeconds": seconds}

    world.edit(change)


def passes(world: World, count: int = 12) -> None:
    for _ in range(count):
        world.reconcile()
        world.kubelet()
        world.pass_time(1)


# -- none of the fields restarts a pod --------------------------------------------------------------------


@pytest.mark.parametrize(
    "fields",
    [{"minReadySeconds": 30}, {"paused": True}, {"progressDeadlineSeconds": 600}, {"nodeDrainPolicy": "HandOver"}],
    ids=lambda fields: next(iter(fields)),
)
def test_setting_or_changing_a_field_restarts_no_pod(fields: dict[str, object]) -> None:
    world = settled()
    before = world.uids()
    world.edit(**fields)
    world.settle()
    assert world.uids() == before
    assert world.plan().actions == ()


# -- minReadySeconds --------------------------------------------------------------------


def test_a_group_is_available_once_its_pods_were_ready_for_so_long_and_the_planner_asks_to_be_woken_then() -> None:
    world = World(a_spec(1, DUO, minReadySeconds=30))
    world.reconcile()
    world.kubelet()
    at = world.now
    plan = world.reconcile()
    assert world.condition("Available").reason == "WaitingForMinReadySeconds"
    assert plan.wake_at == at + timedelta(seconds=30)
    world.pass_time(29)
    world.reconcile()
    assert world.status.available_replicas == 0
    world.pass_time(1)
    world.reconcile()
    assert world.status.available_replicas == 1


def test_a_break_begins_the_time_anew() -> None:
    world = World(a_spec(1, DUO, minReadySeconds=30))
    world.reconcile()
    world.kubelet()
    world.pass_time(20)
    world.unready(pod_name(0))
    world.start(pod_name(0))
    world.pass_time(20)
    world.reconcile()
    assert world.status.available_replicas == 0
    world.pass_time(10)
    world.reconcile()
    assert world.status.available_replicas == 1


# -- paused --------------------------------------------------------------------


def test_while_paused_no_group_is_updated_and_new_ones_are_made_at_the_current_revision() -> None:
    world = settled(3)
    world.edit(paused=True)
    world.edit(image="v2")
    passes(world)
    assert world.groups() == {0: {"v1"}, 1: {"v1"}, 2: {"v1"}}
    assert ready(world) == ("False", "Paused")
    world.edit(replicas=5)
    passes(world)
    assert set(map(frozenset, world.groups().values())) == {frozenset({"v1"})}
    assert len(world.groups()) == 5
    world.edit(paused=False)
    world.settle()
    assert set(map(frozenset, world.groups().values())) == {frozenset({"v2"})}
    assert ready(world)[0] == "True"


def test_while_paused_recovery_and_role_scaling_go_on_at_each_groups_own_revision() -> None:
    world = settled(2)
    world.edit(paused=True)
    world.edit(image="v2")
    before = world.uids()
    world.finish(pod_name(1))
    passes(world)
    assert world.uids()[pod_name(1)] != before[pod_name(1)]
    world.edit(lambda spec: spec["template"]["roles"][0].update(replicas=2))
    passes(world)
    assert world.groups() == {0: {"v1"}, 1: {"v1"}}
    assert pod_name(0, "decode", 1) in world.pods


def test_a_group_that_was_taken_down_before_the_pause_is_made_at_the_update_revision() -> None:
    world = settled(3)
    world.edit(image="v2")
    world.reconcile()
    world.edit(paused=True)
    passes(world)
    assert world.groups() == {0: {"v1"}, 1: {"v1"}, 2: {"v2"}}


@pytest.mark.parametrize("fields", [{"suspend": True}, {"replicas": 0}], ids=["suspended", "scaled-to-0"])
def test_in_a_paused_update_with_a_surge_no_group_is_taken_for_the_surge_when_all_are_to_go(
    fields: dict[str, object],
) -> None:
    world = settled(3, max_surge=3, max_unavailable=0)
    world.bad_images.add("v2")
    world.edit(image="v2")
    passes(world)
    world.edit(paused=True, **fields)
    passes(world)
    assert world.pods == {}


def test_in_a_paused_update_with_a_surge_scaling_down_goes_on() -> None:
    world = settled(5, max_surge=2)
    world.edit(paused=True)
    world.edit(image="v2")
    passes(world)
    world.edit(replicas=3)
    passes(world)
    assert world.groups() == {0: {"v1"}, 1: {"v1"}, 2: {"v1"}}


# -- suspend --------------------------------------------------------------------


def test_suspended_there_are_no_pods_and_on_resume_each_ordinal_comes_back_at_its_revision() -> None:
    world = settled(3)
    world.edit(image="v2", partition=2)
    world.settle()
    assert world.groups() == {0: {"v1"}, 1: {"v1"}, 2: {"v2"}}
    current = world.status.current_revision
    world.edit(suspend=True)
    world.settle()
    assert world.pods == {}
    assert world.services == {}
    assert world.condition("Suspended").status == "True"
    assert ready(world) == ("False", "Suspended")
    assert world.status.current_revision == current
    world.edit(suspend=False)
    world.settle()
    assert world.groups() == {0: {"v1"}, 1: {"v1"}, 2: {"v2"}}
    assert not any(group.recreations for group in world.owner.records.values()), "nothing had failed"


def test_killed_at_every_step_of_suspending_it_comes_back_the_same() -> None:
    for crash_at in range(8):
        world = settled(2)
        world.edit(image="v2", partition=1)
        world.settle()
        world.edit(suspend=True)
        world.reconcile(crash_after=crash_at)
        world.settle()
        assert world.pods == {}
        world.edit(suspend=False)
        world.settle()
        assert world.groups() == {0: {"v1"}, 1: {"v2"}}


# -- progressDeadlineSeconds --------------------------------------------------------------------


def failed_update(**rest: object) -> World:
    world = settled(3, progressDeadlineSeconds=60, **rest)
    world.bad_images.add("v2")
    world.edit(image="v2")
    passes(world, 5)
    assert world.condition("Progressing").reason != "ProgressDeadlineExceeded"
    world.pass_time(60)
    passes(world, 5)
    return world


def test_an_update_that_makes_no_group_available_for_so_long_has_failed_and_halts() -> None:
    world = failed_update()
    progressing = world.condition("Progressing")
    assert (progressing.status, progressing.reason) == ("False", "ProgressDeadlineExceeded")
    assert world.condition("Stalled").status == "True"
    assert ready(world) == ("False", "ProgressDeadlineExceeded")
    assert world.groups() == {0: {"v1"}, 1: {"v1"}, 2: {"v2"}}


def test_a_halted_update_does_not_go_on_by_itself_and_a_changed_deadline_lets_it() -> None:
    world = failed_update()
    world.bad_images.clear()
    passes(world)
    assert world.groups() == {0: {"v1"}, 1: {"v1"}, 2: {"v2"}}
    world.edit(progressDeadlineSeconds=61)
    world.settle()
    assert world.groups() == {0: {"v2"}, 1: {"v2"}, 2: {"v2"}}
    assert all(condition.type != "Stalled" for condition in world.status.conditions)


def test_groups_made_while_halted_are_made_at_the_current_revision() -> None:
    world = failed_update()
    world.edit(replicas=4)
    passes(world)
    assert world.groups()[3] == {"v1"}


def on_failure_rollback(spec: dict[str, object]) -> None:
    strategy = spec["rolloutStrategy"]
    assert isinstance(strategy, dict)
    strategy["rollingUpdateConfiguration"]["onFailure"] = "Rollback"


def rolled_back() -> World:
    world = settled(3, progressDeadlineSeconds=60)
    world.edit(on_failure_rollback)
    world.settle()
    world.bad_images.add("v2")
    world.edit(image="v2")
    passes(world, 5)
    world.pass_time(60)
    world.settle()
    return world


def test_with_rollback_groups_return_to_the_revision_that_the_update_started_from() -> None:
    world = rolled_back()
    assert world.groups() == {0: {"v1"}, 1: {"v1"}, 2: {"v1"}}
    assert world.status.failed_revision == world.status.update_revision
    assert ready(world) == ("False", "RolledBack")
    assert world.condition("Stalled").reason == "RolledBack"
    assert world.spec["template"]["roles"][0]["entryTemplate"]["spec"]["containers"][0]["image"] == "v2"


def test_a_new_template_clears_what_failed() -> None:
    world = rolled_back()
    world.edit(image="v3")
    world.settle()
    assert world.groups() == {0: {"v3"}, 1: {"v3"}, 2: {"v3"}}
    assert world.status.failed_revision == ""
    assert ready(world)[0] == "True"


def test_a_template_set_back_clears_what_failed_and_restarts_nothing() -> None:
    world = rolled_back()
    before = world.uids()
    world.edit(image="v1")
    world.settle()
    assert world.uids() == before
    assert world.status.failed_revision == ""
    assert ready(world)[0] == "True"


def test_a_rollback_that_fails_halts() -> None:
    world = settled(3, progressDeadlineSeconds=60)
    world.edit(on_failure_rollback)
    world.settle()
    world.bad_images |= {"v1", "v2"}
    world.edit(image="v2")
    for _ in range(5):
        passes(world, 5)
        world.pass_time(60)
    passes(world, 5)
    assert world.condition("Progressing").reason == "ProgressDeadlineExceeded"
    assert world.groups()[0] == {"v1"}


def test_the_clock_stands_still_while_paused() -> None:
    world = settled(3, progressDeadlineSeconds=60)
    world.bad_images.add("v2")
    world.edit(image="v2")
    passes(world, 5)
    world.edit(paused=True)
    passes(world, 2)
    world.pass_time(3600)
    passes(world, 2)
    world.edit(paused=False)
    passes(world, 2)
    assert world.condition("Progressing").reason != "ProgressDeadlineExceeded"
    world.pass_time(60)
    passes(world, 2)
    assert world.condition("Progressing").reason == "ProgressDeadlineExceeded"


def test_a_canary_by_partition_with_a_deadline_works_unattended() -> None:
    world = settled(3, progressDeadlineSeconds=60)
    world.edit(on_failure_rollback)
    world.bad_images.add("v2")
    world.edit(image="v2", partition=2)
    passes(world, 5)
    assert world.groups()[2] == {"v2"}
    world.pass_time(60)
    world.settle()
    assert world.groups() == {0: {"v1"}, 1: {"v1"}, 2: {"v1"}}


def test_first_creation_and_scaling_have_no_deadline() -> None:
    world = World(a_spec(2, progressDeadlineSeconds=60))
    world.bad_images.add("v1")
    passes(world, 3)
    world.pass_time(600)
    passes(world, 3)
    assert world.condition("Progressing").reason != "ProgressDeadlineExceeded"


# -- drain --------------------------------------------------------------------


def serving(world: World) -> set[str]:
    return {name for name, pod in world.pods.items() if pod.metadata.labels.get(well_known.SERVING) == "true"}


def drained_by_itself(world: World, name: str) -> None:
    pod = world.pods[name]
    annotations = {**pod.metadata.annotations, well_known.DRAINED: "true"}
    metadata = msgspec.structs.replace(pod.metadata, annotations=annotations)
    world.pods[name] = msgspec.structs.replace(pod, metadata=metadata)


def draining(replicas: int = 3) -> World:
    world = settled(replicas)
    set_drain(world, 30)
    world.settle()
    assert serving(world) == set(world.pods), "running pods get the label by a patch"
    return world


def test_a_scaled_down_group_loses_its_label_first_and_is_deleted_at_the_deadline() -> None:
    world = draining()
    before = world.uids()
    world.edit(replicas=2)
    plan = world.reconcile()
    assert [type(action) for action in plan.actions] == [PatchPodMetadata] * 2
    assert serving(world) == {name for name in world.pods if not name.startswith("m-2-")}
    assert world.status.available_replicas == 2
    assert world.plan().wake_at == world.now + timedelta(seconds=30)
    world.pass_time(29)
    assert deleted(world) == set()
    world.pass_time(1)
    assert deleted(world) == {name for name in before if name.startswith("m-2-")}


def test_it_is_deleted_as_soon_as_every_entry_pod_says_that_it_is_drained() -> None:
    world = draining()
    world.edit(replicas=2)
    world.reconcile()
    drained_by_itself(world, pod_name(2, index=1))
    assert deleted(world) == set(), "a worker has no say"
    drained_by_itself(world, pod_name(2))
    assert len(deleted(world)) == 2


def test_an_undone_scale_down_puts_the_label_back_and_deletes_nothing() -> None:
    world = draining()
    before = world.uids()
    world.edit(replicas=2)
    world.reconcile()
    world.edit(replicas=3)
    world.settle()
    assert world.uids() == before
    assert serving(world) == set(world.pods)
    assert all(well_known.DRAIN_DEADLINE not in pod.metadata.annotations for pod in world.pods.values())
    assert world.status.available_replicas == 3


def test_an_update_drains_one_group_at_a_time_within_the_budget() -> None:
    world = draining()
    world.edit(image="v2")
    for _ in range(40):
        world.reconcile()
        assert len({name.split("-")[1] for name in world.pods} - {name.split("-")[1] for name in serving(world)}) <= 1
        assert world.status.available_replicas >= 2
        world.kubelet()
        world.pass_time(10)
    world.settle()
    assert set(map(frozenset, world.groups().values())) == {frozenset({"v2"})}


def test_a_role_that_shrinks_drains_its_instance_and_leaves_its_group_available() -> None:
    world = settled(1, a_role("decode", 2, workers=1))
    set_drain(world, 30)
    world.settle()
    world.edit(lambda spec: spec["template"]["roles"][0].update(replicas=1))
    world.reconcile()
    assert serving(world) == {pod_name(0), pod_name(0, index=1)}
    assert world.status.available_replicas == 1
    world.pass_time(30)
    world.settle()
    assert len(world.pods) == 2


def test_recovery_does_not_drain() -> None:
    world = draining()
    world.finish(pod_name(1))
    assert deleted(world) == {pod_name(1), pod_name(1, index=1)}


def test_a_drain_goes_on_where_it_was_after_a_restart() -> None:
    world = draining()
    world.edit(replicas=2)
    world.reconcile(crash_after=1)
    world.pass_time(10)
    world.reconcile()
    world.pass_time(20)
    world.reconcile()
    assert deleted(world) == set(), "gone already, all of it at the first deadline"
    world.settle()
    assert len(world.pods) == 4


# -- startupPolicy --------------------------------------------------------------------


def test_with_entry_ready_the_workers_of_an_instance_are_made_once_its_entry_pod_is_ready() -> None:
    world = World(a_spec(1, a_role("decode", 2, workers=1)))
    world.edit(lambda spec: spec["template"].update(startupPolicy="EntryReady"))
    entries = {pod_name(0), pod_name(0, "decode", 1)}
    assert created(world) == entries
    world.reconcile()
    assert created(world) == set()
    assert world.condition("Available").reason in ("CreatingPods", "WaitingForEntryPod", "Scheduling")
    world.start(pod_name(0))
    assert created(world) == {pod_name(0, index=1)}
    world.settle()
    assert len(world.pods) == 4


def test_an_answer_to_an_earlier_drain_does_not_end_the_next_one() -> None:
    world = settled(2)
    set_drain(world, 60)
    world.settle()
    entry = pod_name(1)
    metadata = world.pods[entry].metadata
    answered = msgspec.structs.replace(metadata, annotations={**metadata.annotations, well_known.DRAINED: "true"})
    world.pods[entry] = msgspec.structs.replace(world.pods[entry], metadata=answered)
    world.edit(replicas=1)
    world.reconcile()
    assert deleted(world) == set()
    assert well_known.DRAINED not in world.pods[entry].metadata.annotations
    world.pass_time(61)
    assert deleted(world) == {entry, pod_name(1, index=1)}
