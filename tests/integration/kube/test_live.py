"""Client and informers against a real kube-apiserver: what the fakes of the unit tests assume is what it does."""

import asyncio
import json
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
from controlplane import ControlPlane

from modelinfer_controller.api.core import KubeObject
from modelinfer_controller.api.names import ObjectName
from modelinfer_controller.kube import errors
from modelinfer_controller.kube.aiohttp_transport import connect
from modelinfer_controller.kube.cache import SharedInformerFactory
from modelinfer_controller.kube.client import APPLY_PATCH, Client
from modelinfer_controller.kube.clock import SystemClock
from modelinfer_controller.kube.resource import NAMESPACES, NODES, SERVICES, Resource

CONFIG_MAPS = Resource("", "v1", "configmaps", "ConfigMap", KubeObject)
WIDGETS = Resource("kube-live.test", "v1", "widgets", "Widget", KubeObject)
LABEL = {"live": "yes"}
SELECTOR = "live=yes"


@asynccontextmanager
async def client_of(control_plane: ControlPlane) -> AsyncIterator[Client]:
    transport = await connect(environ={}, clock=SystemClock(), kubeconfig=str(control_plane.kubeconfig))
    client = Client(transport)
    try:
        yield client
    finally:
        await client.close()


@asynccontextmanager
async def at_work(factory: SharedInformerFactory) -> AsyncIterator[None]:
    task = asyncio.create_task(factory.run())
    try:
        yield
    finally:
        assert task.cancel(), task
        with pytest.raises(asyncio.CancelledError):
            await task


async def eventually(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not holds():  # noqa: ASYNC110 -- the cache has no event to wait for
            await asyncio.sleep(0.02)


def body(name: str, **metadata: object) -> dict[str, object]:
    return {"metadata": {"name": name, "labels": LABEL, **metadata}}


async def test_verbs_and_their_refusals(control_plane: ControlPlane, namespace: str) -> None:
    async with client_of(control_plane) as client:
        made = await client.create(CONFIG_MAPS, namespace, body("a"))
        assert made.metadata.uid
        with pytest.raises(errors.AlreadyExists):
            await client.create(CONFIG_MAPS, namespace, body("a"))
        patched = await client.patch(CONFIG_MAPS, namespace, "a", {"metadata": {"labels": {"more": "1"}}})
        assert patched.metadata.labels["more"] == "1"
        applied = {"apiVersion": "v1", "kind": "ConfigMap", **body("a")}
        await client.patch(
            CONFIG_MAPS, namespace, "a", applied, content_type=APPLY_PATCH, field_manager="test", force=True
        )
        with pytest.raises(errors.Conflict):
            await client.update(CONFIG_MAPS, namespace, "a", body("a", resourceVersion="1"))
        with pytest.raises(errors.Conflict):
            await client.delete(CONFIG_MAPS, namespace, "a", uid="00000000-0000-0000-0000-000000000000")
        with pytest.raises(errors.Invalid) as invalid:
            await client.create(SERVICES, namespace, {"metadata": {"name": "UPPER"}, "spec": {}})
        assert invalid.value.causes
        await client.delete(CONFIG_MAPS, namespace, "a", uid=made.metadata.uid, propagation_policy="Background")
        with pytest.raises(errors.NotFound):
            await client.get(CONFIG_MAPS, namespace, "a")
        with pytest.raises(errors.NotFound):
            await client.list_page(WIDGETS)
        assert json.loads(await client.raw_get("/version"))["major"] == "1"
        assert (await client.get(NAMESPACES, None, namespace)).metadata.name == namespace
        assert (await client.list_all(NODES)).items


async def test_lists_come_in_pages_and_no_older_than_asked(control_plane: ControlPlane, namespace: str) -> None:
    async with client_of(control_plane) as client:
        for number in range(5):
            await client.create(CONFIG_MAPS, namespace, body(f"a{number}"))
        page = await client.list_page(CONFIG_MAPS, namespace, label_selector=SELECTOR, limit=2)
        assert len(page.items) == 2
        rest = await client.list_page(
            CONFIG_MAPS, namespace, label_selector=SELECTOR, limit=3, continue_=page.metadata.continue_
        )
        assert [item.metadata.name for item in (*page.items, *rest.items)] == ["a0", "a1", "a2", "a3", "a4"]
        version = rest.metadata.resource_version
        again = await client.list_all(CONFIG_MAPS, namespace, label_selector=SELECTOR, resource_version=version)
        assert int(again.metadata.resource_version) >= int(version)
        assert len(again.items) == 5
        with pytest.raises(errors.TooLargeResourceVersion):
            await client.list_all(CONFIG_MAPS, namespace, resource_version=str(int(version) + 1_000_000))


@pytest.mark.parametrize("streaming", [False, True])
async def test_an_informer_follows(control_plane: ControlPlane, namespace: str, streaming: bool) -> None:
    async with client_of(control_plane) as client:
        first = await client.create(CONFIG_MAPS, namespace, body("first"))
        await client.create(CONFIG_MAPS, namespace, {"metadata": {"name": "unselected"}})
        factory = SharedInformerFactory(
            client, random=random.Random(1), namespaces=[namespace, "default"], use_streaming_list=streaming
        )
        informer = factory.informer(CONFIG_MAPS, label_selector=SELECTOR)
        async with at_work(factory):
            async with asyncio.timeout(20):
                await factory.wait_for_sync()
            assert [obj.metadata.name for obj in informer.lister.list()] == ["first"]
            made = await client.create(CONFIG_MAPS, namespace, body("second"))
            key = ObjectName(namespace, "second")
            await eventually(lambda: informer.lister.get(key) is not None)
            seen = informer.lister.get(key)
            assert seen is not None
            assert seen.metadata == made.metadata
            await client.delete(CONFIG_MAPS, namespace, "first", uid=first.metadata.uid)
            await eventually(lambda: [obj.metadata.name for obj in informer.lister.list()] == ["second"])
            await client.patch(CONFIG_MAPS, namespace, "second", {"metadata": {"labels": {"live": None}}})
            await eventually(lambda: not list(informer.lister.list()))  # it has left the selection
            assert informer.counters.list_error_count == informer.counters.watch_error_count == 0
            assert informer.handler_error_count == 0
            assert informer.counters.watch_count == (0 if streaming else 2)


async def test_an_optional_kind_comes_and_goes(control_plane: ControlPlane, namespace: str) -> None:
    schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    definition = {
        "metadata": {"name": "widgets.kube-live.test"},
        "spec": {
            "group": "kube-live.test",
            "scope": "Namespaced",
            "names": {"plural": "widgets", "kind": "Widget"},
            "versions": [{"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}],
        },
    }
    crds = Resource(
        "apiextensions.k8s.io", "v1", "customresourcedefinitions", "CustomResourceDefinition", KubeObject, False
    )
    async with client_of(control_plane) as client:
        factory = SharedInformerFactory(client, random=random.Random(1))
        served: list[bool] = []
        informer = factory.discovered_informer(WIDGETS, poll_interval=0.2, on_served_changed=served.append)
        async with at_work(factory):
            await eventually(lambda: informer.has_synced)
            for round_ in (1, 2):
                made = await client.create(crds, None, definition)
                await eventually(lambda: informer.is_served)
                widget = {"apiVersion": "kube-live.test/v1", "kind": "Widget", **body("w")}
                await client.create(WIDGETS, namespace, widget)
                await eventually(lambda: len(list(informer.lister.list())) == 1)
                await client.delete(crds, None, "widgets.kube-live.test", uid=made.metadata.uid)
                await eventually(lambda: not informer.is_served)
                assert list(informer.lister.list()) == []
                assert served == [True, False] * round_
