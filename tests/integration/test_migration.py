"""docs/migrate: from a LeaderWorkerSet to a ModelInfer without a moment in which no ready pod takes requests.

On the real API server with LWS's published CRD. LWS's controller does not run here: its pods are made as it makes them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from click.testing import CliRunner
from controlplane import ControlPlane
from published_crds import crd_files
from user import User, is_ready

from modelinfer_controller.kubectl.cli.main import plugin

CRD = "leaderworkersets.leaderworkerset.x-k8s.io"
TRAFFIC = {"traffic": "chat"}
POD: dict[str, Any] = {"containers": [{"name": "vllm", "image": "vllm"}]}
OLD: dict[str, Any] = {
    "apiVersion": "leaderworkerset.x-k8s.io/v1",
    "kind": "LeaderWorkerSet",
    "metadata": {"name": "vllm"},
    "spec": {
        "replicas": 2,
        "startupPolicy": "LeaderCreated",
        "leaderWorkerTemplate": {
            "size": 2,
            "restartPolicy": "RecreateGroupOnPodRestart",
            "leaderTemplate": {"metadata": {"labels": TRAFFIC}, "spec": POD},
            "workerTemplate": {"spec": POD},
        },
    },
}


@pytest.fixture(scope="module")
def leader_worker_sets(managed_control_plane: ControlPlane) -> Iterator[None]:
    for path in crd_files("leader-worker-set"):
        managed_control_plane.kubectl("apply", "--server-side", "-f", str(path))
    managed_control_plane.kubectl("wait", f"crd/{CRD}", "--for=condition=Established", "--timeout=60s")
    yield
    managed_control_plane.kubectl("delete", f"crd/{CRD}", "--wait=false")


def pods_of_group(group: int) -> list[dict[str, Any]]:
    """As LWS makes them: the leader has the set's and the group's name, a worker its number after it."""
    return [
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {
                "name": f"vllm-{group}" if index == 0 else f"vllm-{group}-{index}",
                "labels": {
                    "leaderworkerset.sigs.k8s.io/name": "vllm",
                    "leaderworkerset.sigs.k8s.io/group-index": str(group),
                    "leaderworkerset.sigs.k8s.io/worker-index": str(index),
                    **(TRAFFIC if index == 0 else {}),
                },
            },
            "spec": POD,
        }
        for index in range(2)
    ]


def ready_for_traffic(user: User) -> set[str]:
    """Names of the ready pods that the Service of the clients selects."""
    return {
        name
        for name, pod in user.pods.items()
        if is_ready(pod) and TRAFFIC.items() <= pod["metadata"].get("labels", {}).items()
    }


@pytest.mark.usefixtures("leader_worker_sets")
def test_traffic_moves_without_a_gap(user: User) -> None:
    user.kubectl("apply", "--validate=strict", "-f-", input=yaml.safe_dump(OLD))
    for pod in (*pods_of_group(0), *pods_of_group(1)):
        user.kubectl("apply", "-f-", input=json.dumps(pod))
    user.wait(lambda: ready_for_traffic(user) == {"vllm-0", "vllm-1"}, "the old leaders are ready")

    stored = json.loads(user.kubectl("get", "leaderworkerset", "vllm", "-o", "json"))
    converted = CliRunner().invoke(plugin, ["convert", "-f", "-"], input=json.dumps(stored))
    assert converted.exit_code == 0
    new = yaml.safe_load(converted.stdout)
    assert new["metadata"]["name"] == "vllm"
    user.kubectl("apply", "--dry-run=server", "--validate=strict", "-f-", input=converted.stdout)

    new["spec"]["replicas"] = 1
    user.apply(new)
    user.wait_settled("vllm")
    assert ready_for_traffic(user) == {"vllm-0", "vllm-1", "vllm-0-server-0-0"}

    user.kubectl("delete", "pod", "vllm-1", "vllm-1-1", "--wait=true")
    assert ready_for_traffic(user) == {"vllm-0", "vllm-0-server-0-0"}
    user.kubectl("scale", "modelinfer", "vllm", "--replicas=2")
    user.wait_settled("vllm")
    user.kubectl("delete", "pod", "vllm-0", "vllm-0-1", "--wait=true")
    user.kubectl("delete", "leaderworkerset", "vllm")
    assert ready_for_traffic(user) == {"vllm-0-server-0-0", "vllm-1-server-0-0"}
    assert len(user.pods) == 4
