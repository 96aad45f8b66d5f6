"""Status: counts, revisions, conditions and their times, all from the same observation."""

import msgspec

from modelinfer_controller.api import well_known
from modelinfer_controller.api.core import Condition, PodStatus
from modelinfer_controller.api.status import ApiFailure, ModelInfer
from modelinfer_controller.api.validation import Violation
from modelinfer_controller.planning.actions import CreatePod, DeletePod
from modelinfer_controller.planning.status import invalid_status, status_of
from planning.world import NAME, START, World, a_role, a_spec, pod_name


def test_the_four_conditions_are_always_present_true_or_false_with_reason_message_and_generation() -> None:
    world = World(a_spec(2))
    for _ in range(5):
        world.reconcile()
        assert [c.type for c in world.status.conditions] == [
            "Available",
            "Progressing",
            "UpdateInProgress",
            "Ready",
        ]
        for condition in world.status.conditions:
            assert condition.status in ("True", "False")
            assert condition.reason
            assert condition.message
            assert condition.observed_generation == 1
        world.kubelet()


def test_last_transition_time_moves_only_when_the_status_does() -> None:
    world = World(a_spec(2))
    world.reconcile()
    world.pass_time(5)
    world.kubelet()
    world.settle()
    became = world.condition("Available").last_transition_time
    assert became is not None
    assert became > START
    world.pass_time(60)
    world.edit(replicas=2, grace=5)
    world.reconcile()
    available = world.condition("Available")
    assert (available.observed_generation, available.last_transition_time) == (2, became)
    world.unready(pod_name(1))
    world.reconcile()
    assert world.condition("Available").last_transition_time == world.now


def test_the_message_names_the_group_and_says_the_first_cause() -> None:
    world = World(a_spec(3))
    world.settle()
    name = pod_name(2)
    unschedulable = Condition(type="PodScheduled", status="False", reason="Unschedulable", message="0/3 nodes: gpu")
    world.set_status(name, PodStatus(phase="Pending", conditions=(unschedulable,)), node="")
    world.reconcile()
    available = world.condition("Available")
    assert (available.status, available.reason) == ("False", "Unschedulable")
    for part in ("1 of 3 groups", "group 2", name, "0/3 nodes: gpu"):
        assert part in available.message


def test_a_crash_loop_is_named_with_its_exit_code() -> None:
    world = World(a_spec(1, recoveryPolicy="None"))
    world.settle()
    world.restart(pod_name(0))
    world.reconcile()
    assert "exited with code 1" in world.condition("Available").message


def test_what_the_server_refused_is_the_first_cause() -> None:
    world = World(a_spec(2))
    quota = ApiFailure("Forbidden", "exceeded quota: gpus")
    world.reconcile(lambda action: quota if isinstance(action, CreatePod) and action.identity.group == 1 else None)
    world.kubelet()
    world.reconcile(lambda action: quota if isinstance(action, CreatePod) else None)
    available = world.condition("Available")
    assert available.reason == "Forbidden"
    assert "group 1: exceeded quota: gpus" in available.message


def test_many_groups_are_counted_after_the_first_few() -> None:
    world = World(a_spec(50))
    world.reconcile()
    message = world.condition("Available").message
    assert "50 of 50 groups" in message
    assert "and 45 more" in message
    assert len(message) < 4096


def test_a_long_message_is_cut() -> None:
    world = World(a_spec(1))
    world.settle()
    blocked = Condition(type="PodScheduled", status="False", reason="Unschedulable", message="x" * 5000)
    world.set_status(pod_name(0), PodStatus(phase="Pending", conditions=(blocked,)))
    world.reconcile()
    assert len(world.condition("Available").message) < 1000


def test_messages_do_not_churn_while_nothing_happens() -> None:
    world = World(a_spec(2, grace=600))
    world.settle()
    world.restart(pod_name(1))
    world.reconcile()
    world.reconcile()
    first = world.status
    for _ in range(5):
        world.pass_time(20)
        world.reconcile()
    assert world.status == first
    assert "grace period ends at" in world.condition("Available").message


def test_the_label_selector_matches_exactly_one_pod_of_each_group() -> None:
    world = World(a_spec(3, a_role("decode", 2, workers=1), a_role("router", 2)))
    world.settle()
    wanted = dict(pair.split("=") for pair in world.status.label_selector.split(","))
    matched = [name for name, pod in world.pods.items() if wanted.items() <= pod.metadata.labels.items()]
    assert sorted(matched) == [pod_name(group, "decode") for group in range(3)]
    assert wanted[well_known.NAME] == NAME


def test_a_lost_or_wrong_label_is_put_right() -> None:
    world = World(a_spec(1, a_role("decode", 2)))
    world.settle()
    wanted = {name: pod.metadata.labels for name, pod in world.pods.items()}
    for name, pod in list(world.pods.items()):
        wrong = {**pod.metadata.labels, well_known.GROUP_LEADER: "true", well_known.ROLE: "x", "theirs": "kept"}
        del wrong[well_known.GROUP_NAME]
        metadata = msgspec.structs.replace(pod.metadata, labels=wrong)
        world.pods[name] = msgspec.structs.replace(pod, metadata=metadata)
    world.settle()
    assert {name: pod.metadata.labels for name, pod in world.pods.items()} == {
        name: {**own, "theirs": "kept"} for name, own in wanted.items()
    }


def test_a_group_counts_as_available_only_without_terminating_pods_of_the_minimum() -> None:
    world = World(a_spec(2, recoveryPolicy="None"))
    world.settle()
    world.delete_pod(pod_name(1))
    world.reconcile()
    assert (world.status.replicas, world.status.available_replicas) == (2, 1)


def test_counts_of_a_first_creation() -> None:
    world = World(a_spec(3))
    world.reconcile()
    assert (world.status.replicas, world.status.updated_replicas) == (0, 0)
    world.reconcile()
    status = world.status
    assert (status.replicas, status.updated_replicas, status.available_replicas) == (3, 3, 0)
    assert status.current_revision == status.update_revision


def test_an_invalid_spec_gets_a_condition_with_the_field_and_the_reason_and_keeps_the_counts() -> None:
    world = World(a_spec(2))
    world.settle()
    stored = ModelInfer(metadata=world.owner.metadata, status=world.status)
    broken = Violation("spec.template.roles[0].workerTemplate", "must be set")
    world.pass_time(5)
    status = invalid_status(stored, [broken], world.now)
    assert (status.available_replicas, status.replicas, status.groups) == (2, 2, world.status.groups)
    by_type = {condition.type: condition for condition in status.conditions}
    assert (by_type["Progressing"].status, by_type["Progressing"].reason) == ("False", "InvalidSpec")
    assert str(broken) in by_type["Progressing"].message
    assert by_type["Available"].status == "True", "its pods run on"
    again = ModelInfer(metadata=stored.metadata, status=status)
    world.pass_time(60)
    assert invalid_status(again, [broken], world.now) == status


def test_an_invalid_spec_from_the_start_is_not_available() -> None:
    stored = ModelInfer(metadata=World(a_spec()).owner.metadata)
    status = invalid_status(stored, [Violation("spec.replicas", "must be positive")], START)
    assert {c.type: c.status for c in status.conditions} == {
        "Available": "False",
        "Progressing": "False",
        "UpdateInProgress": "False",
        "Ready": "False",
    }


def test_the_status_is_the_same_whether_or_not_the_plan_was_carried_out() -> None:
    world = World(a_spec(2))
    assessment = world.decide()
    before = status_of(assessment, {})
    world.reconcile()
    assert world.status == before


def test_a_group_that_the_pass_takes_down_counts_as_down_and_the_next_pass_has_nothing_to_add() -> None:
    world = World(a_spec(3))
    world.settle()
    world.edit(image="v2")
    world.reconcile()
    told = world.status
    assert (told.available_replicas, told.current_replicas, told.updated_replicas) == (2, 2, 0)
    available = world.condition("Available")
    assert (available.status, available.reason) == ("False", "WaitingForTermination")
    assert pod_name(2) in available.message
    world.reconcile()
    assert world.status == told


def test_available_does_not_flicker_from_step_to_step_of_a_rollout() -> None:
    world = World(a_spec(3))
    world.settle()
    world.edit(image="v2")
    seen = []
    for _ in range(40):
        world.reconcile()
        seen.append(world.condition("Available").status)
        world.kubelet()
    assert "".join(word[0] for word in seen).count("FT") == 1
    assert world.status.updated_replicas == 3


def test_a_take_down_that_was_refused_is_told_with_the_servers_words() -> None:
    world = World(a_spec(2))
    world.settle()
    world.edit(image="v2")
    refused = ApiFailure("Forbidden", "no deletes today")
    world.reconcile(lambda action: refused if isinstance(action, DeletePod) else None)
    assert "no deletes today" in world.condition("Available").message
