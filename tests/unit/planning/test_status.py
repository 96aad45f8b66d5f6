"""Status: counts, revisions, conditions and their times, all from the same observation."""

import msgspec
import pytest

from modelinfer_controller.api import well_known
from modelinfer_controller.api.core import Condition, PodStatus
from modelinfer_controller.api.status import ApiFailure, ModelInfer
from modelinfer_controller.api.validation import Violation
from modelinfer_controller.planning.actions import CreatePod, CreateRevision, CreateService, DeletePod
from modelinfer_controller.planning.conditions import waiting_text
from modelinfer_controller.planning.status import invalid_status, status_of, urgent_part
from modelinfer_controller.planning.update import Waiting
from modelinfer_controller.planning.update_rules import Rule
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


def test_a_pod_that_cannot_go_because_its_node_is_lost_says_what_to_do() -> None:
    world = World(a_spec(2))
    world.settle()
    name = pod_name(1)
    world.set_status(
        name,
        PodStatus(
            phase="Running",
            conditions=(
                Condition(type="Ready", status="False", last_transition_time=world.now),
                Condition(type="ContainersReady", status="True"),
            ),
        ),
        node="node-9",
    )
    world.delete_pod(name)
    world.reconcile()
    available = world.condition("Available")
    assert available.reason == "NodeNotReady"
    for part in (
        f"waits for pod {name} to be gone",
        "node node-9",
        "give it the taint node.kubernetes.io/out-of-service",
    ):
        assert part in available.message


def test_what_the_server_refuses_while_all_groups_are_available_is_still_said() -> None:
    world = World(a_spec(2, a_role(workers=1)))
    world.settle()
    del world.services[pod_name(1)]
    denied = ApiFailure("Forbidden", "not today", "create Service m-1-decode-0-0")
    world.reconcile(lambda action: denied if isinstance(action, CreateService) else None)
    assert world.condition("Available").status == "True"
    progressing = world.condition("Progressing")
    assert (progressing.status, progressing.reason) == ("True", "Forbidden")
    assert progressing.message == "group 1: create Service m-1-decode-0-0: not today"


def test_a_refusal_that_is_of_no_group_is_said_without_one() -> None:
    world = World(a_spec(2))
    world.settle()
    world.edit(image="v2", partition=2)
    denied = ApiFailure("Forbidden", "not today")
    world.reconcile(lambda action: denied if isinstance(action, CreateRevision) else None)
    assert world.condition("Progressing").message == "not today"


@pytest.mark.parametrize(
    ("waiting", "text"),
    [
        (Waiting(1, Rule.AVAILABILITY, 1, 1), "1 group is available and 1 must stay so (maxUnavailable)"),
        (Waiting(1, Rule.AVAILABILITY, 2, 2), "2 groups are available and 2 must stay so (maxUnavailable)"),
        (Waiting(1, Rule.PACE, 1, 2), "1 of 2 updated groups that may be unavailable is (maxUnavailable)"),
        (Waiting(1, Rule.PACE, 2, 2), "2 of 2 updated groups that may be unavailable are (maxUnavailable)"),
        (Waiting(1, Rule.PACE, 3, 2), "3 updated groups that may be unavailable are (maxUnavailable)"),
        (Waiting(1, Rule.PARTITION, 1, 2), "partition 2 keeps it"),
        (Waiting(1, Rule.PAUSED), "spec.paused is true"),
        (Waiting(1, Rule.HALTED), "the update has failed (progressDeadlineSeconds)"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_why_a_group_waits_in_words_of_the_api(waiting: Waiting, text: str) -> None:
    assert waiting_text(waiting) == text


def test_a_decision_says_which_groups_wait_by_ordinal() -> None:
    world = World(a_spec(3, partition=1))
    world.settle()
    world.edit(image="v2")
    waiting = world.decide().update.waiting_by_ordinal()
    assert {ordinal: one.rule for ordinal, one in waiting.items()} == {1: Rule.PACE, 0: Rule.PARTITION}


def urgent(world: World) -> tuple[object, ...]:
    world.reconcile()
    return urgent_part(world.status)


def test_a_recreation_and_a_verdict_are_urgent_and_counts_and_messages_are_not() -> None:
    world = World(a_spec(3, a_role(replicas=2), gang={"minRoleReplicas": {"decode": 1}}))
    world.settle()
    settled = urgent(world)
    world.unready(pod_name(1))
    assert urgent(world) == settled, "the group is still available"
    world.unready(pod_name(1, instance=1))
    unavailable = urgent(world)
    assert unavailable != settled
    world.unready(pod_name(2))
    world.unready(pod_name(2, instance=1))
    before = world.status
    assert urgent(world) == unavailable, "one group more is a count and a message"
    assert world.status != before
    world.finish(pod_name(0))
    assert urgent(world) != unavailable
