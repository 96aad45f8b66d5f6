"""What decisions see of a pod: which restarts count, when it failed, why it is not ready."""

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from modelinfer_controller.api import well_known
from modelinfer_controller.api.core import Pod
from modelinfer_controller.planning.first_cause import first_cause
from modelinfer_controller.planning.pod_view import PodView, view_pod

BORN = datetime(2026, 1, 1, tzinfo=UTC)


def at(seconds: float) -> str:
    return (BORN + timedelta(seconds=seconds)).isoformat()


def ended(code: int = 1, seconds: float = 10, reason: str = "Error", **more: Any) -> dict[str, Any]:
    return {"terminated": {"exitCode": code, "reason": reason, "finishedAt": at(seconds), **more}}


def waiting(reason: str, message: str = "") -> dict[str, Any]:
    return {"waiting": {"reason": reason, "message": message}}


def container(restarts: int = 0, *, name: str = "main", ready: bool = False, **states: Any) -> dict[str, Any]:
    return {"name": name, "restartCount": restarts, "ready": ready, **states}


def pod_of(
    *containers: dict[str, Any],
    name: str = "m-0-decode-0-0",
    phase: str = "Running",
    conditions: tuple[dict[str, Any], ...] = (),
    annotations: dict[str, str] | None = None,
    spec: dict[str, Any] | None = None,
    status: dict[str, Any] | None = None,
    **metadata: Any,
) -> Pod:
    body = {
        "metadata": {"name": name, "creationTimestamp": at(0), "annotations": annotations or {}, **metadata},
        "spec": {"nodeName": "node-1", **(spec or {})},
        "status": {"phase": phase, "conditions": list(conditions), "containerStatuses": list(containers)}
        | (status or {}),
    }
    return msgspec.json.decode(msgspec.json.encode(body), type=Pod)


def view(*containers: dict[str, Any], **fields: Any) -> PodView:
    seen = view_pod("m", pod_of(*containers, **fields))
    assert seen is not None
    return seen


def message(seen: PodView) -> str:
    assert seen.cause is not None
    return f"{seen.cause.reason}: {seen.cause.message}"


RESTART_TO_RESIZE = {
    "containers": [{"name": "main", "resizePolicy": [{"resourceName": "memory", "restartPolicy": "RestartContainer"}]}]
}


def test_a_restart_counts_and_says_when_it_was() -> None:
    seen = view(container(1, lastState=ended(seconds=30)))
    assert seen.has_new_restarts
    assert seen.failed_at == BORN + timedelta(seconds=30)


@pytest.mark.parametrize("code", [0, 137, 143])
def test_a_restart_that_a_resize_asked_for_never_counts(code: int) -> None:
    seen = view(container(1, lastState=ended(code)), spec=RESTART_TO_RESIZE, generation=2)
    assert not seen.has_new_restarts
    assert seen.failed_at is None


def test_a_restart_in_the_middle_of_a_resize_never_counts_where_pods_have_no_generation() -> None:
    resizing = {"type": "PodResizeInProgress", "status": "True"}
    assert not view(container(1, lastState=ended(0)), spec=RESTART_TO_RESIZE, conditions=(resizing,)).has_new_restarts


@pytest.mark.parametrize(
    ("spec", "generation", "end"),
    [
        (RESTART_TO_RESIZE, 1, ended(0)),  # nobody resized it
        (RESTART_TO_RESIZE, 2, ended(137, reason="OOMKilled")),  # the resize did not help
        (RESTART_TO_RESIZE, 2, ended(1)),
        ({}, 2, ended(0)),  # it is resized without a restart
    ],
)
def test_other_restarts_of_a_pod_that_can_be_resized_count(spec: Any, generation: int, end: Any) -> None:
    assert view(container(1, lastState=end), spec=spec, generation=generation).has_new_restarts


def test_one_resize_excuses_one_restart() -> None:
    assert view(container(2, lastState=ended(137)), spec=RESTART_TO_RESIZE, generation=2).restart_count == 1


def test_restarts_of_containers_that_the_template_lists_never_count() -> None:
    ignored = {well_known.IGNORE_RESTARTS_OF: "istio-proxy, log-shipper"}
    sidecars = [container(3, name=name, lastState=ended()) for name in ("istio-proxy", "log-shipper")]
    assert not view(*sidecars, annotations=ignored).has_new_restarts
    assert view(*sidecars, annotations=ignored).failed_at is None
    assert view(*sidecars, container(1, lastState=ended()), annotations=ignored).restart_count == 1


def test_restarts_of_ephemeral_containers_never_count() -> None:
    debugger = {"ephemeralContainerStatuses": [container(4, name="debugger", lastState=ended())]}
    assert not view(container(ready=True), status=debugger).has_new_restarts


@pytest.mark.parametrize("reason", ["StartError", "ContainerCannotRun"])
def test_a_container_that_never_started_is_no_failure_and_is_named(reason: str) -> None:
    text = "failed to create containerd task: " + "x" * 900 + ' exec: "vlm": executable file not found in $PATH'
    end = ended(128, reason=reason, message=text)
    loop = view(container(4, state=waiting("CrashLoopBackOff", "back-off 40s restarting"), lastState=end))
    trying = view(container(3, state=waiting("RunContainerError", text), lastState=end))
    assert not loop.has_new_restarts
    assert message(loop) == message(trying)
    assert message(loop).startswith("RunContainerError: container main cannot be started: …")
    assert message(loop).endswith('exec: "vlm": executable file not found in $PATH')
    assert len(message(loop)) < 250


def test_a_container_that_starts_at_last_and_then_fails_counts() -> None:
    assert not view(container(3, state={"running": {}}, lastState=ended(128, reason="StartError"))).has_new_restarts
    assert view(container(4, state={"running": {}}, lastState=ended(1))).has_new_restarts


def test_restarts_that_the_kubelet_has_forgotten_make_the_acknowledgement_stale() -> None:
    acknowledged = {well_known.ACKNOWLEDGED_RESTARTS: "5"}
    assert view(container(0), annotations=acknowledged).has_stale_acknowledgement
    known = view(container(5, lastState=ended()), annotations=acknowledged)
    assert not known.has_stale_acknowledgement
    assert not known.has_new_restarts


@pytest.mark.parametrize(
    ("policy", "code", "phase"),
    [
        ("Never", 1, "Failed"),
        ("Never", 0, "Failed"),
        ("OnFailure", 0, "Failed"),
        ("OnFailure", 1, ""),
        ("Always", 1, ""),
    ],
)
def test_a_pod_with_a_container_that_nobody_restarts_has_failed(policy: str, code: int, phase: str) -> None:
    seen = view(container(state=ended(code, 20)), container(name="other", ready=True), spec={"restartPolicy": policy})
    assert seen.finished_phase == phase
    if phase:
        assert seen.failed_at == BORN + timedelta(seconds=20)
        assert f"container main exited with code {code}" in message(seen)


def test_a_crash_loop_has_one_text_in_all_its_states() -> None:
    end = ended(1, 40)
    states = [
        container(2, state=waiting("CrashLoopBackOff", "back-off 20s restarting failed container=main"), lastState=end),
        container(3, state=waiting("CrashLoopBackOff", "back-off 40s restarting failed container=main"), lastState=end),
        container(3, state={"running": {}}, lastState=end),
        container(3, state=end, lastState=ended(1, 20)),
    ]
    assert {message(view(state)) for state in states} == {
        "CrashLoopBackOff: container main fails again and again; it last exited with code 1 (Error)"
    }


def test_a_first_restart_says_how_the_container_ended() -> None:
    seen = view(container(1, state={"running": {}}, lastState=ended(137, reason="OOMKilled")))
    assert message(seen) == "ContainerRestarted: container main exited with code 137 (OOMKilled)"


def test_a_finished_pod_says_how_its_container_ended() -> None:
    assert message(view(container(state=ended(2)), phase="Failed")) == (
        "PodFailed: container main exited with code 2 (Error)"
    )
    evicted = {"reason": "Evicted", "message": "The node was low on resource: memory."}
    assert message(view(phase="Failed", status=evicted)) == "Evicted: The node was low on resource: memory."


def test_a_pod_on_a_dead_node_names_the_node_and_since_when() -> None:
    conditions = (
        {"type": "Ready", "status": "False", "lastTransitionTime": at(60)},
        {"type": "ContainersReady", "status": "True", "lastTransitionTime": at(5)},
    )
    seen = view(container(ready=True), conditions=conditions)
    assert message(seen) == "NodeNotReady: node node-1 has been unreachable since 2026-01-01T00:01:00Z"
    gone = view(container(ready=True), conditions=conditions, deletionTimestamp=at(400))
    assert (gone.node, gone.unreachable_since) == ("node-1", BORN + timedelta(seconds=60))


def test_a_readiness_gate_that_is_not_met_is_no_dead_node() -> None:
    conditions = (
        {"type": "Ready", "status": "False", "reason": "ReadinessGatesNotReady", "lastTransitionTime": at(60)},
        {"type": "ContainersReady", "status": "True", "lastTransitionTime": at(5)},
    )
    assert view(container(ready=True), conditions=conditions).unreachable_since is None


@pytest.mark.parametrize(
    ("reason", "said"),
    [
        ("EvictionByEvictionAPI", "was evicted: why"),
        ("PreemptionByScheduler", "was preempted for a pod of higher priority: why"),
        ("DeletionByTaintManager", "was evicted by a taint of node node-1: why"),
        ("SomethingNew", "was disrupted (SomethingNew): why"),
    ],
)
def test_an_evicted_pod_was_not_simply_deleted(reason: str, said: str) -> None:
    disrupted = {"type": "DisruptionTarget", "status": "True", "reason": reason, "message": "why"}
    assert view(conditions=(disrupted,), deletionTimestamp=at(50)).end == said
    assert view(deletionTimestamp=at(50)).end == ""


def said_of(*pods: PodView) -> str:
    cause = first_cause(pods)
    assert cause is not None
    return cause.message


def test_the_first_failure_in_time_is_the_cause_and_siblings_are_named_after_it() -> None:
    entry = view(container(1, lastState=ended(1, 12)))
    worker = view(container(1, lastState=ended(137, 11, "OOMKilled")), name="m-0-decode-0-1")
    other = view(container(1, lastState=ended(1, 13)), name="m-0-decode-0-2")
    assert said_of(entry, worker, other) == (
        "pod m-0-decode-0-1: ContainerRestarted: container main exited with code 137 (OOMKilled); "
        "after it m-0-decode-0-0 and 1 more failed"
    )


@pytest.mark.parametrize("reason", ["OOMKilled", "Error"])
def test_in_one_second_a_kill_comes_before_an_exit(reason: str) -> None:
    entry = view(container(1, lastState=ended(1, 12)))
    worker = view(container(1, lastState=ended(137, 12, reason)), name="m-0-decode-0-1")
    assert said_of(entry, worker).startswith("pod m-0-decode-0-1: ")


def test_a_pod_that_still_pulls_comes_before_the_siblings_that_crash_for_it() -> None:
    entry = view(container(state=waiting("ContainerCreating")), phase="Pending")
    worker = view(container(2, lastState=ended(1)), name="m-0-decode-0-1")
    assert entry.waits_to_start
    assert said_of(worker, entry) == (
        "pod m-0-decode-0-0: ContainerCreating: it still pulls its image or mounts its volumes; "
        "after it m-0-decode-0-1 failed"
    )
    assert first_cause([entry]) is None


def test_a_message_is_short_and_on_one_line_wherever_it_goes() -> None:
    seen = view(phase="Failed", status={"reason": "Evicted", "message": "\x1b[0m\n" + "ä" * 2000})
    assert seen.cause is not None
    assert len(seen.cause.message.encode()) <= 400
    assert seen.cause.message.startswith(r"\x1b[0m ä")


def test_control_characters_are_escaped_and_messages_stay_on_one_line() -> None:
    text = "\x1b[31mno\x00\nspace\x7f"
    assert said_of(view(container(state=waiting("CreateContainerError", text)), phase="Pending")) == (
        r"pod m-0-decode-0-0: CreateContainerError: container main: \x1b[31mno\x00 space\x7f"
    )


def test_annotations_that_somebody_edited_are_as_good_as_none() -> None:
    notes = {well_known.FAILED_AT: "yesterday", well_known.INCARNATION: "-1", well_known.ACKNOWLEDGED_RESTARTS: "x"}
    seen = view(container(), annotations=notes)
    assert (seen.failed_at, seen.has_failure_note, seen.incarnation, seen.acknowledged_restarts) == (None, False, 0, 0)


@pytest.mark.parametrize(("acknowledged", "is_stale"), [("1", False), ("2", False), ("3", True)])
def test_more_acknowledged_restarts_than_there_are_would_hide_the_next(acknowledged: str, is_stale: bool) -> None:
    seen = view(container(2, ready=True), annotations={well_known.ACKNOWLEDGED_RESTARTS: acknowledged})
    assert seen.has_stale_acknowledgement is is_stale


def test_a_container_that_waits_because_it_cannot_be_started_shows_the_end_of_what_the_runtime_says() -> None:
    seen = view(container(state=waiting("RunContainerError", "long story " * 40 + "no such file")), phase="Pending")
    assert message(seen).startswith("RunContainerError: container main: it cannot be started: …")
    assert message(seen).endswith("no such file")


def test_of_several_ends_the_one_that_failed_is_named() -> None:
    containers = (container(name="a", state=ended(0)), container(name="b", state=ended(3)))
    seen = view(*containers, phase="Failed")
    assert message(seen) == "PodFailed: container b exited with code 3 (Error)"


@pytest.mark.parametrize("name", ["m-0-decode-0", "m-x-decode-0-0", "other-0-decode-0-0"])
def test_a_pod_with_a_name_that_none_of_ours_has_has_no_view(name: str) -> None:
    assert view_pod("m", pod_of(container(), name=name)) is None


def test_a_pod_in_another_state_that_says_the_same_is_told_from_one_that_does_not() -> None:
    one, other = view(container(ready=True)), view(container(ready=True))
    assert one is not other
    assert one.says_same(other)
    assert not one.says_same(view(container(1, ready=True)))
