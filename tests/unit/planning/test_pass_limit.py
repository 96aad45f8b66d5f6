"""What one pass does of a large plan, and in which order."""

from dataclasses import replace

import pytest

from modelinfer_controller.planning import pass_limit
from modelinfer_controller.planning.decide import decide
from modelinfer_controller.planning.pass_limit import MOST_BEGUN, PROBES
from planning.world import World, a_spec, pod_name


@pytest.fixture
def most(monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(pass_limit, "ACTIONS_PER_PASS", 3)
    return 3


def order(world: World, *, deferred: tuple[int, ...] = (), waits_for_quota: bool = False) -> list[int]:
    observed = replace(world.observe(), deferred_groups=deferred, waits_for_quota=waits_for_quota)
    return [group.ordinal for group in decide(observed, world.now).plan.groups]


def test_a_pass_makes_the_lowest_ordinals_first_and_says_that_there_are_more(most: int) -> None:
    world = World(a_spec(8))
    for made in ([0, 1, 2], [3, 4, 5], [6, 7]):
        plan = world.reconcile()
        assert [group.ordinal for group in plan.groups] == made
    world.settle()
    assert list(world.groups()) == list(range(8))


def test_what_was_never_made_has_a_group_and_a_revision_all_the_same(most: int) -> None:
    world = World(a_spec(8))
    decision = world.decide()
    assert 7 not in decision.groups
    never = decision.group(7)
    assert (never.ordinal, never.pods, never.is_available, decision.is_available(7)) == (7, (), False, False)
    assert decision.revision_name(7) == never.revision.name == decision.rules.goal
    assert decision.group(0) is decision.groups[0]
    assert decision.revision_name(0) == decision.groups[0].revision.name


def test_gaps_are_filled_though_groups_beyond_replicas_are_still_there() -> None:
    world = World(a_spec(5))
    world.settle()
    for ordinal in (1, 2):
        world.vanish(pod_name(ordinal))
    world.status = world.status.__class__()  # nothing tells that they ever were
    world.edit(replicas=3)
    assert sorted(order(world)) == [1, 2, 3, 4]
    world.settle()
    assert list(world.groups()) == [0, 1, 2]


def test_a_group_that_was_refused_comes_after_the_others_and_of_these_the_one_refused_longest_ago() -> None:
    assert order(World(a_spec(5)), deferred=(3, 1)) == [0, 2, 4, 3, 1]


def test_after_a_few_refusals_new_groups_are_tried_from_the_other_end() -> None:
    deferred = tuple(range(PROBES))
    assert order(World(a_spec(PROBES + 3)), deferred=deferred) == [6, 5, 4, *deferred]


def test_while_a_quota_is_full_only_a_few_groups_are_begun() -> None:
    deferred = tuple(range(MOST_BEGUN))
    begun = order(World(a_spec(MOST_BEGUN + 3)), deferred=deferred, waits_for_quota=True)
    assert begun[: len(deferred)] == list(deferred), "those that were begun come before new ones"
    assert order(World(a_spec(MOST_BEGUN + 3)), deferred=deferred)[3:] == list(deferred), "but not without a quota"


def test_whole_groups_are_taken_until_the_pass_is_full(most: int) -> None:
    world = World(a_spec(6))
    world.settle()
    world.edit(replicas=1)
    plan = world.reconcile()
    assert ([group.ordinal for group in plan.groups], plan.is_whole) == ([5, 4, 3], False)
    world.settle()
    assert list(world.groups()) == [0]


def test_what_goes_makes_room_and_comes_first() -> None:
    world = World(a_spec(4))
    world.settle()
    world.edit(replicas=2)
    world.vanish(pod_name(0))
    assert order(world) == [3, 2, 0]
