"""What a group is at, in the one word that metrics, the tree and explanations share."""

import pytest

from modelinfer_controller.api.core import PodStatus
from modelinfer_controller.planning.group_phase import group_phase
from planning.world import World, a_role, a_spec, pod_name


def settled(**fields: object) -> World:
    world = World(a_spec(2, a_role(workers=1), **fields))  # type: ignore[arg-type]
    world.settle()
    world.pass_time(3600)
    return world


def phase(world: World, ordinal: int = 1) -> str:
    return group_phase(world.decide(), ordinal).value


def test_a_group_is_pending_until_every_pod_has_its_node_then_starting_then_available() -> None:
    world = World(a_spec(2, a_role(workers=1)))
    assert phase(world) == "pending", "its pods are to be created"
    world.reconcile()
    assert phase(world) == "pending"
    world.set_status(pod_name(1), PodStatus(phase="Pending"))
    assert phase(world) == "pending", "a worker waits for a node"
    world.set_status(pod_name(1, index=1), PodStatus(phase="Pending"))
    assert phase(world) == "starting"
    world.kubelet()
    assert phase(world) == "available"
    assert phase(world, 7) == "pending", "an ordinal of which there is nothing"


def test_a_group_that_is_updated_or_scaled_away_is_terminating() -> None:
    world = settled()
    world.edit(image="v2")
    assert phase(world) == "terminating"
    world.reconcile()
    assert phase(world) == "terminating", "until its pods are gone"
    world.kubelet()
    assert phase(world) == "pending"
    world = settled()
    world.edit(replicas=1)
    assert phase(world) == "terminating"


def test_a_group_that_drains_says_so() -> None:
    world = settled()
    world.edit(lambda spec: spec["template"].update(drain={"timeoutSeconds": 60}))
    world.settle()
    world.edit(replicas=1)
    assert phase(world) == "terminating"
    world.reconcile()
    assert phase(world) == "draining"
    world.pass_time(61)
    world.reconcile()
    assert phase(world) == "terminating"


def test_a_recreation_is_rebuilding_from_its_beginning_until_its_new_pods_are_there() -> None:
    world = settled()
    world.finish(pod_name(1, index=1))
    seen = [phase(world)]
    for _ in range(3):
        world.reconcile()
        seen.append(phase(world))
        world.kubelet()
    assert seen == ["rebuilding", "rebuilding", "pending", "available"]


@pytest.mark.parametrize(("grace", "expected"), [(0, "backing_off"), (600, "starting")])
def test_a_recreation_that_waits_for_its_back_off_says_so_and_a_grace_period_does_not(
    grace: int, expected: str
) -> None:
    world = settled(grace=grace)
    world.restart(pod_name(1))
    for _ in range(3 if not grace else 0):
        world.reconcile()
        world.kubelet()
    world.restart(pod_name(1))
    world.reconcile()
    assert phase(world) == expected
