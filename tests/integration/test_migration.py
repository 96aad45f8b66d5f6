"""docs/migrate: from other workloads to a ModelInfer without a moment in which no ready pod takes requests.

On the real API server, with the CRDs that the peers publish. LWS's and kthena's controllers do not run here: pods are
made as they make them. A StatefulSet's own controller does run.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import yaml
from click.testing import CliRunner
from controlplane import ControlPlane
from peer_crds import served
from user import User, is_ready

from modelinfer_controller.kubectl.cli.main import plugin

TRAFFIC = {"traffic": "chat"}
POD: dict[str, Any] = {"containers": [{"name": "vllm", "image": "vllm"}]}
LABELLED_POD: dict[str, Any] = {"metadata": {"labels": TRAFFIC}, "spec": POD}
LEADER_WORKER_SET: dict[str, Any] = {
    "apiVersion": "leaderworkerset.x-k8s.io/v1",
    "kind": "LeaderWorkerSet",
    "metadata": {"name": "vllm"},
    "spec": {
        "replicas": 2,
        "startupPolicy": "LeaderCreated",
        "leaderWorkerTemplate": {
            "size": 2,
            "restartPolicy": "RecreateGroupOnPodRestart",
            "leaderTemplate": LABELLED_POD,
            "workerTemplate": {"spec": POD},
        },
    },
}
MODEL_SERVING: dict[str, Any] = {
    "apiVersion": "workload.serving.volcano.sh/v1alpha1",
    "kind": "ModelServing",
    "metadata": {"name": "vllm"},
    "spec": {
        "replicas": 2,
        "schedulerName": "default-scheduler",
        "template": {
            "roles": [
                {
                    "name": "server",
                    "replicas": 1,
                    "workerReplicas": 1,
                    "entryTemplate": LABELLED_POD,
                    "workerTemplate": {"spec": POD},
                }
            ]
        },
    },
}
STATEFUL_SET: dict[str, Any] = {
    "apiVersion": "apps/v1",
    "kind": "StatefulSet",
    "metadata": {"name": "vllm"},
    "spec": {
        "replicas": 2,
        "serviceName": "vllm",
        "selector": {"matchLabels": {"app": "vllm"}},
        "template": {"metadata": {"labels": {"app": "vllm", **TRAFFIC}}, "spec": POD},
    },
}


@pytest.fixture(scope="module", autouse=True)
def peers(managed_control_plane: ControlPlane) -> Iterator[None]:
    with served(managed_control_plane, "leader-worker-set", "kthena"):
        yield


def made_by_hand(user: User, name: str, labels: dict[str, str], *, serves: bool) -> None:
    metadata = {"name": name, "labels": {**labels, **(TRAFFIC if serves else {})}}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": POD}
    user.kubectl("apply", "-f-", input=json.dumps(pod))


def ready_for_traffic(user: User) -> set[str]:
    """Names of the ready pods that the Service of the clients selects."""
    return {
        name
        for name, pod in user.pods.items()
        if is_ready(pod) and TRAFFIC.items() <= pod["metadata"].get("labels", {}).items()
    }


def converted(user: User, kind: str, name: str) -> dict[str, Any]:
    """What the server stored, as a ModelInfer that it would take."""
    stored = user.kubectl("get", kind, "vllm", "-o", "json")
    answer = CliRunner().invoke(plugin, ["convert", "-f", "-"], input=stored)
    assert answer.exit_code == 0, answer.output
    made: dict[str, Any] = yaml.safe_load(answer.stdout)
    assert made["metadata"]["name"] == "vllm"
    made["metadata"]["name"] = name
    user.kubectl("apply", "--dry-run=server", "--validate=strict", "-f-", input=yaml.safe_dump(made))
    return made


def move(user: User, new: dict[str, Any], old: list[str], entries: list[str], remove: Callable[[int], None]) -> None:
    """Two groups, one by one. old, entries: pods that take requests. remove(n): take the old group n away."""
    name = new["metadata"]["name"]
    new["spec"]["replicas"] = 1
    user.apply(new)
    user.wait_settled(name)
    assert ready_for_traffic(user) == {*old, entries[0]}

    remove(1)
    user.wait(lambda: ready_for_traffic(user) == {old[0], entries[0]}, "one of each")
    user.kubectl("scale", "modelinfer", name, "--replicas=2")
    user.wait_settled(name)
    remove(0)
    user.wait(lambda: ready_for_traffic(user) == set(entries), "the new ones alone")


def test_from_leader_worker_set(user: User) -> None:
    user.kubectl("apply", "--validate=strict", "-f-", input=yaml.safe_dump(LEADER_WORKER_SET))
    for group in range(2):
        for index, name in enumerate((f"vllm-{group}", f"vllm-{group}-1")):
            labels = {
                "leaderworkerset.sigs.k8s.io/name": "vllm",
                "leaderworkerset.sigs.k8s.io/worker-index": str(index),
            }
            made_by_hand(user, name, labels, serves=index == 0)
    user.wait(lambda: ready_for_traffic(user) == {"vllm-0", "vllm-1"}, "the old leaders are ready")

    new = converted(user, "leaderworkerset", "vllm")
    entries = ["vllm-0-server-0-0", "vllm-1-server-0-0"]

    def remove(group: int) -> None:
        user.kubectl("delete", "pod", f"vllm-{group}", f"vllm-{group}-1", "--wait=true")

    move(user, new, ["vllm-0", "vllm-1"], entries, remove)
    user.kubectl("delete", "leaderworkerset", "vllm")
    assert ready_for_traffic(user) == set(entries)
    assert len(user.pods) == 4


def test_from_kthena(user: User) -> None:
    """Pods of both have the same names, so the ModelInfer needs another."""
    user.kubectl("apply", "--validate=strict", "-f-", input=yaml.safe_dump(MODEL_SERVING))
    old = ["vllm-0-server-0-0", "vllm-1-server-0-0"]
    for group, entry in enumerate(old):
        labels = {"modelserving.volcano.sh/name": "vllm", "modelserving.volcano.sh/role": "server"}
        made_by_hand(user, entry, labels, serves=True)
        made_by_hand(user, f"vllm-{group}-server-0-1", labels, serves=False)
    user.wait(lambda: ready_for_traffic(user) == set(old), "the old entry pods are ready")

    new = converted(user, "modelserving", "chat")
    entries = ["chat-0-server-0-0", "chat-1-server-0-0"]

    def remove(group: int) -> None:
        user.kubectl("delete", "pod", f"vllm-{group}-server-0-0", f"vllm-{group}-server-0-1", "--wait=true")

    move(user, new, old, entries, remove)
    user.kubectl("delete", "modelserving", "vllm")
    assert ready_for_traffic(user) == set(entries)
    assert len(user.pods) == 4


def test_from_stateful_set(user: User) -> None:
    user.kubectl("apply", "--validate=strict", "-f-", input=yaml.safe_dump(STATEFUL_SET))
    old = ["vllm-0", "vllm-1"]
    user.watch("pods")
    user.wait(lambda: ready_for_traffic(user) == set(old), "the StatefulSet's pods are ready")

    new = converted(user, "statefulset", "vllm")
    role = new["spec"]["template"]["roles"][0]["name"]
    entries = [f"vllm-{group}-{role}-0-0" for group in range(2)]
    move(user, new, old, entries, lambda left: _scale(user, left))
    user.kubectl("delete", "statefulset", "vllm")
    assert ready_for_traffic(user) == set(entries) == set(user.pods)


def _scale(user: User, replicas: int) -> None:
    user.kubectl("scale", "statefulset", "vllm", f"--replicas={replicas}")
