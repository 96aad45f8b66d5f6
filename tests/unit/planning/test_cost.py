"""A reconcile's cost follows what changed, not the size of the ModelInfer."""

from modelinfer_controller.planning import assess, group
from modelinfer_controller.planning.observed import NO_RECORD
from modelinfer_controller.planning.terms import Evidence
from planning.world import World, a_role, a_spec, pod_name


def judged(world: World) -> int:
    """How many groups a reconcile works out anew."""
    before = assess._judged.cache_info().misses + group._timeless_plan.cache_info().misses
    world.reconcile()
    return assess._judged.cache_info().misses + group._timeless_plan.cache_info().misses - before


def test_only_groups_that_changed_are_worked_out_anew() -> None:
    world = World(a_spec(50, a_role("decode", 1, workers=1)))
    world.settle()
    assert judged(world) == 0
    world.unready(pod_name(7))
    assert judged(world) == 2
    assert judged(world) == 0
    del world.services[pod_name(9)]
    assert judged(world) == 1
    assert pod_name(9) in world.services


def test_a_changed_spec_concerns_every_group() -> None:
    world = World(a_spec(5))
    world.settle()
    world.edit(grace=7)
    assert judged(world) == 10


def test_groups_yet_to_be_made_of_many_model_infers_are_told_apart_by_their_hashes() -> None:
    terms = [World(a_spec(1, grace=number)).assess().groups[0].terms for number in range(50)]
    assert len({hash(Evidence(of_one, 0, (), NO_RECORD)) for of_one in terms}) == 50
