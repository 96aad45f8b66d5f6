"""Promises of the planner over random worlds and random histories."""

import random
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from modelinfer_controller.planning.actions import CreatePod, DeletePod
from modelinfer_controller.planning.decide import decide
from modelinfer_controller.planning.memo import Memory
from modelinfer_controller.planning.observed import children_by_group
from modelinfer_controller.planning.status import status_of
from planning.budget_watch import watch
from planning.expectation import check_as_specified, supports
from planning.histories import ALL, CONTROLLER, FAILURES, NODES, ROLLOUT_EDITS, History, Move, moves, specs
from planning.world import Spec, World, a_role, a_spec

EVERYTHING = moves(*ALL)
CALM = moves(*CONTROLLER, *NODES, *NODES, "image", "image", "unavailable", "partition", "undo", size=60)
NOISY = moves(*CONTROLLER, *NODES, *NODES, *ROLLOUT_EDITS, *FAILURES, "replicas", size=60)


def play(spec: Spec, history: list[Move], support: int) -> World:
    world = World(spec, gang_support=supports(support))
    player = History(world, [])
    for move in history:
        player.make(move)
    return world


@given(specs(), EVERYTHING, st.integers(0, 3))
def test_converging_plan_and_apply_reaches_the_spec_from_any_world(
    spec: Spec, history: list[Move], support: int
) -> None:
    world = play(spec, history, support)
    world.name_conflicts.clear()
    if world.has_lost_revisions:
        world.edit(partition=0)  # a group of a lost revision that is held back is left as it is
    world.settle()
    check_as_specified(world)


@given(specs(), EVERYTHING, st.integers(0, 3))
def test_quiet_a_converged_world_plans_nothing_and_its_status_is_stable(
    spec: Spec, history: list[Move], support: int
) -> None:
    world = play(spec, history, support)
    world.settle()
    writes = world.status_writes
    for _ in range(3):
        world.pass_time(3700)
        assert world.reconcile().actions == ()
    assert world.status_writes == writes


@st.composite
def rolling_worlds(draw: st.DrawFn) -> World:
    """A world of healthy groups that is about to roll, perhaps to an image that never starts."""
    world = World(
        a_spec(
            draw(st.integers(1, 6)),
            a_role("decode", 1, draw(st.integers(0, 1))),
            max_unavailable=draw(st.sampled_from([0, 1, 2, 3, "0%", "34%", "100%"])),
            max_surge=draw(st.sampled_from([0, 1, 2, 3, "25%"])),
            partition=draw(st.sampled_from([0, 0, 0, 1, 3])),
            recoveryPolicy=draw(st.sampled_from(["RoleRecreate", "InferGroupRecreate", "None"])),
        )
    )
    world.settle()
    if draw(st.booleans()):
        world.bad_images.add("v2")
    world.edit(image="v2")
    return world


@given(rolling_worlds(), CALM)
def test_budgeted_a_rollout_takes_down_no_more_than_the_two_rules_allow(world: World, history: list[Move]) -> None:
    player = History(world, [])
    for move in history:
        watch(player, move, is_calm=True)


@given(rolling_worlds(), NOISY)
def test_budgeted_a_rollout_among_failures_takes_down_no_healthy_group_against_the_rules(
    world: World, history: list[Move]
) -> None:
    player = History(world, [])
    for move in history:
        watch(player, move, is_calm=False)


@given(rolling_worlds(), CALM, st.integers(0, 9))
def test_a_bad_revision_is_left_for_a_good_one(world: World, history: list[Move], first: int) -> None:
    player = History(world, [])
    for move in history:
        player.make(move)
    world.edit(image="good", partition=0)
    for _ in range(200):
        before = (dict(world.pods), world.status_writes)
        watch(player, Move("reconcile", 0, 0), is_calm=True)
        world.kubelet()
        if before == (world.pods, world.status_writes):
            break
    world.settle()
    check_as_specified(world)
    assert set(map(frozenset, world.groups().values())) == {frozenset({"good"})}


@given(specs(), EVERYTHING, st.integers(0, 3), st.randoms(use_true_random=False))
def test_deterministic_and_order_free(spec: Spec, history: list[Move], support: int, order: random.Random) -> None:
    world = play(spec, history, support)
    seen = world.observe()
    pods = order.sample(seen.pods, len(seen.pods))
    services = order.sample(list(world.services.values()), len(world.services))
    pod_groups = dict(order.sample(list(world.pod_groups.items()), len(world.pod_groups)))
    children = children_by_group(seen.owner.name, pods, services, pod_groups)
    shuffled = replace(
        seen,
        children=dict(order.sample(list(children.items()), len(children))),
        revisions=tuple(order.sample(seen.revisions, len(seen.revisions))),
        name_conflicts=dict(order.sample(list(seen.name_conflicts.items()), len(seen.name_conflicts))),
    )
    one, other = decide(seen, world.now), decide(replace(shuffled, memory=Memory()), world.now)
    assert one.plan == other.plan
    assert status_of(one, {}) == status_of(other, {})


@given(specs(), EVERYTHING, st.integers(0, 3), st.booleans())
def test_stale_safe_an_older_snapshot_with_expectations_repeats_no_create_and_no_delete(
    spec: Spec, history: list[Move], support: int, is_status_stale: bool
) -> None:
    world = play(spec, history, support)
    stale_status = world.status
    done = world.reconcile()
    created = {action.name for action in done.actions if isinstance(action, CreatePod)}
    deleted = {action.uid for action in done.actions if isinstance(action, DeletePod)}
    if is_status_stale:
        world.status = stale_status
    again = world.plan()
    assert not created & {action.name for action in again.actions if isinstance(action, CreatePod)}
    assert not deleted & {action.uid for action in again.actions if isinstance(action, DeletePod)}


@given(specs(), EVERYTHING)
def test_a_modelinfer_that_is_being_deleted_gets_no_new_children(spec: Spec, history: list[Move]) -> None:
    world = play(spec, history, 1)
    world.is_deleted = True
    assert world.reconcile().actions == ()


@given(specs(), EVERYTHING, st.integers(0, 3))
def test_while_nothing_happens_the_controller_comes_to_rest(spec: Spec, history: list[Move], support: int) -> None:
    world = play(spec, history, support)
    for _ in range(10):
        world.reconcile()
    writes = world.status_writes
    assert world.reconcile().actions == ()
    assert world.status_writes == writes
