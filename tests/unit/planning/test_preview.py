"""The preview goes where the toy world goes: the same groups in the same order, and the same lowest availability."""

from __future__ import annotations

from datetime import timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from modelinfer_controller.planning.decide import state_of
from modelinfer_controller.planning.preview import Preview, preview
from modelinfer_controller.planning.update import GroupState
from planning.world import World, a_role, a_spec

STARTING = timedelta(seconds=30)


def settled(replicas: int, **rolling: object) -> World:
    world = World(a_spec(replicas, a_role(workers=1), **rolling))
    world.settle()
    return world


def seen(world: World) -> Preview:
    return preview(world.observe(), world.now, STARTING)


def states(found: Preview) -> dict[int, GroupState]:
    return {ordinal: state_of(group) for ordinal, group in found.last.groups.items()}


def test_a_settled_world_needs_no_step() -> None:
    found = seen(settled(3))
    assert (found.steps, found.is_finished, found.lowest_available) == ((), True, 3)


def test_a_rollout_is_seen_group_by_group_with_its_time() -> None:
    world = settled(3)
    world.edit(image="v2")
    found = seen(world)
    assert [step.replaced for step in found.steps if step.replaced] == [(2,), (1,), (0,)]
    assert (found.lowest_available, found.is_finished) == (2, True)
    assert found.ended_at - world.now == 3 * STARTING


def test_what_is_in_trouble_stays_so_and_a_rollout_that_waits_for_it_does_not_end() -> None:
    world = settled(2)
    world.bad_images.add("v2")
    world.edit(image="v2")
    for _ in range(4):
        world.reconcile()
        world.kubelet()
    found = seen(world)
    assert not found.is_finished
    assert not states(found)[1].is_available


@settings(max_examples=40, deadline=None)
@given(
    replicas=st.integers(1, 5),
    unavailable=st.integers(0, 3),
    surge=st.integers(0, 2),
    partition=st.integers(0, 3),
    target=st.integers(0, 5),
    image=st.sampled_from(["v1", "v2"]),
)
def test_the_world_goes_as_the_preview_saw_it(
    replicas: int, unavailable: int, surge: int, partition: int, target: int, image: str
) -> None:
    world = settled(replicas, max_unavailable=unavailable or 1, max_surge=surge, partition=0)
    world.edit(image=image, partition=partition, replicas=target)
    found = seen(world)
    assert found.is_finished
    order: list[int] = []
    for _ in range(300):
        decided = world.decide().update.replaced
        order += [group for group in decided if world.decide().groups[group].live_pods]
        planned = world.reconcile()
        if not (planned.actions or world.kubelet()):
            break
        world.pass_time(1)
    assert [group for step in found.steps for group in step.replaced] == order
    assert world.pod_names() == sorted(pod.name for pod in found.last.observed.pods)
