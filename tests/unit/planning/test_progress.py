"""The clock of progressDeadlineSeconds, to the second."""

from datetime import timedelta

from modelinfer_controller.api.status import UpdateProgress
from planning.world import World, a_spec


def failing(deadline: int = 60) -> World:
    """An update to an image that never starts has just begun, half a second past the full second."""
    world = World(a_spec(3, progressDeadlineSeconds=deadline))
    world.settle()
    world.bad_images |= {"v2", "v3"}
    world.pass_time(0.5)
    world.edit(image="v2")
    passes(world)
    return world


def passes(world: World) -> UpdateProgress:
    """A few passes in no time; the clock after them."""
    for _ in range(4):
        world.reconcile()
        world.kubelet()
    return world.status.update_progress


def test_it_begins_with_the_update_in_whole_seconds() -> None:
    world = failing()
    assert passes(world) == UpdateProgress(world.goal_revision(), 0, world.now.replace(microsecond=0))
    world.pass_time(59)
    assert not passes(world).has_failed
    world.pass_time(1)
    assert passes(world).has_failed


def test_each_group_that_becomes_available_gives_the_next_the_whole_time() -> None:
    world = failing()
    world.pass_time(50)
    world.bad_images.remove("v2")
    world.kubelet()
    world.bad_images.add("v2")
    assert passes(world) == UpdateProgress(world.goal_revision(), 1, world.now.replace(microsecond=0))
    world.pass_time(59)
    assert not passes(world).has_failed


def test_a_pause_keeps_what_has_run_and_a_resume_goes_on_from_there() -> None:
    world = failing()
    world.pass_time(40)
    world.edit(paused=True)
    stopped = passes(world)
    assert stopped == UpdateProgress(world.goal_revision(), 0, None, 40)
    world.pass_time(1000)
    assert passes(world) == stopped
    world.edit(paused=False)
    assert passes(world) == UpdateProgress(world.goal_revision(), 0, world.now.replace(microsecond=0), 40)
    world.pass_time(19)
    assert not passes(world).has_failed
    world.pass_time(1)
    assert passes(world).has_failed


def test_another_revision_has_the_whole_time() -> None:
    world = failing()
    before = world.goal_revision()
    world.pass_time(50)
    world.edit(image="v3")
    clock = passes(world)
    assert clock == UpdateProgress(world.goal_revision(), 0, world.now.replace(microsecond=0))
    assert clock.revision != before
    world.pass_time(59)
    assert not passes(world).has_failed


def test_a_changed_deadline_gives_a_failed_update_another_whole_time() -> None:
    world = failing()
    world.pass_time(60)
    assert passes(world).has_failed
    world.pass_time(30)
    world.edit(progressDeadlineSeconds=120)
    clock = passes(world)
    assert (clock.has_failed, clock.since, clock.elapsed) == (False, world.now.replace(microsecond=0), 0)
    assert world.decide().plan.wake_at == clock.since + timedelta(seconds=120)
