"""The controller as it is shipped, in real pods: its image, the kustomization, leader election, and the quick start."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from controlplane import ControlPlane, ControlPlaneError
from images.controller import SIZE_LIMIT, Built
from real_user import container_processes
from walkthrough.cli import check

ROOT = Path(__file__).parents[3]
NAMESPACE = "--namespace=modelinfer-system"
SELECTOR = "--selector=app.kubernetes.io/name=modelinfer-controller"
EXAMPLE = ROOT / "manifests/examples/quickstart"


def pods(cluster: ControlPlane) -> list[dict[str, Any]]:
    """The controller's, but for those that are on their way out."""
    found = json.loads(cluster.kubectl("get", "pods", NAMESPACE, SELECTOR, "-ojson"))["items"]
    return [pod for pod in found if "deletionTimestamp" not in pod["metadata"]]


def holder(cluster: ControlPlane) -> str:
    return cluster.kubectl("get", "lease", "modelinfer-controller", NAMESPACE, "-ojsonpath={.spec.holderIdentity}")


def model_status(cluster: ControlPlane) -> dict[str, Any]:
    status = json.loads(cluster.kubectl("get", "modelinfer", "quickstart", "-ojson"))["status"]
    assert isinstance(status, dict)
    return status


def wait(condition: Callable[[], bool], what: str, timeout: float = 90) -> None:
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, f"after {timeout} s: {what}"
        time.sleep(0.2)


def is_updated(cluster: ControlPlane, pods_before: set[str]) -> bool:
    """All pods are new, and both groups are available at the update revision."""
    status = model_status(cluster)
    return not pods_before & model_pods(cluster) and (
        status.get("updatedReplicas"),
        status.get("availableReplicas"),
    ) == (2, 2)


def model_pods(cluster: ControlPlane) -> set[str]:
    """The UIDs of the quick start's pods."""
    selector = "--selector=modelinfer.volcano.sh/name=quickstart"
    return set(cluster.kubectl("get", "pods", selector, "-ojsonpath={.items[*].metadata.uid}").split())


def test_the_image_is_small_and_not_for_root(image: Built) -> None:
    assert image.own_size < SIZE_LIMIT
    assert image.contents.config["architecture"] == image.platform
    assert image.contents.config["config"]["User"] == "65532:65532"


def test_building_it_leaves_no_mount_behind(image: Built) -> None:
    """And no process: buildah is none that stays."""
    folder = image.archive.parent
    assert str(folder / "store") not in Path("/proc/mounts").read_text()
    running = subprocess.run(["pgrep", "-f", f"buildah --root={folder}"], capture_output=True, text=True, check=False)
    assert running.stdout == ""


def test_both_replicas_are_ready_and_on_different_nodes_without_zones(cluster: ControlPlane) -> None:
    replicas = pods(cluster)
    assert len({pod["spec"]["nodeName"] for pod in replicas}) == len(replicas) == 2
    for pod in replicas:
        (container,) = pod["status"]["containerStatuses"]
        assert (container["ready"], container["restartCount"]) == (True, 0)
    assert any(holder(cluster).startswith(pod["metadata"]["name"]) for pod in replicas)


def test_it_runs_restricted_as_nobody_on_a_read_only_root(cluster: ControlPlane) -> None:
    execute = ("exec", pods(cluster)[0]["metadata"]["name"], NAMESPACE, "--", "/app/bin/python", "-c")
    assert cluster.kubectl(*execute, "import os; print(os.getuid(), os.getgid())") == "65532 65532\n"
    with pytest.raises(ControlPlaneError, match="Read-only file system"):
        cluster.kubectl(*execute, "open('/tmp/anything', 'w')")
    enforced = "-ojsonpath={.metadata.labels.pod-security\\.kubernetes\\.io/enforce}"
    assert cluster.kubectl("get", "namespace", "modelinfer-system", enforced) == "restricted"


def test_the_network_policy_is_accepted_and_selects_the_controller(cluster: ControlPlane) -> None:
    """These nodes' network plugin does not enforce policies: what one lets through is not tested."""
    cluster.kubectl("apply", "-f", str(ROOT / "manifests/components/network-policy/network-policy.yaml"))
    policy = json.loads(cluster.kubectl("get", "networkpolicy", "modelinfer-controller", NAMESPACE, "-ojson"))
    wanted = policy["spec"]["podSelector"]["matchLabels"].items()
    assert all(wanted <= pod["metadata"]["labels"].items() for pod in pods(cluster))
    assert all(pod["status"]["containerStatuses"][0]["ready"] for pod in pods(cluster))


def test_another_finishes_an_update_whose_leader_is_killed(cluster: ControlPlane, record_property: Any) -> None:
    cluster.kubectl("apply", "-k", str(EXAMPLE))
    cluster.kubectl("wait", "modelinfer/quickstart", "--for=condition=Available", "--timeout=90s")
    before, leader = model_pods(cluster), holder(cluster)
    (killed,) = (pod for pod in pods(cluster) if leader.startswith(pod["metadata"]["name"]))
    second = (EXAMPLE / "modelinfer.yaml").read_text().replace("tiny-1", "tiny-2")
    cluster.kubectl("apply", "-f-", input=second)
    wait(lambda: len(before & model_pods(cluster)) < len(before), "the update has begun")
    assert before & model_pods(cluster), "the update is over before the leader is killed"
    start = time.monotonic()
    for pid in container_processes(killed["metadata"]["uid"]):
        os.kill(pid, signal.SIGKILL)
    wait(lambda: holder(cluster) != leader, "another leads")
    led = time.monotonic() - start
    wait(lambda: is_updated(cluster, before), "the update is over")
    finished = time.monotonic() - start
    print(f"\nleader killed in an update: another led after {led:.1f} s, the update was over after {finished:.1f} s")
    record_property("seconds_to_lead", round(led, 1))
    assert led < 20, "the lease is 15 s, and is looked at every 2 s"
    cluster.kubectl("delete", "-k", str(EXAMPLE))
    wait(lambda: not model_pods(cluster), "the example is gone")


def test_the_quick_start_tells_what_happens(cluster: ControlPlane) -> None:
    assert list(check(cluster)) == []
