"""The page of `kubectl modelinfer dashboard` in a headless browser: a simulated cluster, with the real controller."""

from __future__ import annotations

import asyncio
import json
import os
import re
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import pytest
import pytest_asyncio
from browser import Page, browsing
from chromium import Chromium, find_chromium
from demo.clusters import Cluster
from demo.controller import running_controller
from models import model, role

from modelinfer_controller.controller.resources import MODEL_INFERS
from modelinfer_controller.kube.client import Client
from modelinfer_controller.kube.clock import SystemClock
from modelinfer_controller.kube.resource import NAMESPACES
from modelinfer_controller.kubectl.model.access import connected
from modelinfer_controller.kubectl.model.kubeconfig import ClusterFlags
from modelinfer_controller.simulator.apiserver.http_server import kubeconfig, serve_http
from modelinfer_controller.simulator.control_plane import SimulatedControlPlane
from modelinfer_controller.simulator.nodes.node import NodeShape

PLUGIN = Path(sys.executable).with_name("kubectl-modelinfer")
CRD = Path(__file__).parents[2] / "manifests" / "crd" / "modelinfers.yaml"
PICTURES = Path(__file__).parents[2] / "docs" / "pictures"
pytestmark = pytest.mark.asyncio(loop_scope="module")
CHANGING = {"POST", "PUT", "PATCH", "DELETE"}


@pytest.fixture(scope="session")
def chromium() -> Chromium:
    return find_chromium()


class Fleet:
    """Two ModelInfers in the namespace models: llama is well, qwen has a group whose image cannot be pulled."""

    def __init__(self, cluster: Cluster, client: Client) -> None:
        self.cluster = cluster
        self._client = client

    async def apply(self, body: dict[str, Any]) -> None:
        await self._client.create(MODEL_INFERS, "models", body)

    async def patch(self, name: str, change: dict[str, Any]) -> None:
        await self._client.patch(MODEL_INFERS, "models", name, json.dumps(change).encode())

    async def delete(self, name: str) -> None:
        stored = await self._client.get(MODEL_INFERS, "models", name)
        await self._client.delete(MODEL_INFERS, "models", name, uid=stored.metadata.uid)

    async def generations(self) -> dict[str, int]:
        found = await self._client.list_all(MODEL_INFERS, "models")
        return {one.metadata.name: one.metadata.generation for one in found.items}


def disaggregated(name: str, image: str, replicas: int = 3) -> dict[str, Any]:
    behaviour = {"ready_after": "300ms"} | ({"image_pull_error": "true"} if image == "vllm:v2" else {})
    return dict(model(name, role("prefill", image=image, **behaviour),
                      role("decode", replicas=2, workers=1, image=image, **behaviour), replicas=replicas))  # fmt: skip


@asynccontextmanager
async def simulated_cluster(folder: Path) -> AsyncIterator[Cluster]:
    nodes = [NodeShape(f"node-{number}", capacity={"cpu": "96", "memory": "1Ti", "pods": "110"}) for number in range(6)]
    plane = SimulatedControlPlane(definitions=[CRD], nodes=nodes, clock=SystemClock())
    async with plane, serve_http(plane.api) as url:
        path = folder / "kubeconfig"
        path.write_text(kubeconfig(url))
        yield Cluster(url, path, folder)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def fleet(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Fleet]:
    """One for all tests of this file; each makes of qwen what it needs."""
    folder = tmp_path_factory.mktemp("fleet")
    flags = ClusterFlags(kubeconfig=str(folder / "kubeconfig"))
    async with (
        simulated_cluster(folder) as cluster,
        running_controller(cluster),
        connected(flags, os.environ, follows=True) as client,
    ):
        await client.create(NAMESPACES, None, {"metadata": {"name": "models"}})
        found = Fleet(cluster, client)
        await found.apply(disaggregated("llama", "vllm:v1", replicas=2))
        await found.apply(disaggregated("qwen", "vllm:v1"))
        yield found


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def address(fleet: Fleet) -> AsyncIterator[str]:
    async with dashboard(fleet.cluster) as found:
        yield found


@asynccontextmanager
async def dashboard(cluster: Cluster) -> AsyncIterator[str]:
    """The address with the token that the command prints."""
    process = await asyncio.create_subprocess_exec(
        PLUGIN, "dashboard", "--namespace=models", f"--kubeconfig={cluster.kubeconfig}",
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout is not None
    try:
        async with asyncio.timeout(60):
            head, told = await process.stdout.readline(), await process.stdout.readline()
        assert b"the dashboard of namespace models" in head
        yield told.decode().strip()
    finally:
        process.terminate()
        await process.communicate()


@pytest_asyncio.fixture(loop_scope="module")
async def page(chromium: Chromium) -> AsyncIterator[Page]:
    async with browsing(chromium) as found:
        await found.resize(1280, 800)
        yield found
        assert found.problems == []


async def keep(page: Page, name: str) -> None:
    """UPDATE_SCREENS=1 keeps the picture in docs/pictures, for a person to look at."""
    if os.environ.get("UPDATE_SCREENS"):
        await asyncio.sleep(0.3)
        (PICTURES / f"dashboard-{name}.png").write_bytes(await page.picture())


def text_of(selector: str) -> str:
    return f"(document.querySelector({json.dumps(selector)}) || {{innerText: ''}}).innerText"


async def test_the_plan_of_a_pasted_manifest_changes_nothing(fleet: Fleet, address: str, page: Page) -> None:
    await page.open(address)
    await page.until(f"/5 \\/ 5/.test({text_of('.tiles')})")
    before = await fleet.generations()
    await page.evaluate("document.querySelector('[data-nav=plan]').click()")
    await page.until("document.querySelector('#manifest') !== null")
    manifest = json.dumps(disaggregated("qwen", "vllm:v3"), indent=2)
    await page.evaluate(f"document.querySelector('#manifest').value = {json.dumps(manifest)}")
    await page.evaluate("document.querySelector('#plan').click()")
    told = await page.until(text_of("#result"))
    assert "restarts groups 0-2" in told
    assert "2 of 3 groups at the lowest" in told
    assert "vllm:v3" in told
    await keep(page, "plan")

    broken = json.dumps({**disaggregated("qwen", "vllm:v3"), "spec": {"replicas": 1, "tempalte": {}}})
    await page.evaluate(f"document.querySelector('#manifest').value = {json.dumps(broken)}")
    await page.evaluate("document.querySelector('#plan').click()")
    await page.until(f"/unknown field 'spec.tempalte'/.test({text_of('#result')})")
    page.problems[:] = [one for one in page.problems if "422" not in one]  # the browser logs the refusal
    assert await fleet.generations() == before


async def test_what_the_cluster_says_is_text_and_never_markup(fleet: Fleet, address: str, page: Page) -> None:
    cause = "<img src=x onerror=window.hacked=1>"
    await fleet.patch("llama", {"metadata": {"annotations": {"kubernetes.io/change-cause": cause}},
                                "spec": disaggregated("llama", "vllm:v4", 2)["spec"]})  # fmt: skip
    await page.open(address)
    await page.until(f"{text_of('.fleet')}.length")
    await page.evaluate("location.hash = '#/models/llama'")
    await page.until(f"{text_of('#history')}.includes({json.dumps(cause)})")
    assert await page.evaluate("document.querySelectorAll('#history img').length + (window.hacked || 0)") == 0


@pytest.mark.parametrize(("width", "is_dark"), [(390, False), (1280, True)])
async def test_nothing_is_wider_than_the_window(
    fleet: Fleet, address: str, page: Page, width: int, is_dark: bool
) -> None:
    await fleet.patch("qwen", {"spec": disaggregated("qwen", "vllm:v2")["spec"]})
    await page.resize(width, 800, is_dark=is_dark)
    await page.open(address)
    await page.until(f"/ImagePullBackOff/.test({text_of('.fleet')})")
    assert await page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    await page.evaluate("document.querySelector('.fleet tbody a').click()")
    await page.until("document.querySelectorAll('#timeline svg circle').length > 15")
    assert await page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")


async def test_who_lacks_the_token_or_comes_by_another_name_is_refused(fleet: Fleet, address: str) -> None:
    base, _, token = address.partition("/#token=")
    host = base.removeprefix("http://")
    with_token = {"Authorization": f"Bearer {token}"}
    async with aiohttp.ClientSession() as session:

        async def status(method: str, path: str, **headers: str) -> int:
            async with session.request(method, f"{base}{path}", headers=headers) as answer:
                assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
                return answer.status

        assert re.fullmatch(r"[\w-]{40,}", token)
        assert await status("GET", "/api/fleet", **with_token) == 200
        assert await status("GET", "/api/fleet") == 401
        assert await status("GET", "/api/fleet", Authorization="Bearer wrong") == 401
        assert await status("GET", f"/api/fleet?token={token}") == 401
        assert await status("GET", "/api/fleet", **with_token, Host="evil.example:80") == 403
        assert await status("GET", "/", Host=host.replace("127.0.0.1", "evil.example")) == 403
        assert await status("GET", "/") == 200
        for method in sorted(CHANGING):
            assert await status(method, "/api/namespaces/models/modelinfers/qwen/tree", **with_token) == 405


async def test_the_documents_are_those_of_the_verbs(fleet: Fleet, address: str) -> None:
    base, _, token = address.partition("/#token=")
    one = "/api/namespaces/models/modelinfers/qwen"
    kinds = {"tree": "Tree", "explain": "Explanation", "rollout": "RolloutStatus", "history": "History"}
    paths = {f"{one}/{verb}": kind for verb, kind in {**kinds, "events": "EventTimeline"}.items()}
    paths["/api/fleet"] = "ModelInferStatusList"
    async with aiohttp.ClientSession(headers={"Authorization": f"Bearer {token}"}) as session:
        for path, kind in paths.items():
            async with session.get(base + path) as answer:
                document = await answer.json()
                assert (document["apiVersion"], document["kind"]) == ("cli.modelinfer.volcano.sh/v1", kind)
        async with session.get(f"{base}/api/namespaces/models/modelinfers/nobody/tree") as answer:
            assert (answer.status, await answer.text()) == (422, "ModelInfer nobody is gone\n")
        async with session.get(f"{base}/api/watch") as answer:
            assert answer.headers["Content-Type"] == "text/event-stream"
            event = await answer.content.readline()
            assert event == b"event: ModelInferStatusList\n"


async def test_the_fleet_and_a_rollout_that_hangs_are_seen_live(fleet: Fleet, address: str, page: Page) -> None:
    await page.open(address)
    await fleet.patch("qwen", {"spec": disaggregated("qwen", "vllm:v1")["spec"]})
    await page.until(f"/5 \\/ 5/.test({text_of('.tiles')})")
    assert "namespace models" in await page.evaluate(text_of("header"))
    assert "token" not in await page.evaluate("location.href")

    await fleet.patch("qwen", {"spec": disaggregated("qwen", "vllm:v2")["spec"]})
    await page.until(f"/ImagePullBackOff/.test({text_of('.fleet')})")
    first = await page.evaluate("document.querySelector('.fleet tbody tr').innerText")
    assert first.startswith("qwen"), "the worst comes first"
    await keep(page, "fleet")

    await page.evaluate("document.querySelector('.fleet tbody a').click()")
    await page.until(f"/ImagePullBackOff/.test({text_of('#why')})")
    await page.until("document.querySelectorAll('#tree details').length === 3")
    opened = "[...document.querySelectorAll('#tree details[open]')].map((group) => group.dataset.group)"
    assert await page.evaluate(opened) == ["2"], "what is at rest is folded"
    assert await page.evaluate("document.querySelectorAll('[data-group=\"2\"] .pod').length") == 5
    await page.until("document.querySelectorAll('#timeline svg circle').length > 15")
    await page.until(f"/vllm:v2/.test({text_of('#history')})")
    await keep(page, "modelinfer")

    await fleet.patch("qwen", {"spec": disaggregated("qwen", "vllm:v1")["spec"]})
    await page.until(f"/3 of 3 groups available/.test({text_of('#head')})")
    await page.until(f"/all 3 groups are available/.test({text_of('#why')})")

    await fleet.delete("qwen")
    await page.until(f"/qwen is gone/.test({text_of('#main')})")
    hosts = {urlsplit(one).hostname for one in page.requests if not one.startswith("data:")}
    assert hosts == {"127.0.0.1"}, "no external address"
