"""What a user hears of as events: each thing once, in words that do not change while it goes on."""

import pytest

from modelinfer_controller.planning.observed import GangSupport
from planning.world import World, a_role, a_spec, pod_name


class Heard:
    """The events of each pass, as (type, reason, message), while a world goes on."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.events: list[tuple[str, str, str]] = []

    def passes(self, count: int = 40) -> list[tuple[str, str]]:
        """What was new in these passes, as (reason, message); nothing is said twice in a row of passes."""
        first = len(self.events)
        for _ in range(count):
            new = [(event.type, str(event.reason), event.message) for event in self.world.events()]
            self.events += [event for event in new if event not in self.events[first:]]
            self.world.reconcile()
            self.world.kubelet()
            self.world.pass_time(1)
        return [(reason, message) for _, reason, message in self.events[first:]]


def settled(replicas: int = 3, **fields: object) -> Heard:
    world = World(a_spec(replicas, **fields))  # type: ignore[arg-type]
    world.settle()
    world.pass_time(3600)
    return Heard(world)


def test_nothing_is_heard_of_a_first_creation_nor_of_rest() -> None:
    heard = Heard(World(a_spec(2)))
    assert heard.passes() == []


def test_an_update_is_heard_of_when_it_starts_and_when_it_is_complete() -> None:
    heard = settled()
    heard.world.edit(image="v2")
    goal = heard.world.goal_revision()
    assert heard.passes() == [
        ("RolloutStarted", f"Updating groups to revision {goal}"),
        ("RolloutCompleted", f"The update to revision {goal} is complete"),
    ]
    assert {type_ for type_, _, _ in heard.events} == {"Normal"}


def test_an_update_that_another_overtakes_starts_anew() -> None:
    heard = settled()
    heard.world.edit(image="v2")
    heard.passes(2)
    heard.world.edit(image="v3")
    (started, *_) = heard.passes(1)
    assert started == ("RolloutStarted", f"Updating groups to revision {heard.world.goal_revision()}")


def test_what_the_partition_holds_is_said_at_the_end() -> None:
    heard = settled()
    heard.world.edit(image="v2", partition=2)
    complete = [message for reason, message in heard.passes() if reason == "RolloutCompleted"]
    held = heard.world.condition("UpdateInProgress").message
    assert complete == [f"The update to revision {heard.world.goal_revision()} is complete; {held}"]


def test_a_pause_is_heard_of_once() -> None:
    heard = settled()
    heard.world.edit(image="v2", paused=True)
    assert heard.passes() == [
        ("RolloutStarted", f"Updating groups to revision {heard.world.decide().revisions.update.name}"),
        ("Paused", "The update is paused (spec.paused)"),
    ]
    assert heard.world.groups() == {ordinal: {"v1"} for ordinal in range(3)}


def test_a_failed_update_is_heard_of_as_a_warning() -> None:
    heard = settled(progressDeadlineSeconds=10)
    heard.world.bad_images.add("v2")
    heard.world.edit(image="v2")
    heard.passes()
    failed = f"The update to {heard.world.status.update_revision} has failed; nothing more is replaced"
    assert [event for event in heard.events if event[0] == "Warning"] == [
        ("Warning", "ProgressDeadlineExceeded", failed)
    ]


def test_a_rollback_is_heard_of_as_a_warning() -> None:
    heard = settled(progressDeadlineSeconds=10)
    before = heard.world.status.current_revision
    heard.world.bad_images.add("v2")
    heard.world.edit(lambda spec: spec["rolloutStrategy"]["rollingUpdateConfiguration"].update(onFailure="Rollback"))
    heard.world.edit(image="v2")
    heard.passes()
    text = f"The update to {heard.world.status.update_revision} has failed; groups return to {before}"
    assert ("Warning", "RolledBack", text) in heard.events


def test_scaling_is_heard_of_with_its_numbers_and_a_change_of_another_field_is_not() -> None:
    heard = settled()
    heard.world.edit(replicas=5)
    assert heard.passes() == [("Scaling", "Scaling from 3 to 5 groups")]
    heard.world.edit(grace=7)
    assert heard.passes() == []


def test_suspending_and_resuming_are_heard_of_and_not_as_scaling() -> None:
    heard = settled()
    heard.world.edit(suspend=True)
    assert heard.passes() == [("Suspended", "spec.suspend is true")]
    heard.world.edit(suspend=False)
    assert heard.passes() == [("Resumed", "spec.suspend is false")]


def test_a_gang_without_its_api_is_heard_of() -> None:
    heard = Heard(World(a_spec(1, gang={}, schedulerName="volcano")))
    ((reason, message),) = heard.passes()
    assert reason == "PodGroupKindMissing"
    assert "Volcano's PodGroup" in message
    heard = Heard(World(a_spec(1, gang={}, schedulerName="volcano"), gang_support=GangSupport(volcano=True)))
    assert heard.passes() == []


def test_a_taken_name_is_heard_of_with_its_group() -> None:
    heard = settled(2)
    heard.world.reserved["Pod", pod_name(2)] = "pod m-2-decode-0-0 belongs to Job x"
    heard.world.edit(replicas=3)
    assert ("NameCollision", "group 2: pod m-2-decode-0-0 belongs to Job x") in heard.passes()


@pytest.mark.parametrize(
    ("policy", "scope"),
    [("RoleRecreate", "decode-0 of group 1"), ("InferGroupRecreate", "group 1"), ("None", "decode-0/1 of group 1")],
)
def test_a_recreation_is_heard_of_with_its_scope(policy: str, scope: str) -> None:
    world = World(a_spec(2, a_role(workers=1), recoveryPolicy=policy))
    world.settle()
    worker = pod_name(1, index=1)
    world.finish(worker)
    ((reason, message),) = Heard(world).passes()
    assert reason == "Rebuilding"
    assert message.startswith(f"Recreating {scope} (policy {policy}, attempt 1): {worker} has finished")


def test_nothing_is_heard_of_a_modelinfer_that_is_being_deleted() -> None:
    heard = settled()
    heard.world.finish(pod_name(1))
    heard.world.edit(replicas=9)
    assert heard.world.events()
    heard.world.is_deleted = True
    assert heard.world.events() == ()


def test_a_grace_period_is_not_heard_of_and_a_back_off_is() -> None:
    heard = settled(2, grace=20)
    heard.world.restart(pod_name(1))
    assert heard.passes(3) == []
    world = settled(2).world
    for _ in range(2):
        world.finish(pod_name(1))
        for _ in range(3):
            world.reconcile()
            world.kubelet()
    world.finish(pod_name(1))
    heard = Heard(world)
    ((reason, message),) = heard.passes(1)
    assert reason == "BackOff"
    assert message.startswith(f"decode-0 of group 1: the controller recreates it after a back-off: {pod_name(1)} has")
