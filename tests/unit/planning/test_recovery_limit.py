"""A status has room for so many recreations: more wait, and what is over makes room."""

import pytest

from modelinfer_controller.api.status import RecreationRecord
from modelinfer_controller.planning import recovery_limit
from planning.world import World, a_role, a_spec, pod_name


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recovery_limit, "MOST_RECREATIONS", 3)


def settled(replicas: int) -> World:
    world = World(a_spec(replicas, a_role(workers=1)))
    world.settle()
    return world


def records(world: World) -> dict[int, RecreationRecord]:
    return {
        ordinal: record
        for ordinal in range(world.spec["replicas"])
        for record in world.record(ordinal).recreations.values()
    }


def recreated(world: World) -> list[int]:
    return [ordinal for ordinal, group in world.decide().groups.items() if group.recovery.recreations]


def test_of_too_many_failures_at_once_the_lowest_ordinals_are_recreated_and_the_others_wait() -> None:
    world = settled(5)
    for ordinal in range(5):
        world.finish(pod_name(ordinal))
    assert recreated(world) == [0, 1, 2]
    before = world.uids()
    world.reconcile()
    assert list(records(world)) == [0, 1, 2]
    assert {name for name in world.pods if world.pods[name].metadata.is_terminating} == {
        pod_name(ordinal, index=index) for ordinal in (0, 1, 2) for index in (0, 1)
    }
    assert world.condition("Available").status == "False"
    for _ in range(8):
        world.reconcile()
        assert len(records(world)) <= 3
        world.kubelet()
        world.pass_time(1)
    world.settle()
    assert all(world.uids()[name] != uid for name, uid in before.items()), "each came to its turn"
    assert all(pod.is_ready for pod in world.pods.values())


def test_what_waits_says_so_and_is_asked_for_again_at_once() -> None:
    world = settled(4)
    for ordinal in range(4):
        world.finish(pod_name(ordinal))
    group = world.decide().groups[3]
    (waiting,) = group.recovery.delayed
    assert (waiting.scope, waiting.due, waiting.attempt, waiting.is_backoff) == ("decode-0", world.now, 1, False)
    assert not group.is_available
    assert group.record.recreations == {}


def test_the_oldest_of_those_that_are_over_makes_room() -> None:
    world = settled(4)
    for ordinal in (2, 0, 1):
        world.finish(pod_name(ordinal))
        world.settle(wait=False)
        world.pass_time(5)
    assert {ordinal: record.is_complete for ordinal, record in records(world).items()} == {0: True, 1: True, 2: True}
    world.finish(pod_name(3))
    assert recreated(world) == [3]
    world.reconcile()
    assert list(records(world)) == [0, 1, 3], "2 was first"


def test_a_recreation_that_takes_the_place_of_an_earlier_one_needs_no_more_room() -> None:
    world = settled(4)
    world.finish(pod_name(3))
    world.settle(wait=False)
    before = world.record(3).recreations["decode-0"]
    world.pass_time(300)
    for ordinal in range(4):
        world.finish(pod_name(ordinal))
    world.pass_time(60)  # its back-off is over
    assert recreated(world) == [0, 1, 3]
    world.reconcile()
    assert list(records(world)) == [0, 1, 3]
    assert world.record(3).recreations["decode-0"].incarnation == before.incarnation + 1


def test_of_one_group_as_many_instances_are_recreated_as_there_is_room_for() -> None:
    world = World(a_spec(2, a_role(replicas=5)))
    world.settle()
    world.finish(pod_name(1))
    for instance in range(5):
        world.finish(pod_name(0, instance=instance))
    group = world.decide().groups[0]
    assert recreated(world) == [0]
    assert list(group.record.recreations) == ["decode-0", "decode-1", "decode-2"]
    assert [one.scope for one in group.recovery.delayed] == ["decode-3", "decode-4"]
    world.settle()
    assert all(pod.is_ready for pod in world.pods.values())


def test_a_group_whose_recreations_wait_is_available_as_long_as_it_has_its_minimum() -> None:
    world = World(a_spec(1, a_role(replicas=6), gang={"minRoleReplicas": {"decode": 1}}))
    world.settle()
    for instance in range(5):
        world.finish(pod_name(0, instance=instance))
    group = world.decide().groups[0]
    assert len(group.recovery.delayed) == 2
    assert group.is_available
