"""The plugin as one file, made as a release makes it: it runs with Python alone, against a server."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from modelinfer_controller.kube.clock import SystemClock
from modelinfer_controller.simulator.apiserver.http_server import kubeconfig, serve_http
from modelinfer_controller.simulator.control_plane import SimulatedControlPlane

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "hack" / "demo" / "modelinfer.yaml"
OWN = f"{sys.version_info.major}.{sys.version_info.minor}"
LARGEST = 9e6  # bytes, for one Python; each other one adds 5


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("plugin")
    environ = {**os.environ, "PYTHONPATH": str(ROOT / "hack")}
    subprocess.run([sys.executable, "-m", "plugin", folder, f"--python={OWN}"], env=environ, check=True)
    made = folder / "kubectl-modelinfer"
    assert made.stat().st_size < LARGEST
    return made


@pytest_asyncio.fixture
async def configuration(tmp_path: Path) -> AsyncIterator[Path]:
    definitions = [ROOT / "manifests" / "crd" / "modelinfers.yaml"]
    cluster = SimulatedControlPlane(definitions=definitions, clock=SystemClock())
    async with cluster, serve_http(cluster.api) as url:
        (tmp_path / "kubeconfig").write_text(kubeconfig(url))
        yield tmp_path / "kubeconfig"


async def test_it_runs_with_python_alone(file: Path, configuration: Path, tmp_path: Path) -> None:
    environ = {"PATH": os.environ["PATH"], "XDG_CACHE_HOME": str(tmp_path / "cache"), "KUBECONFIG": str(configuration)}

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-I", str(file), *arguments]
        return subprocess.run(command, env=environ, capture_output=True, text=True, check=False, timeout=120)

    looked = await asyncio.to_thread(run, "status", "--all-namespaces")
    assert (looked.returncode, looked.stdout) == (0, "there are no ModelInfers\n"), looked.stderr
    missing = await asyncio.to_thread(run, "tree", "qwen")
    assert missing.returncode == 1
    assert missing.stderr.startswith('error: no ModelInfer "qwen" in namespace default')
    followed = await asyncio.to_thread(run, "rollout", "status", "qwen")  # over the client that can watch
    assert followed.stderr.startswith('error: no ModelInfer "qwen" in namespace default')
    planned = await asyncio.to_thread(run, "plan", "-f", str(EXAMPLE))
    assert planned.stdout.startswith("default/deepseek-pd: restarts nothing"), planned.stderr
    played = await asyncio.to_thread(run, "simulate", "-f", str(EXAMPLE))
    assert played.returncode == 0, played.stderr
