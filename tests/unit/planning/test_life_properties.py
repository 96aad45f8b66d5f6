"""Promises of a group's life over random histories: a pause, a drain, a deadline and a rollback hold in each."""

from hypothesis import assume, given
from hypothesis import strategies as st
from support.update_rules import rules_of

from modelinfer_controller.api import well_known
from planning.expectation import check_as_specified, is_available, supports
from planning.histories import (
    ALL,
    CONTROLLER,
    FAILURES,
    LIFE,
    NODES,
    ROLLOUT_EDITS,
    SCALING,
    History,
    Move,
    moves,
    specs,
)
from planning.world import Spec, World, a_role, a_spec

EVERYTHING = moves(*ALL, *LIFE, *LIFE)
CALM = moves(*CONTROLLER, *NODES, size=60)


def play(world: World, history: list[Move]) -> World:
    player = History(world, [])
    for move in history:
        player.make(move)
    return world


def lift(spec: Spec) -> None:
    """Nothing holds the next update up, and each role has pods that show where it is."""
    for role in spec["template"]["roles"]:
        role["replicas"] = max(1, role["replicas"])
    for field in ("paused", "suspend", "progressDeadlineSeconds"):
        spec.pop(field, None)


@given(specs(), EVERYTHING, st.integers(0, 3))
def test_whatever_became_of_it_it_comes_to_what_the_spec_asks_for_once_nothing_holds_it_up(
    spec: Spec, history: list[Move], support: int
) -> None:
    world = play(World(spec, gang_support=supports(support)), history)
    world.name_conflicts.clear()
    world.edit(lift, image="last")
    if world.has_lost_revisions:
        world.edit(partition=0)
    world.settle(300)
    check_as_specified(world)
    assert not any(well_known.DRAIN_DEADLINE in pod.metadata.annotations for pod in world.pods.values())
    assert (world.condition("Ready").status, world.status.failed_revision) == ("True", "")


@given(specs(), EVERYTHING, st.integers(0, 3))
def test_whatever_became_of_it_it_comes_to_rest(spec: Spec, history: list[Move], support: int) -> None:
    world = play(World(spec, gang_support=supports(support)), history)
    world.settle(300)
    for _ in range(3):
        world.pass_time(3700)
        assert world.reconcile().actions == ()


@st.composite
def updating(draw: st.DrawFn, **fields: object) -> World:
    """Healthy groups with an update before them, perhaps to an image that never starts."""
    surge = draw(st.integers(0, 2))
    world = World(
        a_spec(
            draw(st.integers(1, 5)),
            a_role("decode", 1, draw(st.integers(0, 1))),
            max_unavailable=draw(st.integers(0 if surge else 1, 3)),
            max_surge=surge,
            partition=draw(st.sampled_from([0, 0, 1])),
        )
    )
    world.edit(**fields)
    world.settle()
    if draw(st.booleans()):
        world.bad_images.add("v2")
    return world


@given(updating(paused=True), moves(*CONTROLLER, *NODES, *ROLLOUT_EDITS, size=40))
def test_a_pause_takes_no_healthy_group_down(world: World, history: list[Move]) -> None:
    before = world.uids()
    play(world, history)
    assert world.uids() == before


@given(updating(), CALM, st.integers(1, 90))
def test_in_every_step_of_a_drained_update_enough_groups_serve(world: World, history: list[Move], timeout: int) -> None:
    world.edit(lambda spec: spec["template"].update(drain={"timeoutSeconds": timeout}))
    world.settle()
    must_stay = rules_of(world.spec).must_stay
    world.edit(image="v2")
    player = History(world, [])
    for move in history:
        player.make(move)
        serving = {name.split("-")[1] for name, pod in world.pods.items() if well_known.SERVING in pod.metadata.labels}
        available = [group for group in range(40) if is_available(world, group) and str(group) in serving]
        assert len(available) >= must_stay, f"only {available} serve after {move.name}"


@given(updating(), CALM, st.sampled_from(["Halt", "Rollback"]))
def test_an_update_that_cannot_succeed_fails_and_with_rollback_every_group_returns(
    world: World, history: list[Move], on_failure: str
) -> None:
    partition = world.spec["rolloutStrategy"]["rollingUpdateConfiguration"]["partition"]
    assume(partition < world.spec["replicas"])
    world.edit(
        lambda spec: spec["rolloutStrategy"]["rollingUpdateConfiguration"].update(onFailure=on_failure),
        progressDeadlineSeconds=60,
    )
    world.bad_images.add("v2")
    world.edit(image="v2")
    play(world, history)
    world.settle(300)
    assert world.condition("Stalled").status == "True"
    found = set().union(*world.groups().values())
    if on_failure == "Rollback":
        assert found == {"v1"}
        assert world.status.available_replicas == world.spec["replicas"]
    else:
        rules = rules_of(world.spec)
        updated = [group for group, images in world.groups().items() if images == {"v2"}]
        assert 0 < len(updated) <= rules.may_move


@given(updating(suspend=True), moves(*CONTROLLER, *NODES, *SCALING, *FAILURES, size=40))
def test_what_is_suspended_has_no_pods_and_comes_back(world: World, history: list[Move]) -> None:
    play(world, history)
    world.settle()
    assert world.pods == {}
    world.edit(suspend=False)
    world.settle()
    check_as_specified(world)
