"""From the first release to this one: its CRD, and what its controller made, under the present CRD and controller."""

from __future__ import annotations

import json
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from controller_process import ACCOUNT, NAMESPACE, install, wait_until_served
from controlplane import ControlPlane, Settings
from controlplane.processes import spawn
from models import DOMAIN, model, role
from running_command import RunningCommand
from user import User

# What the first release did not know.
LIFE = {
    "minReadySeconds": 1,
    "progressDeadlineSeconds": 600,
    "paused": True,
    "rolloutStrategy": {"rollingUpdateConfiguration": {"onFailure": "Rollback"}},
    "template": {"drain": {"timeoutSeconds": 30}, "startupPolicy": "EntryReady"},
}
FIRST_RELEASE = Path(__file__).parent / "releases" / "0.1.0.tar.gz"
MANIFESTS = Path(__file__).parents[2] / "manifests"


@pytest.fixture(scope="module")
def first_release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its sources and manifests."""
    folder = tmp_path_factory.mktemp("release")
    with tarfile.open(FIRST_RELEASE) as tar:
        tar.extractall(folder, filter="data")
    return folder


@pytest.fixture
def cluster() -> Iterator[ControlPlane]:
    with ControlPlane.start(Settings(nodes=3)) as control_plane:
        yield control_plane


def test_an_upgrade_from_the_first_release_restarts_no_pod(cluster: ControlPlane, first_release: Path) -> None:
    cluster.kubectl("apply", "-f", str(first_release / "manifests" / "crd"))
    wait_until_served(cluster)
    cluster.kubectl("apply", "-k", str(first_release / "manifests" / "rbac"))
    cluster.create_namespace("upgraded")
    user = User(cluster, "upgraded")
    kubeconfig = cluster.service_account_kubeconfig(NAMESPACE, ACCOUNT)
    former = spawn(
        [
            "env",
            f"PYTHONPATH={first_release}",
            sys.executable,
            "-m",
            "modelinfer_controller",
            "run",
            f"--kubeconfig={kubeconfig}",
        ],
        cluster.logs / "first-release.log",
    )
    try:
        user.apply(model("mi", role(workers=1), replicas=2))
        user.apply(model("single", replicas=1))
        user.wait_settled("mi")
        user.wait_settled("single")
    finally:
        former.terminate()
        former.wait(timeout=30)
    before, revisions = user.uids, set(user.revisions)
    versions = {name: pod["metadata"]["resourceVersion"] for name, pod in user.pods.items()}
    assert before

    install(cluster, MANIFESTS / "crd")
    present = RunningCommand(cluster)
    try:
        user.kubectl("scale", "modelinfer", "single", "--replicas=2")
        user.wait_settled("single")
        user.wait_settled("mi")
        assert user.uids.items() >= before.items()
        assert set(user.revisions) == revisions
        assert (
            versions.items() <= {name: pod["metadata"]["resourceVersion"] for name, pod in user.pods.items()}.items()
        ), "the upgrade has patched pods"
        user.kubectl("patch", "modelinfer", "mi", "--type=merge", "-p", json.dumps({"spec": LIFE}))
        user.wait_settled("mi")
        assert user.uids.items() >= before.items(), "none of the fields of a group's life restarts a pod"
        mine = [pod["metadata"]["labels"] for name, pod in user.pods.items() if name.startswith("mi-")]
        assert [labels.get(f"{DOMAIN}/serving") for labels in mine] == ["true"] * 4
    finally:
        present.end()
        user.close()
