"""What a real kubelet writes into the status of pods, kept in fixtures/ as the measure of the simulated ones.

`make e2e ARGS="-k statuses --record"` writes the fixtures; without --record they are compared with what is written now.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from kubelet_statuses import fixture, fixture_names, shape
from real_user import RealUser, restarts
from user import is_ready
from watched import Object
from workloads import Manifest, container, template

FIXTURES = Path(__file__).parent / "fixtures"
SIDECAR_PORT = 8081


def waits_for(reason: str) -> Callable[[Object], bool]:
    def look(pod: Object) -> bool:
        statuses = pod["status"].get("containerStatuses", [])
        return any(each["state"].get("waiting", {}).get("reason") == reason for each in statuses)

    return look


def is_restarted(pod: Object) -> bool:
    return restarts(pod) == 1 and is_ready(pod)


def has_ended(pod: Object) -> bool:
    return pod["status"].get("phase") in ("Succeeded", "Failed")


def limited(main: Manifest) -> Manifest:
    return {**main, "resources": {"limits": {"memory": "64Mi"}}}


PODS: dict[str, Manifest] = {
    "ready": template(),
    "unready": template(),
    "restarted": template(),
    "killed": template(container(TERM_SECONDS="never")),
    "out-of-memory": template(limited(container())),
    "crash-loop": template(container("end", "3", "0s", ready=False)),
    "failed": template(restartPolicy="Never"),
    "succeeded": template(restartPolicy="Never"),
    "image-pull-error": template({**container(), "image": "localhost:1/nothing:1", "imagePullPolicy": "Always"}),
    "sidecar-restarted": template(sidecars=[container("idle", name="proxy", port=SIDECAR_PORT)]),
    "init-crash-loop": template(
        initContainers=[container("end", "1", "0s", name="prepare", ready=False)],
    ),
    "deleted": template(container(TERM_SECONDS="never"), grace=2),
}
# What is done to a pod once it is ready, and its state that is recorded.
ORDERS: dict[str, Callable[[RealUser, str], object]] = {
    "unready": lambda user, pod: user.ask(pod, "/unready"),
    "restarted": lambda user, pod: user.ask(pod, "/exit?code=3"),
    "killed": lambda user, pod: user.kill_containers(pod),
    "out-of-memory": lambda user, pod: user.ask(pod, "/oom"),
    "failed": lambda user, pod: user.ask(pod, "/exit?code=5"),
    "succeeded": lambda user, pod: user.ask(pod, "/exit?code=0"),
    "sidecar-restarted": lambda user, pod: user.ask(pod, "/exit?code=1", port=SIDECAR_PORT),
    "deleted": lambda user, pod: user.delete_pods(pod),
}
STATES: dict[str, Callable[[Object], bool]] = {
    "ready": is_ready,
    "unready": lambda pod: not is_ready(pod),
    "restarted": is_restarted,
    "killed": is_restarted,
    "out-of-memory": is_restarted,
    "crash-loop": waits_for("CrashLoopBackOff"),
    "failed": has_ended,
    "succeeded": has_ended,
    "image-pull-error": waits_for("ImagePullBackOff"),
    "sidecar-restarted": is_restarted,
    "init-crash-loop": lambda pod: any(
        each["restartCount"] and "waiting" in each["state"] for each in pod["status"].get("initContainerStatuses", [])
    ),
}


def test_the_statuses_of_pods_are_those_of_the_fixtures(user: RealUser, request: pytest.FixtureRequest) -> None:
    pods = [{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, **each} for name, each in PODS.items()]
    user.watch("pods")
    user.kubectl("apply", "-f-", input=json.dumps({"apiVersion": "v1", "kind": "List", "items": pods}))
    user.wait(lambda: all(is_ready(user.pods[name]) for name in ORDERS), "the pods that get orders are ready")
    for name, order in ORDERS.items():
        order(user, name)
    statuses = {name: user.wait(lambda name=name: first(user, name), f"the state of {name}") for name in PODS}
    seen = {name: normalized(status, user.namespace) for name, status in statuses.items()}
    if request.config.getoption("--record"):
        for name, status in seen.items():
            (FIXTURES / f"{name}.json").write_text(json.dumps(status, indent=1, sort_keys=True) + "\n")
    # Which of several patches brings what else changed is a matter of milliseconds: the whole is recorded, and what a
    # controller decides by is compared.
    assert {name: shape(status) for name, status in seen.items()} == {
        name: shape(fixture(name)) for name in fixture_names()
    }


def first(user: RealUser, name: str) -> Any:
    """The first status of the pod that is in its state, {} before. Of one that is deleted, the last."""
    for change in user.watch("pods").changes:
        if change.name == name:
            if name == "deleted" and change.type == "DELETED":
                return change.object["status"]
            if name != "deleted" and STATES[name](change.object) and was_ready(user, name, change.object):
                return change.object["status"]
    return {}


def was_ready(user: RealUser, name: str, pod: Object) -> bool:
    """Had the pod got its order, if there is one for it?"""
    version = int(pod["metadata"]["resourceVersion"])
    earlier = [each.object for each in user.watch("pods").changes if each.name == name]
    return name not in ORDERS or any(
        is_ready(each) and int(each["metadata"]["resourceVersion"]) < version for each in earlier
    )


def normalized(status: Any, namespace: str) -> Any:
    """Without what differs each time: times, addresses, identities."""
    match status:
        case dict():
            return {key: normalized(value, namespace) for key, value in status.items()}
        case list():
            return [normalized(value, namespace) for value in status]
        case str():
            text = re.sub(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", "<time>", status.replace(namespace, "<namespace>"))
            text = re.sub(r"\b10\.8[89]\.\d+\.\d+(:\d+)?", "<address>", text)
            text = re.sub(r"kube-api-access-\w+", "kube-api-access", text)
            text = re.sub(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", "<uid>", text)
            return re.sub(r"(containerd://|sha256:)?[0-9a-f]{64}", "<id>", text)
    return status
