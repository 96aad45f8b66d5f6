"""`make release` makes everything that an installation takes, and the installation takes nothing else."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from controller_process import NAMESPACE, wait_until_served
from controlplane import ControlPlane, Settings

from charts import helm

ROOT = Path(__file__).parents[2]
VERSION = "7.8.9"


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Without the image archives: tests/integration/image builds the image."""
    folder = tmp_path_factory.mktemp("release")
    command = [sys.executable, str(ROOT / "hack" / "release.py"), VERSION, "--no-images", f"--output={folder}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture
def cluster() -> Iterator[ControlPlane]:
    with ControlPlane.start(Settings(nodes=2)) as control_plane:
        yield control_plane


def test_it_is_whole_and_as_its_checksums_say(release: Path) -> None:
    names = {path.name for path in release.iterdir()}
    assert names >= {
        "NOTES.md",
        "SHA256SUMS",
        "install.yaml",
        f"modelinfer-controller-{VERSION}.cdx.json",
        f"modelinfer-controller-{VERSION}.tgz",
        f"modelinfer_controller-{VERSION}-py3-none-any.whl",
        f"modelinfer_controller-{VERSION}.tar.gz",
    }
    subprocess.run(["sha256sum", "--check", "--strict", "SHA256SUMS"], cwd=release, check=True, capture_output=True)
    assert len((release / "SHA256SUMS").read_text().splitlines()) == len(names) - 1
    bom = json.loads((release / f"modelinfer-controller-{VERSION}.cdx.json").read_text())
    assert bom["metadata"]["component"]["version"] == VERSION


def test_the_wheel_is_a_controller_that_knows_its_version(release: Path, tmp_path: Path) -> None:
    """Its dependencies are those of this environment."""
    wheel = release / f"modelinfer_controller-{VERSION}-py3-none-any.whl"
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", f"--target={tmp_path}", str(wheel)]
    subprocess.run(install, check=True, capture_output=True)
    done = subprocess.run(
        [sys.executable, "-m", "modelinfer_controller", "--version"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == f"modelinfer-controller, version {VERSION}"


def test_the_plugin_is_of_the_release(release: Path) -> None:
    manifest = yaml.safe_load((release / "modelinfer.yaml").read_text())
    assert manifest["spec"]["version"] == f"v{VERSION}"
    for platform in manifest["spec"]["platforms"]:
        archive = release / platform["uri"].rpartition("/")[2]
        assert f"/v{VERSION}/" in platform["uri"]
        assert hashlib.sha256(archive.read_bytes()).hexdigest() == platform["sha256"]
    ask = [sys.executable, str(release / "kubectl-modelinfer"), "--version"]
    assert f"version {VERSION}" in subprocess.run(ask, capture_output=True, text=True, check=True).stdout


def image_of(cluster: ControlPlane) -> str:
    cluster.kubectl(
        f"--namespace={NAMESPACE}", "wait", "deployment/modelinfer-controller", "--for=condition=Available",
        "--timeout=60s",
    )  # fmt: skip
    template = "{.items[*].spec.template.spec.containers[*].image}"
    return cluster.kubectl(f"--namespace={NAMESPACE}", "get", "deployments", f"-o=jsonpath={template}")


def test_one_file_installs_it_and_the_chart_takes_over(release: Path, cluster: ControlPlane) -> None:
    cluster.kubectl("apply", "--server-side", "-f", str(release / "install.yaml"))
    wait_until_served(cluster)
    assert image_of(cluster) == f"modelinfer-controller:{VERSION}"
    # What the file made becomes the chart's own, but for the Deployment, whose selector names the release.
    cluster.kubectl(f"--namespace={NAMESPACE}", "delete", "deployment", "modelinfer-controller")
    helm(
        "install",
        "modelinfer",
        str(release / f"modelinfer-controller-{VERSION}.tgz"),
        f"--namespace={NAMESPACE}",
        "--take-ownership",
        "--force-conflicts",
        kubeconfig=cluster.kubeconfig,
    )
    assert image_of(cluster) == f"modelinfer-controller:{VERSION}"


def test_the_file_has_the_crd_first(release: Path) -> None:
    kinds = [one["kind"] for one in yaml.safe_load_all((release / "install.yaml").read_text()) if one]
    assert kinds[0] == "CustomResourceDefinition"
    assert {"Namespace", "Deployment", "ClusterRole"} <= set(kinds)
