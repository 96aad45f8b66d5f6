"""kubectl talks to the embedded control plane: apply, get, scale, watch, explain, delete."""

import asyncio
import sysconfig
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from modelinfer_controller.kube.clock import SystemClock
from modelinfer_controller.simulator.apiserver.http_server import kubeconfig, serve_http
from modelinfer_controller.simulator.control_plane import SimulatedControlPlane

MANIFESTS = Path(__file__).parents[2] / "manifests"
CRD = MANIFESTS / "crd" / "modelinfers.yaml"
EXAMPLE = Path(__file__).parents[2] / "hack" / "demo" / "modelinfer.yaml"
KUBECTL = Path(sysconfig.get_path("scripts")) / "kubectl"


class Kubectl:
    def __init__(self, configuration: Path) -> None:
        self._configuration = configuration

    async def __call__(self, *arguments: str) -> str:
        """The standard output. Raises AssertionError with the standard error where it fails."""
        process = await asyncio.create_subprocess_exec(
            KUBECTL,
            f"--kubeconfig={self._configuration}",
            f"--cache-dir={self._configuration.parent / 'cache'}",
            *arguments,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        output, errors = await process.communicate()
        assert process.returncode == 0, errors.decode()
        return output.decode()


@pytest_asyncio.fixture
async def kubectl(tmp_path: Path) -> AsyncIterator[Kubectl]:
    cluster = SimulatedControlPlane(definitions=[CRD], clock=SystemClock())
    async with cluster, serve_http(cluster.api) as url:
        configuration = tmp_path / "kubeconfig"
        configuration.write_text(kubeconfig(url))
        yield Kubectl(configuration)


async def test_apply_get_scale_and_delete(kubectl: Kubectl) -> None:
    assert "deepseek-pd created" in await kubectl("apply", "-f", str(EXAMPLE))
    assert "scaled" in await kubectl("scale", "mi/deepseek-pd", "--replicas=3")

    head, row = (await kubectl("get", "mi")).splitlines()
    assert head.split() == ["NAME", "REPLICAS", "AVAILABLE", "UPDATED", "REASON", "AGE"]
    assert row.split()[:2] == ["deepseek-pd", "3"]

    await kubectl("delete", "mi", "deepseek-pd")
    assert await kubectl("get", "mi", "-o", "name") == ""


async def test_pods_run_and_are_watched(kubectl: Kubectl) -> None:
    await kubectl("run", "a", "--image=image:1")
    await kubectl("wait", "pod/a", "--for=condition=Ready", "--timeout=10s")

    assert (await kubectl("get", "pods", "--no-headers")).split()[:3] == ["a", "1/1", "Running"]
    await kubectl("delete", "pod", "a", "--wait=true", "--timeout=10s")
    assert await kubectl("get", "pods", "-o", "name") == ""


async def test_explain_knows_the_fields(kubectl: Kubectl) -> None:
    assert "InferGroupRecreate" in await kubectl("explain", "modelinfer.spec.recoveryPolicy")


async def test_an_invalid_object_is_refused_in_the_server_s_words(kubectl: Kubectl) -> None:
    await kubectl("apply", "-f", str(EXAMPLE))

    with pytest.raises(AssertionError, match=r"spec\.replicas.*should be greater than or equal to 0"):
        await kubectl("patch", "mi", "deepseek-pd", "--type=merge", "--patch", '{"spec": {"replicas": -1}}')
