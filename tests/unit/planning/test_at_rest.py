"""A decision passes over groups at rest, and says of them what it would say had it looked."""

from dataclasses import replace

from modelinfer_controller.planning.conditions import Facts
from modelinfer_controller.planning.decide import decide
from modelinfer_controller.planning.group_phase import group_phase
from modelinfer_controller.planning.memo import Memory, memoized
from modelinfer_controller.planning.observed import GangSupport
from modelinfer_controller.planning.status import status_of
from planning.world import World, a_role, a_spec, pod_name


def test_what_is_said_of_a_group_at_rest_is_what_would_be_found_anew() -> None:
    world = World(a_spec(3, a_role(workers=1)))
    world.settle()
    world.pass_time(3600)
    observed = world.observe()
    for _ in range(3):
        decide(observed, world.now)
    known, anew = decide(observed, world.now), decide(replace(observed, memory=Memory()), world.now)
    assert len(known.at_rest) == 3
    assert len(anew.at_rest) == 0
    assert known.needs.keys() == anew.needs.keys() == known.groups.keys()
    for ordinal in range(3):
        assert group_phase(known, ordinal) == group_phase(anew, ordinal) == "available"
        assert known.is_available(ordinal)
        assert Facts(known, {}).is_available(ordinal) is Facts(anew, {}).is_available(ordinal) is True
        assert known.revision_name(ordinal) == anew.revision_name(ordinal)
    assert status_of(known, {}) == status_of(anew, {})
    world.unready(pod_name(1))
    assert sorted(world.decide().active) == [1]


def test_a_group_that_has_services_or_pod_groups_and_is_to_have_no_pods_is_not_counted_as_one_with_pods() -> None:
    world = World(a_spec(2, a_role(replicas=1), gang={}), gang_support=GangSupport(kubernetes=True))
    world.settle()
    world.edit(roles=[a_role(replicas=0)])
    world.settle()
    world.settle()
    assert world.pods == {}
    assert len(world.pod_groups) == 2
    assert (world.status.replicas, world.status.updated_replicas) == (0, 0)
    assert status_of(world.decide(), {}) == status_of(decide(replace(world.observe(), memory=Memory()), world.now), {})


def test_a_result_is_used_again_for_a_tuple_of_the_same_objects_and_for_no_other() -> None:
    memory, one, other = Memory(), object(), object()
    calls: list[object] = []

    def count(things: tuple[object, ...]) -> int:
        calls.append(things)
        return len(things)

    counted = memoized(count)
    for things in ((one, other), (one, other), (other, one), (other, one, one)):
        counted(memory, 0, things)
    assert calls == [(one, other), (other, one), (other, one, one)]
