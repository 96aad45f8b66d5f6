"""Recovery: what is rebuilt for which trigger under which policy, with grace and back-off."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import msgspec
import pytest

from modelinfer_controller.api import well_known
from modelinfer_controller.api.core import (
    ContainerState,
    ContainerStateTerminated,
    ContainerStateWaiting,
    ContainerStatus,
    PodStatus,
)
from modelinfer_controller.api.reasons import Reason
from modelinfer_controller.api.status import ApiFailure
from modelinfer_controller.planning.actions import CreatePod, CreateRevision, DeletePod, PatchPodMetadata
from modelinfer_controller.planning.decide import decide
from modelinfer_controller.planning.memo import Memory
from planning.world import World, a_role, a_spec, pod_name

ROLES = (a_role("decode", 2, workers=2), a_role("router", 1))
INSTANCE = {pod_name(1, "decode", 0, index) for index in range(3)}
SINGLE, ENTRY, WORKER = pod_name(1, "router"), pod_name(1, "decode", 0, 0), pod_name(1, "decode", 0, 2)
GROUP = {SINGLE, *INSTANCE, *(pod_name(1, "decode", 1, index) for index in range(3))}

TRIGGERS: dict[str, Callable[[World, str], None]] = {
    "deleted": World.delete_pod,
    "deleted unseen": World.vanish,
    "evicted": World.finish,
    "succeeded": lambda world, name: world.finish(name, "Succeeded", ""),
    "restarted": World.restart,
    "init container restarted": lambda world, name: restart_init_container(world, name),
}


def restart_init_container(world: World, name: str) -> None:
    status = world.pods[name].status
    init = (ContainerStatus(name="init", restart_count=1),)
    world.set_status(name, msgspec.structs.replace(status, init_container_statuses=init))


def settled(policy: str = "RoleRecreate", replicas: int = 2, *roles: dict[str, object], grace: int = 0) -> World:
    world = World(a_spec(replicas, *(roles or ROLES), grace=grace, recoveryPolicy=policy))
    world.settle()
    world.pass_time(3600)
    return world


def scope(policy: str, pod: str) -> set[str]:
    match policy:
        case "InferGroupRecreate":
            return GROUP
        case "RoleRecreate":
            return {SINGLE} if pod == SINGLE else INSTANCE
        case _:
            return {pod}


@pytest.mark.parametrize("policy", ["RoleRecreate", "InferGroupRecreate", "None"])
@pytest.mark.parametrize("trigger", TRIGGERS)
@pytest.mark.parametrize("pod", [SINGLE, ENTRY, WORKER])
def test_exactly_the_right_pods_get_new_uids_and_are_all_gone_before_the_first_is_made_again(
    policy: str, trigger: str, pod: str
) -> None:
    world = settled(policy)
    before = world.uids()
    TRIGGERS[trigger](world, pod)
    rebuilt = scope(policy, pod)
    if policy == "None" and "restarted" in trigger:
        rebuilt = set()
    created: list[str] = []
    for _ in range(4):
        present = {name for name, uid in world.uids().items() if uid in before.values()}
        done = world.reconcile()
        new = [action.name for action in done.actions if isinstance(action, CreatePod)]
        assert not (new and present & rebuilt), "something of the scope was still there"
        created += new
        world.kubelet()
    world.settle()
    after = world.uids()
    assert {name for name in before if before[name] != after[name]} == rebuilt
    assert sorted(created) == sorted(rebuilt), "each once"
    assert world.condition("Available").status == "True"


@pytest.mark.parametrize("policy", ["RoleRecreate", "InferGroupRecreate"])
def test_killed_at_every_step_a_rebuild_ends_the_same(policy: str) -> None:
    for crash_at in range(12):
        world = settled(policy)
        before = world.uids()
        world.vanish(WORKER)
        for _ in range(4):
            world.reconcile(crash_after=crash_at)
            world.kubelet()
        world.settle()
        after = world.uids()
        assert {name for name in before if before[name] != after[name]} == scope(policy, WORKER)


def test_recovers_in_time_nothing_happens_and_a_later_readiness_blip_is_not_held_against_it() -> None:
    world = settled(grace=30)
    before = world.uids()
    world.restart(WORKER)
    world.reconcile()
    world.pass_time(20)
    world.start(WORKER)
    world.reconcile()
    world.pass_time(3600)
    world.unready(WORKER)
    world.reconcile()
    assert world.status.available_replicas == 1
    world.pass_time(3600)
    assert world.reconcile().actions == ()
    world.start(WORKER)
    world.reconcile()
    assert world.uids() == before
    assert world.status.available_replicas == 2


def test_a_restart_counts_also_after_the_kubelet_has_forgotten_earlier_ones() -> None:
    world = settled(grace=30)
    world.restart(WORKER)
    world.start(WORKER)
    world.settle()  # forgiven
    forgotten = tuple(msgspec.structs.replace(c, restart_count=0) for c in world.pods[WORKER].status.container_statuses)
    world.set_status(WORKER, msgspec.structs.replace(world.pods[WORKER].status, container_statuses=forgotten))
    world.settle()
    world.restart(WORKER)
    world.pass_time(31)
    assert deletes(world)


def test_does_not_recover_is_rebuilt_once_at_the_deadline() -> None:
    world = settled(grace=30)
    world.restart(WORKER)
    failed = world.now
    assert world.reconcile().wake_at == failed + timedelta(seconds=30)
    world.pass_time(29)
    assert not deletes(world)
    world.pass_time(1)
    assert deletes(world) == INSTANCE


def test_a_crash_loop_does_not_move_the_deadline() -> None:
    world = settled(grace=30)
    world.restart(WORKER)
    world.reconcile()
    for _ in range(2):
        world.pass_time(10)
        world.restart(WORKER)
        assert not deletes(world)
        world.reconcile()
    world.pass_time(10)
    assert deletes(world) == INSTANCE


def test_the_specs_grace_changed_meanwhile_counts() -> None:
    world = settled(grace=300)
    world.restart(WORKER)
    world.reconcile()
    world.pass_time(40)
    assert not deletes(world)
    world.edit(grace=30)
    assert deletes(world) == INSTANCE


def test_an_evicted_pod_without_any_time_on_it_is_rebuilt_when_the_grace_period_is_over() -> None:
    world = settled(grace=30)
    world.finish(WORKER, timed=False)
    done = world.reconcile()
    assert [a.name for a in done.actions if isinstance(a, PatchPodMetadata)] == [WORKER]
    world.pass_time(30)
    assert deletes(world) == INSTANCE


def deletes(world: World) -> set[str]:
    return {action.name for action in world.plan().actions if isinstance(action, DeletePod)}


def test_back_off_first_rebuild_at_once_then_10_s_doubling_to_5_min_and_none_after_10_healthy_minutes() -> None:
    world = settled("RoleRecreate", 1, a_role("router"))
    name = pod_name(0, "router")
    waits = []
    for _ in range(9):
        world.restart(name)
        failed = world.now
        while not deletes(world):
            world.reconcile()
            due = world.plan().wake_at
            assert due is not None
            assert due > world.now
            assert not world.pods[name].metadata.is_terminating, "the failed pod stays, with its logs"
            world.now = due
        waits.append((world.now - failed).total_seconds())
        world.reconcile()
        world.kubelet()
        world.reconcile()
        world.kubelet()
        world.reconcile()
    assert waits == [0, 10, 20, 40, 80, 160, 300, 300, 300]
    world.pass_time(601)
    world.reconcile()
    world.restart(name)
    assert deletes(world) == {name}


def test_the_condition_and_the_event_say_until_when_and_why_during_a_back_off() -> None:
    world = settled("RoleRecreate", 1, a_role("router"))
    name = pod_name(0, "router")
    world.restart(name)
    for _ in range(3):
        world.reconcile()
        world.kubelet()
    world.restart(name)
    world.reconcile()
    condition = world.condition("Available")
    assert condition.reason == "WaitingForBackOff"
    assert name in condition.message
    assert "exited with code 1" in condition.message
    assert "back-off ends at 2026-01-01T01:00:1" in condition.message
    (event,) = world.events()
    assert event.reason == "BackOff"
    assert name in event.message
    assert "2026" not in event.message, "a text that changes would be another event each time"


def test_each_rebuild_is_announced_with_pod_reason_policy_and_attempt() -> None:
    world = settled()
    world.finish(WORKER)
    (event,) = world.events()
    assert event.type == "Warning"
    for part in (WORKER, "Evicted", "RoleRecreate", "attempt 1", "decode-0 of group 1"):
        assert part in event.message


def test_the_pod_that_was_killed_is_the_cause_of_a_recreation_not_the_entry_that_exits_for_it() -> None:
    world = settled()
    world.restart(ENTRY)
    world.restart(WORKER)
    killed = ContainerState(terminated=ContainerStateTerminated(exit_code=137, finished_at=world.now))
    status = world.pods[WORKER].status
    statuses = tuple(msgspec.structs.replace(one, last_state=killed) for one in status.container_statuses)
    world.set_status(WORKER, msgspec.structs.replace(status, container_statuses=statuses))
    (recreation,) = [event.message for event in world.events() if event.reason == Reason.REBUILDING]
    assert WORKER in recreation
    assert ENTRY not in recreation


def test_a_deleted_pod_is_named_in_full() -> None:
    world = settled()
    world.vanish(WORKER)
    (event,) = world.events()
    assert f"{WORKER} was deleted" in event.message


def test_100_pods_of_100_groups_fail_at_once_each_group_is_rebuilt_once() -> None:
    world = settled("InferGroupRecreate", 100, a_role("decode", 1, workers=1))
    for group in range(100):
        world.restart(pod_name(group, index=group % 2))
    world.settle()
    incarnations = [pod.metadata.annotations["modelinfer.volcano.sh/incarnation"] for pod in world.pods.values()]
    assert incarnations == ["1"] * 200


def test_a_second_failure_in_the_middle_of_a_rebuild_does_not_start_another() -> None:
    world = settled()
    world.restart(WORKER)
    world.reconcile()  # all three are going away
    world.vanish(WORKER)
    world.finish(ENTRY)
    world.reconcile()
    world.kubelet()
    world.settle()
    assert {world.pods[name].metadata.annotations["modelinfer.volcano.sh/incarnation"] for name in INSTANCE} == {"1"}


def test_pods_pending_for_long_are_no_failure() -> None:
    world = World(a_spec(1))
    world.bad_images.add("v1")
    for _ in range(10):
        world.reconcile()
        world.kubelet()
        world.pass_time(3600)
    assert world.reconcile().actions == ()
    assert world.condition("Available").reason == "ImagePullBackOff"


def test_a_pod_that_was_never_created_is_not_a_deleted_pod_its_running_siblings_are_left_alone() -> None:
    world = World(a_spec(1, a_role("decode", 1, workers=2), recoveryPolicy="InferGroupRecreate"))
    refused = ApiFailure("Forbidden", "exceeded quota: pods=2")

    def quota(action: object) -> ApiFailure | None:
        return refused if isinstance(action, CreatePod) and len(world.pods) >= 2 else None

    for _ in range(5):
        world.reconcile(quota)
        world.kubelet()
        world.pass_time(60)
    assert len(world.pods) == 2
    before = world.uids()
    assert "exceeded quota: pods=2" in world.condition("Available").message
    world.settle()
    assert before.items() <= world.uids().items()
    assert len(world.pods) == 3


def test_a_readiness_lost_without_a_restart_makes_the_group_unavailable_and_nothing_more() -> None:
    world = settled()
    world.unready(WORKER)
    assert world.reconcile().actions == ()
    assert world.status.available_replicas == 1


def test_all_pods_of_a_group_deleted_it_is_rebuilt_once() -> None:
    world = settled("InferGroupRecreate")
    for name in GROUP:
        world.vanish(name)
    assert [event.reason for event in world.events()] == ["Rebuilding"]
    done = world.reconcile()
    assert {a.name for a in done.actions if isinstance(a, CreatePod)} == GROUP


def test_policy_none_touches_only_what_is_missing_or_finished() -> None:
    world = settled("None")
    world.restart(ENTRY)
    world.finish(WORKER)
    world.vanish(SINGLE)
    done = world.reconcile()
    assert {a.name for a in done.actions if isinstance(a, DeletePod)} == {WORKER}
    assert {a.name for a in done.actions if isinstance(a, CreatePod)} == {SINGLE}


def test_restarts_under_policy_none_are_not_held_against_a_pod_when_the_policy_changes() -> None:
    world = settled("None")
    world.restart(WORKER)
    world.settle()
    world.edit(recoveryPolicy="RoleRecreate")
    assert not deletes(world)


def test_the_record_is_in_the_status_before_the_first_pod_is_deleted() -> None:
    world = settled()
    world.restart(WORKER)
    assert world.plan().needs_record
    world.reconcile(crash_after=1)
    record = world.record(1).recreations["decode-0"]
    assert (record.attempt, record.incarnation, record.at) == (1, 1, world.now)
    assert not any(pod.metadata.is_terminating for pod in world.pods.values())


def test_edited_while_a_group_is_being_rebuilt_it_comes_back_as_specified() -> None:
    world = settled("InferGroupRecreate")
    world.restart(WORKER)
    world.reconcile()
    world.edit(roles=[a_role("decode", 1, workers=1), a_role("router", 2)], recoveryPolicy="RoleRecreate")
    world.settle()
    assert len(world.pods) == 2 * (2 + 2)
    assert world.condition("Available").status == "True"


def test_a_rollout_is_not_held_up_by_a_back_off() -> None:
    world = settled("RoleRecreate", 1, a_role("router"))
    name = pod_name(0, "router")
    for _ in range(5):
        world.restart(name)
        for _ in range(3):
            world.reconcile()
            world.kubelet()
        if due := world.plan().wake_at:
            world.now = due
    world.restart(name)
    world.reconcile()
    assert not deletes(world)
    world.edit(image="v2")
    assert deletes(world) == {name}


def test_in_a_group_of_two_revisions_the_strays_are_gone_before_anything_is_made() -> None:
    world = settled("RoleRecreate", 1, a_role("decode", 2))
    kept, other = pod_name(0), pod_name(0, instance=1)
    pod = world.pods[other]
    metadata = msgspec.structs.replace(pod.metadata, labels={**pod.metadata.labels, well_known.REVISION: "m-stray"})
    world.pods[other] = msgspec.structs.replace(pod, metadata=metadata)
    uid = world.uids()[kept]
    world.edit(roles=[a_role("decode", 3)])
    plan = world.reconcile()
    (deletion,) = (action for action in plan.actions if isinstance(action, DeletePod))
    assert deletion.name == other
    assert "is of revision m-stray" in deletion.reason
    assert not [action for action in plan.actions if isinstance(action, CreatePod)]
    world.settle()
    assert len(world.pods) == 3
    assert world.uids()[kept] == uid


def test_with_policy_none_a_pod_that_is_being_deleted_takes_no_other_with_it() -> None:
    world = settled("None", 1, a_role("decode", 1, workers=1))
    before = world.uids()
    world.delete_pod(pod_name(0, index=1))
    world.settle()
    assert {name for name, uid in world.uids().items() if before[name] != uid} == {pod_name(0, index=1)}


def test_a_revision_that_somebody_deletes_while_it_is_in_use_is_stored_again() -> None:
    world = World(a_spec(2, partition=2))
    world.settle()
    (old,) = world.revisions
    seen = world.observe().revision_by_name[old]
    world.edit(image="v2")
    world.settle()
    del world.revisions[old]
    observed = replace(world.observe(), vanished_revisions=(seen,))
    (restored,) = decide(observed, world.now).plan.revisions
    assert isinstance(restored, CreateRevision)
    assert (restored.revision.name, restored.revision.payload) == (old, seen.payload)


def test_a_crash_beside_a_pod_that_pulls_its_image_recreates_nothing_until_that_is_there() -> None:
    world = World(a_spec(1, a_role("decode", 1, workers=1)))
    world.reconcile()
    entry, worker = pod_name(0), pod_name(0, index=1)
    world.start(entry)
    pulling = ContainerState(waiting=ContainerStateWaiting(reason="ContainerCreating"))
    world.set_status(worker, PodStatus(phase="Pending", container_statuses=(ContainerStatus("main", state=pulling),)))
    world.restart(entry)
    assert not [action for action in world.plan().actions if isinstance(action, DeletePod)]
    world.start(worker)
    assert {action.name for action in world.plan().actions if isinstance(action, DeletePod)} == {entry, worker}


def test_an_instance_that_stands_beyond_one_that_could_not_be_made_is_known_to_be_whole() -> None:
    world = World(a_spec(1, a_role("decode", 3, workers=1)))
    world.name_conflicts["Pod", pod_name(0, "decode", 1)] = "pod m-0-decode-1-0 belongs to nobody"
    world.settle()
    assert (world.record(0).instances, world.record(0).beyond) == ({"decode": 1}, ("decode-2",))
    entry, worker = pod_name(0, "decode", 2), pod_name(0, "decode", 2, 1)
    world.vanish(worker)
    assert {action.name for action in world.plan().actions if isinstance(action, DeletePod)} == {entry}
    world.settle()
    world.name_conflicts.clear()
    world.settle()
    assert (world.record(0).instances, world.record(0).beyond) == ({"decode": 3}, ())


def test_the_update_revision_that_somebody_deleted_is_stored_again_with_the_replicas_of_its_roles() -> None:
    world = World(a_spec(1, a_role("decode", 2)))
    world.settle()
    (name,) = world.revisions
    before = world.revisions[name].data
    del world.revisions[name]
    world.memory = Memory()  # by a process that has just started
    (restored,) = world.plan().revisions
    assert isinstance(restored, CreateRevision)
    assert (restored.revision.name, dict(restored.revision.template.role_replicas)) == (name, {"decode": 2})
    world.settle()
    assert bytes(world.revisions[name].data) == bytes(before)
