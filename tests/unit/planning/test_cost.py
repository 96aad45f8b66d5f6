"""A pass costs what has changed, not what the ModelInfer is large."""

from collections.abc import Callable

from support.work import counted

from modelinfer_controller.planning.decide import decide
from modelinfer_controller.planning.memo import Memory
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


def calls_of_a_pass(groups: int, change: Callable[[World], None]) -> int:
    """Function calls of the decision after that change; the snapshot is made by whoever keeps the caches."""
    world = World(a_spec(groups, a_role("decode", 1, workers=1)))
    world.settle()
    world.reconcile()
    change(world)
    observed = world.observe()
    with counted("planning", "api") as work:
        decide(observed, world.now)
    return work.calls


FEW, MANY = 50, 300


def test_a_pass_where_nothing_changed_looks_each_group_up_and_no_more() -> None:
    """The regression guard of docs/performance.md, in calls: they are the same on every machine."""
    small, large = (calls_of_a_pass(groups, lambda world: None) for groups in (FEW, MANY))
    assert small > FEW
    assert large - small <= 1.5 * (MANY - FEW)


def test_a_pass_for_one_pod_does_no_more_for_the_other_groups() -> None:
    at_rest = calls_of_a_pass(MANY, lambda world: None)
    small, large = (calls_of_a_pass(groups, lambda world: world.unready(pod_name(7))) for groups in (FEW, MANY))
    assert small > 0
    assert large - small <= 1.5 * (MANY - FEW)
    assert large <= at_rest + 1000


def test_the_first_pass_of_a_process_is_linear_in_the_number_of_groups() -> None:
    def forget(world: World) -> None:
        world.memory = Memory()

    small, large = (calls_of_a_pass(groups, forget) for groups in (FEW, MANY))
    assert large <= 1.2 * (MANY / FEW) * small
