"""Pods on simulated nodes live as the annotations of hack/controlplane/stages/pods.py say."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import pytest
from controlplane import ControlPlane


class Pods:
    """The pods of one namespace, as kubectl sees them."""

    def __init__(self, control_plane: ControlPlane, namespace: str) -> None:
        self._control_plane = control_plane
        self._namespace = namespace

    def create(self, name: str, *, init: bool = False, **annotations: str) -> None:
        """Keyword ready_after="1s" is the annotation kwok.stage/ready-after."""
        keys = {f"kwok.stage/{key.replace('_', '-')}": value for key, value in annotations.items()}
        spec: dict[str, Any] = {"containers": [{"name": "a", "image": "image"}, {"name": "b", "image": "image"}]}
        if init:
            spec["initContainers"] = [{"name": "prepare", "image": "image"}, {"name": "more", "image": "image"}]
        metadata = {"name": name, "annotations": keys}
        self.kubectl(
            "create", "-f-", input=json.dumps({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec})
        )

    def kubectl(self, *arguments: str, input: str | None = None) -> str:
        return self._control_plane.kubectl(f"--namespace={self._namespace}", *arguments, input=input)

    def annotate(self, name: str, annotation: str) -> None:
        self.kubectl("annotate", "pod", name, f"kwok.stage/{annotation}")

    def wait(self, name: str, condition: str) -> None:
        self.kubectl("wait", f"pod/{name}", f"--for={condition}", "--timeout=15s")

    def wait_until(self, name: str, is_so: Callable[[Any], bool]) -> None:
        deadline = time.monotonic() + 15.0
        while not is_so(self.status(name)):
            assert time.monotonic() < deadline, self.status(name)
            time.sleep(0.1)

    def status(self, name: str) -> Any:
        return json.loads(self.kubectl("get", "pod", name, "-o", "json"))["status"]


READY = "condition=Ready"
NOT_READY = "condition=Ready=False"


@pytest.fixture
def pods(control_plane: ControlPlane, namespace: str) -> Pods:
    return Pods(control_plane, namespace)


def test_a_pod_becomes_ready(pods: Pods) -> None:
    pods.create("pod", init=True)
    pods.wait("pod", READY)
    status = pods.status("pod")
    assert status["phase"] == "Running"
    assert status["podIP"] == status["podIPs"][0]["ip"]
    assert [c["ready"] for c in status["containerStatuses"]] == [True, True]
    assert [c["state"]["terminated"]["reason"] for c in status["initContainerStatuses"]] == ["Completed", "Completed"]
    conditions = {c["type"]: c["status"] for c in status["conditions"]}
    assert conditions == dict.fromkeys(["PodScheduled", "Initialized", "ContainersReady", "Ready"], "True")


def test_a_pod_is_ready_only_after_its_delay(pods: Pods) -> None:
    pods.create("pod", ready_after="3s")
    pods.wait("pod", "jsonpath={.status.phase}=Running")
    pods.wait("pod", NOT_READY)
    pods.wait("pod", READY)


def test_a_pod_that_is_never_ready_is_ready_once_the_annotation_goes(pods: Pods) -> None:
    pods.create("pod", never_ready="true")
    pods.wait("pod", "jsonpath={.status.phase}=Running")
    assert [c["ready"] for c in pods.status("pod")["containerStatuses"]] == [False, False]
    pods.annotate("pod", "never-ready-")
    pods.wait("pod", READY)


def test_an_image_that_cannot_be_pulled(pods: Pods) -> None:
    pods.create("pod", image_pull_error="true")
    pods.wait("pod", "jsonpath={.status.containerStatuses[0].state.waiting.reason}=ImagePullBackOff")
    status = pods.status("pod")
    assert status["phase"] == "Pending"
    assert status["containerStatuses"][0]["state"]["waiting"]["message"] == 'Back-off pulling image "image"'
    pods.annotate("pod", "image-pull-error-")
    pods.wait("pod", READY)


def test_an_init_container_that_fails_twice(pods: Pods) -> None:
    pods.create("pod", init=True, init_restarts="2", init_restart_after="2s")
    pods.wait("pod", "jsonpath={.status.initContainerStatuses[0].restartCount}=1")
    assert pods.status("pod")["phase"] == "Pending"
    pods.wait("pod", READY)
    first, second = pods.status("pod")["initContainerStatuses"]
    assert (first["restartCount"], second["restartCount"]) == (2, 0)
    assert first["lastState"]["terminated"]["exitCode"] == 1


def test_a_pod_fails(pods: Pods) -> None:
    pods.create("pod", fail_after="0s", exit_code="42", reason="OOMKilled")
    pods.wait("pod", "jsonpath={.status.phase}=Failed")
    status = pods.status("pod")
    assert status["reason"] == "OOMKilled"
    assert [c["state"]["terminated"]["exitCode"] for c in status["containerStatuses"]] == [42, 42]


def test_a_running_pod_is_made_to_fail(pods: Pods) -> None:
    pods.create("pod")
    pods.wait("pod", READY)
    pods.annotate("pod", "fail-after=0s")
    pods.wait("pod", "jsonpath={.status.phase}=Failed")
    pods.wait("pod", NOT_READY)


def test_a_pod_succeeds(pods: Pods) -> None:
    pods.create("pod", succeed_after="0s")
    pods.wait("pod", "jsonpath={.status.phase}=Succeeded")
    assert [c["state"]["terminated"]["exitCode"] for c in pods.status("pod")["containerStatuses"]] == [0, 0]


def test_a_container_is_restarted_and_recovers(pods: Pods) -> None:
    pods.create("pod", restart_after="100ms", exit_code="3", ready_again_after="4s")
    pods.wait("pod", "jsonpath={.status.containerStatuses[0].restartCount}=1")
    status = pods.status("pod")
    first, second = status["containerStatuses"]
    assert (first["ready"], second["ready"], second["restartCount"]) == (False, True, 0)
    assert first["lastState"]["terminated"]["exitCode"] == 3
    assert first["lastState"]["terminated"]["finishedAt"] == first["state"]["running"]["startedAt"]
    pods.wait("pod", READY)
    assert pods.status("pod")["containerStatuses"][0]["restartCount"] == 1


def test_a_container_crashes_over_and_over(pods: Pods) -> None:
    pods.create("pod", crash_loop="true", restart_every="200ms")
    pods.wait("pod", "jsonpath={.status.containerStatuses[0].state.waiting.reason}=CrashLoopBackOff")
    pods.wait_until("pod", lambda status: status["containerStatuses"][0]["restartCount"] >= 3)
    first = pods.status("pod")["containerStatuses"][0]
    assert first["state"]["waiting"]["reason"] == "CrashLoopBackOff"
    assert "finishedAt" in first["lastState"]["terminated"]
    pods.annotate("pod", "crash-loop-")
    pods.wait("pod", READY)


def test_an_init_container_of_a_running_pod_is_restarted(pods: Pods) -> None:
    pods.create("pod", init=True)
    pods.wait("pod", READY)
    pods.annotate("pod", "init-restart-now=1")
    pods.wait("pod", "jsonpath={.status.initContainerStatuses[0].restartCount}=1")
    assert "finishedAt" in pods.status("pod")["initContainerStatuses"][0]["lastState"]["terminated"]
    pods.wait("pod", READY)


def test_readiness_is_lost_without_a_restart(pods: Pods) -> None:
    pods.create("pod")
    pods.wait("pod", READY)
    pods.annotate("pod", "unready-after=0s")
    pods.wait("pod", NOT_READY)
    assert pods.status("pod")["containerStatuses"][0]["restartCount"] == 0
    pods.annotate("pod", "unready-after-")
    pods.wait("pod", READY)


def test_a_deleted_pod_is_gone_when_it_says(pods: Pods) -> None:
    pods.create("quick")
    pods.create("slow", terminate_after="4s")
    pods.wait("quick", READY)
    pods.wait("slow", READY)
    pods.kubectl("delete", "pod", "quick", "slow", "--wait=false")
    pods.wait("quick", "delete")
    assert "slow" in pods.kubectl("get", "pods")
    pods.wait("slow", "delete")
