"""A pass costs what has changed, not what the ModelInfer is large."""

from planning.world import World, a_role, a_spec, pod_name


def evaluated(world: World) -> int:
    """How many results a pass works out anew."""
    before = world.memory.evaluations
    world.reconcile()
    return world.memory.evaluations - before


def test_only_groups_that_changed_are_evaluated_again() -> None:
    world = World(a_spec(50, a_role("decode", 1, workers=1)))
    world.settle()
    world.reconcile()
    assert evaluated(world) == 0
    world.unready(pod_name(7))
    assert 0 < evaluated(world) <= 3
    assert evaluated(world) == 0
    del world.services[pod_name(9)]
    assert 0 < evaluated(world) <= 3
    assert pod_name(9) in world.services


def test_a_changed_spec_concerns_every_group() -> None:
    world = World(a_spec(5))
    world.settle()
    world.edit(grace=7)
    assert evaluated(world) >= 10


def test_what_is_remembered_of_groups_that_are_gone_goes_with_them() -> None:
    world = World(a_spec(50))
    world.settle()
    world.edit(replicas=2)
    world.settle()
    world.reconcile()
    assert all(len(remembered) <= 2 for remembered in world.memory.results.values())
    assert len(world.memory.records) <= 2
