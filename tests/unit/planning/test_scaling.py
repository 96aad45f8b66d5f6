"""Scaling: the target is the ordinal set 0..replicas-1."""

import msgspec

from modelinfer_controller.planning.actions import (
    Action,
    CreatePod,
    CreateService,
    DeletePod,
    DeleteService,
    PatchService,
    name_of,
)
from modelinfer_controller.planning.memo import Memory
from modelinfer_controller.planning.observed import children_by_group
from planning.world import NAME, World, a_role, a_spec, pod_name


def settled(*args: object, **kwargs: object) -> World:
    world = World(a_spec(*args, **kwargs))  # type: ignore[arg-type]
    world.settle()
    return world


def deleted(world: World) -> list[str]:
    return [action.name for action in world.plan().actions if isinstance(action, DeletePod)]


def created(world: World) -> list[str]:
    return [action.name for action in world.plan().actions if isinstance(action, CreatePod)]


def test_groups_that_do_not_exist_yet_are_made_at_once() -> None:
    world = World(a_spec(12))
    assert created(world) == [pod_name(group) for group in range(12)]


def test_holes_are_filled() -> None:
    world = settled(4)
    world.status = world.status.__class__()  # nothing tells that it ever was
    world.vanish(pod_name(1))
    assert created(world) == [pod_name(1)]


def test_ordinals_outside_are_removed_highest_first_by_number() -> None:
    world = settled(12)
    world.edit(replicas=8)
    assert deleted(world) == [pod_name(group) for group in (11, 10, 9, 8)]
    world.settle()
    assert list(world.groups()) == list(range(8))


def test_replicas_0_is_a_normal_state_with_a_complete_status() -> None:
    world = settled(3, a_role(workers=1))
    world.edit(replicas=0)
    world.settle()
    assert (world.pods, world.services) == ({}, {})
    status = world.status
    assert (status.replicas, status.available_replicas, status.updated_replicas) == (0, 0, 0)
    assert status.observed_generation == 2
    assert world.condition("Available").status == "True"
    assert world.condition("Progressing").status == "False"


def test_from_4_to_0_and_back_to_4_nothing_is_created_over_a_name_that_still_exists() -> None:
    world = settled(4, a_role(workers=1))
    world.edit(replicas=0)
    world.reconcile()
    world.edit(replicas=4)
    assert created(world) == []
    world.vanish(pod_name(2, index=0))
    assert created(world) == [], "the rest of group 2 is still going away"
    world.vanish(pod_name(2, index=1))
    assert created(world) == [pod_name(2, index=0), pod_name(2, index=1)]
    world.settle()
    assert list(world.groups()) == [0, 1, 2, 3]


def test_groups_that_are_going_away_are_not_picked_again() -> None:
    world = settled(4)
    world.edit(replicas=2)
    world.reconcile()
    assert deleted(world) == []


def test_another_owners_name_is_reserved_and_said_so() -> None:
    world = World(a_spec(2))
    world.name_conflicts["Pod", pod_name(1)] = "pod m-1-decode-0-0 belongs to Job x"
    world.settle()
    assert world.pod_names() == [pod_name(0)]
    available = world.condition("Available")
    assert (available.status, available.reason) == ("False", "NameCollision")
    assert "group 1: pod m-1-decode-0-0 belongs to Job x" in available.message
    assert [a.reason for a in world.events()] == ["NameCollision"]
    world.name_conflicts.clear()
    world.settle()
    assert world.pod_names() == [pod_name(0), pod_name(1)]


def test_role_replicas_are_scaled_without_touching_other_instances() -> None:
    world = settled(2, a_role("decode", 2, workers=1), a_role("prefill", 1))
    before = world.uids()
    world.edit(roles=[a_role("decode", 3, workers=1), a_role("prefill", 1)])
    world.settle()
    after = world.uids()
    assert before.items() <= after.items()
    assert after.keys() - before.keys() == {pod_name(g, "decode", 2, k) for g in (0, 1) for k in (0, 1)}
    assert pod_name(0, "decode", 2) in world.services
    world.edit(roles=[a_role("decode", 1, workers=1), a_role("prefill", 1)])
    world.settle()
    assert world.uids() == {n: uid for n, uid in before.items() if "decode-1" not in n}
    assert set(world.services) == {pod_name(0), pod_name(1)}


def test_a_role_of_no_replicas_has_no_pods() -> None:
    world = settled(1, a_role("decode", 0), a_role("prefill", 1))
    assert world.pod_names() == [pod_name(0, "prefill")]
    assert world.condition("Available").status == "True"


def test_a_group_that_is_about_to_be_replaced_is_not_scaled_first() -> None:
    world = settled(3, a_role("decode", 1))
    world.edit(roles=[a_role("decode", 2, image="v2")])
    while world.plan().actions or world.condition("UpdateInProgress").status != "False":
        world.reconcile()
        for pods in world.groups().values():
            assert len(pods) == 1, "no pod is made in a group about to be replaced"
        old = [name for name, image in world.images.items() if image == "v1" and name in world.pods]
        assert not any("decode-1" in name for name in old)
        world.kubelet()
    assert len(world.pods) == 6


def test_a_role_without_instances_stays_without_while_its_group_waits() -> None:
    world = settled(2, a_role("decode", 1), a_role("prefill", 2))
    world.edit(roles=[a_role("decode", 1), a_role("prefill", 0)])
    world.settle()
    world.edit(image="v2")
    world.reconcile()
    assert created(world) == []
    world.settle()
    assert world.pod_names() == [pod_name(0), pod_name(1)]


def test_a_deleted_service_comes_back_and_a_changed_one_is_repaired() -> None:
    world = settled(1, a_role(workers=2))
    wanted = world.services[pod_name(0)]
    del world.services[pod_name(0)]
    world.settle()
    restored = world.services[pod_name(0)]
    assert restored.spec == wanted.spec
    changed = msgspec.structs.replace(wanted.spec, selector={**wanted.spec.selector, "app": "x"})
    world.services[pod_name(0)] = msgspec.structs.replace(restored, spec=changed)
    world.settle()
    assert world.services[pod_name(0)].spec == wanted.spec
    assert wanted.spec.publish_not_ready_addresses
    assert wanted.spec.cluster_ip == "None"
    late = msgspec.structs.replace(wanted.spec, publish_not_ready_addresses=False)
    world.services[pod_name(0)] = msgspec.structs.replace(restored, spec=late)
    world.settle()
    assert world.services[pod_name(0)].spec == wanted.spec


def terminating(world: World, name: str) -> None:
    stored = world.services[name]
    metadata = msgspec.structs.replace(stored.metadata, deletion_timestamp=world.now)
    world.services[name] = msgspec.structs.replace(stored, metadata=metadata)


def actions_on(world: World, kind: type[Action]) -> list[str]:
    return [name_of(action) for action in world.plan().actions if isinstance(action, kind)]


def test_a_service_that_is_going_away_is_neither_repaired_nor_deleted_again() -> None:
    world = settled(2, a_role(workers=1))
    for ordinal in range(2):
        terminating(world, pod_name(ordinal))
    world.edit(replicas=1)
    assert actions_on(world, DeleteService) == actions_on(world, PatchService) == actions_on(world, CreateService) == []
    del world.services[pod_name(0)]
    assert actions_on(world, CreateService) == [pod_name(0)]


def test_a_service_whose_name_another_has_is_not_asked_for() -> None:
    world = World(a_spec(2, a_role(workers=1)))
    world.name_conflicts["Service", pod_name(1)] = "Service m-1-decode-0-0 belongs to nobody"
    assert actions_on(world, CreateService) == [pod_name(0)]
    world.settle()
    assert [event.message for event in world.events()] == ["group 1: Service m-1-decode-0-0 belongs to nobody"]


def test_a_service_with_an_address_is_made_anew_since_that_cannot_be_taken_from_it() -> None:
    world = settled(1, a_role(workers=1))
    name = pod_name(0)
    spec = msgspec.structs.replace(world.services[name].spec, cluster_ip="10.0.0.1")
    world.services[name] = msgspec.structs.replace(world.services[name], spec=spec)
    assert actions_on(world, DeleteService) == [name]
    world.settle()
    assert world.services[name].spec.cluster_ip == "None"


def test_children_with_names_that_none_of_ours_has_are_left_alone() -> None:
    world = settled(1, a_role(workers=1))
    service = world.services[pod_name(0)]
    for name in ("m-x", "m-0-decode", "other"):
        metadata = msgspec.structs.replace(service.metadata, name=name, uid=f"uid-of-{name}")
        world.services[name] = msgspec.structs.replace(service, metadata=metadata)
    assert world.plan().actions == ()


def test_a_service_of_an_instance_that_is_gone_goes_and_one_of_a_worker_is_none_of_ours() -> None:
    world = settled(1, a_role("decode", 2, workers=1))
    service = world.services[pod_name(0)]
    worker = pod_name(0, index=1)
    metadata = msgspec.structs.replace(service.metadata, name=worker, uid="u-of-worker")
    world.services[worker] = msgspec.structs.replace(service, metadata=metadata)
    assert actions_on(world, DeleteService) == [worker]
    world.edit(roles=[a_role("decode", 1, workers=1)])
    world.settle()
    assert set(world.services) == {pod_name(0)}


def test_children_are_found_by_ordinal_and_are_the_same_object_for_as_long_as_they_are_the_same() -> None:
    world = settled(2, a_role(workers=1))
    pods, services = world.observe().pods, list(world.services.values())
    found = children_by_group(NAME, pods, services, world.pod_groups)
    assert {ordinal: len(found[ordinal].pods) for ordinal in sorted(found)} == {0: 2, 1: 2}
    memory = Memory()
    first, again = (children_by_group(NAME, pods, services, world.pod_groups, memory) for _ in range(2))
    assert all(again[ordinal] is first[ordinal] for ordinal in (0, 1))
