"""What a user hears of as events: each thing once, in words that do not change while it goes on."""

import pytest

from modelinfer_controller.api.core import Condition, PodStatus
from modelinfer_controller.api.status import ApiFailure
from modelinfer_controller.planning.events import Before, events_of
from modelinfer_controller.planning.observed import GangSupport
from modelinfer_controller.planning.status import status_of
from planning.world import World, a_role, a_spec, pod_name


class Heard:
    """The events of each pass, as (type, reason, message), while a world goes on."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.events: list[tuple[str, str, str]] = []
        self._before: Before | None = None
        self.now()

    def now(self) -> list[tuple[str, str, str]]:
        """What this pass says."""
        decision = self.world.decide()
        status = status_of(decision, self.world.failures)
        events, self._before = events_of(decision, status, self.world.failures, self._before)
        return [(event.type, str(event.reason), event.message) for event in events]

    def passes(self, count: int = 40) -> list[tuple[str, str]]:
        """What was new in these passes, as (reason, message); nothing is said twice in a row of passes."""
        first = len(self.events)
        for _ in range(count):
            self.events += [event for event in self.now() if event not in self.events[first:]]
            self.world.reconcile()
            self.world.kubelet()
            self.world.pass_time(1)
        return [(reason, message) for _, reason, message in self.events[first:]]


AVAILABLE = ("AllGroupsAvailable", "All groups are available")


def settled(replicas: int = 3, **fields: object) -> Heard:
    world = World(a_spec(replicas, **fields))  # type: ignore[arg-type]
    world.settle()
    world.pass_time(3600)
    return Heard(world)


def test_a_first_creation_is_heard_of_when_all_groups_are_available_and_rest_is_not() -> None:
    heard = Heard(World(a_spec(2)))
    assert heard.passes() == [AVAILABLE]
    assert heard.passes() == []


def test_an_update_is_heard_of_when_it_starts_and_when_it_is_complete() -> None:
    heard = settled()
    heard.world.edit(image="v2")
    goal = heard.world.goal_revision()
    assert heard.passes() == [
        ("RolloutStarted", f"Updating groups to revision {goal}"),
        ("RolloutCompleted", f"The update to revision {goal} is complete"),
        AVAILABLE,
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
    heard.world.edit(paused=False)
    assert heard.passes()[0] == ("Resumed", "The update goes on (spec.paused)")
    heard.world.edit(image="v3", paused=True)
    heard.passes()
    heard.world.edit(image="v2", paused=False)
    assert [reason for reason, _ in heard.passes()] == ["RolloutCompleted"], "nothing is left to go on with"


def test_a_failed_update_is_heard_of_as_a_warning() -> None:
    heard = settled(progressDeadlineSeconds=10)
    heard.world.bad_images.add("v2")
    heard.world.edit(image="v2")
    heard.passes()
    failed = (
        f"The update to revision {heard.world.status.update_revision} has failed: no group became available in time"
    )
    assert [event for event in heard.events if event[0] == "Warning"] == [
        ("Warning", "ImagePullBackOff", "Group 2 is not available: ImagePullBackOff"),
        ("Warning", "ProgressDeadlineExceeded", f"{failed}. The controller replaces no more groups"),
    ]


def rolled_back(*bad_images: str) -> Heard:
    heard = settled(progressDeadlineSeconds=10)
    heard.world.edit(lambda spec: spec["rolloutStrategy"]["rollingUpdateConfiguration"].update(onFailure="Rollback"))
    heard.world.bad_images.update(bad_images)
    heard.world.edit(image="v2")
    heard.passes()
    return heard


def test_a_rollback_is_heard_of_as_a_warning_and_when_it_is_done() -> None:
    heard = rolled_back("v2")
    update, current = heard.world.status.update_revision, heard.world.status.current_revision
    text = f"The update to revision {update} has failed: no group became available in time"
    assert heard.events[2:] == [
        ("Warning", "RolledBack", f"{text}. Groups return to revision {current}"),
        ("Normal", "RolloutCompleted", f"Every group has returned to revision {current}"),
        ("Normal", *AVAILABLE),
    ]


def test_a_rollback_that_fails_is_heard_of() -> None:
    heard = rolled_back("v1", "v2")
    failed = f"The return to revision {heard.world.status.current_revision} has failed"
    assert [message for _, reason, message in heard.events if reason == "ProgressDeadlineExceeded"] == [
        f"{failed}: no group became available in time. The controller replaces no more groups"
    ]


def test_scaling_is_heard_of_with_its_numbers_and_a_change_of_another_field_is_not() -> None:
    heard = settled()
    heard.world.edit(replicas=5)
    assert heard.passes() == [("Scaling", "Scaling from 3 to 5 groups"), AVAILABLE]
    heard.world.edit(grace=7)
    assert heard.passes() == []


def test_suspending_and_resuming_are_heard_of_and_not_as_scaling() -> None:
    heard = settled()
    heard.world.edit(suspend=True)
    assert heard.passes() == [("Suspended", "spec.suspend is true")]
    heard.world.edit(suspend=False)
    assert heard.passes() == [("Resumed", "spec.suspend is false"), AVAILABLE]


def test_a_gang_without_its_api_is_heard_of() -> None:
    heard = Heard(World(a_spec(1, gang={}, schedulerName="volcano")))
    ((reason, message), available) = heard.passes()
    assert (reason, available) == ("PodGroupKindMissing", AVAILABLE)
    assert "Volcano's PodGroup" in message
    heard = Heard(World(a_spec(1, gang={}, schedulerName="volcano"), gang_support=GangSupport(volcano=True)))
    assert heard.passes() == [AVAILABLE]


def test_a_taken_name_is_heard_of_with_its_group() -> None:
    heard = settled(2)
    heard.world.name_conflicts["Pod", pod_name(2)] = "pod m-2-decode-0-0 belongs to Job x"
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
    heard = Heard(world)
    world.finish(worker)
    (recreation, lost, *_, available) = heard.passes()
    assert recreation[0] == "Rebuilding"
    assert recreation[1].startswith(f"Recreating {scope} (policy {policy}, attempt 1): {worker} has finished")
    assert lost[0] == "GroupUnavailable"
    assert available == AVAILABLE


def test_nothing_is_heard_of_a_modelinfer_that_is_being_deleted() -> None:
    heard = settled()
    heard.world.finish(pod_name(1))
    heard.world.edit(replicas=9)
    assert heard.world.events()
    heard.world.is_deleted = True
    assert heard.world.events() == ()


def test_a_group_that_is_lost_and_regained_is_heard_of_each_once() -> None:
    heard = settled()
    heard.world.unready(pod_name(1))
    assert heard.now() == [
        ("Normal", "GroupUnavailable", "Group 1 is not available any more: PodsNotReady"),
    ]
    heard.world.reconcile()
    assert heard.now() == []
    heard.world.start(pod_name(1))
    assert heard.passes(2) == [("GroupAvailable", "Group 1 is available again"), AVAILABLE]


def test_a_group_that_somebody_must_see_to_is_heard_of_as_a_warning() -> None:
    heard = settled()
    blocked = Condition(type="PodScheduled", status="False", reason="Unschedulable", message="0/3 nodes: gpu")
    heard.world.set_status(pod_name(1), PodStatus(phase="Pending", conditions=(blocked,)), node="")
    assert ("Warning", "Unschedulable", "Group 1 is not available: Unschedulable") in heard.now()


def test_what_the_server_refuses_of_a_group_is_heard_of_by_itself() -> None:
    heard = settled()
    blocked = Condition(type="PodScheduled", status="False", reason="Unschedulable", message="0/3 nodes: gpu")
    heard.world.set_status(pod_name(1), PodStatus(phase="Pending", conditions=(blocked,)), node="")
    heard.world.failures = {1: ApiFailure("Unschedulable", "not today")}
    assert [event for event in heard.now() if event[0] == "Warning"] == []


def test_a_grace_period_is_no_back_off_and_a_back_off_is_heard_of() -> None:
    heard = settled(2, grace=20)
    heard.world.restart(pod_name(1))
    assert heard.passes(3)[0] == ("GroupUnavailable", "Group 1 is not available any more: WaitingForGracePeriod")
    assert "BackOff" not in {reason for _, reason, _ in heard.events}
    world = settled(2).world
    for _ in range(2):
        world.finish(pod_name(1))
        for _ in range(3):
            world.reconcile()
            world.kubelet()
    world.finish(pod_name(1))
    (back_off,) = (message for _, reason, message in Heard(world).now() if reason == "BackOff")
    assert back_off.startswith(f"decode-0 of group 1: the controller recreates it after a back-off: {pod_name(1)} has")
