"""Informers against a server that fails: what the cache holds and what handlers are told, in virtual time."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import pairwise
from typing import Any

import pytest
from fake_api import EXPIRED, HTML, REFUSED, THINGS, TOO_LARGE, FakeApi, status, throttled
from msgspec.structs import replace

from modelinfer_controller.api.core import KubeObject
from modelinfer_controller.api.names import ObjectName
from modelinfer_controller.kube.cache import (
    DeletedFinalStateUnknown,
    DiscoveredInformer,
    ResourceNotServed,
    SharedInformer,
    SharedInformerFactory,
    last_state,
)
from modelinfer_controller.kube.client import Client

Told = tuple[str, ...]


class Recorder:
    """Remembers what it was told, and checks at each call that the store already says so."""

    def __init__(self, informer: SharedInformer[KubeObject]) -> None:
        self._informer = informer
        self.told: list[Told] = []
        self.view: dict[ObjectName, KubeObject] = {}

    def on_add(self, obj: KubeObject, is_in_initial_list: bool) -> None:
        key = obj.metadata.object_name
        assert key not in self.view
        assert self._informer.lister.get(key) is obj
        self.view[key] = obj
        self.told.append(("initial" if is_in_initial_list else "add", obj.metadata.name))

    def on_update(self, old: KubeObject, new: KubeObject) -> None:
        key = new.metadata.object_name
        assert self.view[key] is old
        assert old.metadata.uid == new.metadata.uid
        assert self._informer.lister.get(key) is new
        self.view[key] = new
        self.told.append(("update", new.metadata.name))

    def on_delete(self, obj: KubeObject | DeletedFinalStateUnknown[KubeObject]) -> None:
        state = last_state(obj)
        assert self.view.pop(state.metadata.object_name).metadata.uid == state.metadata.uid
        assert self._informer.lister.get(state.metadata.object_name) is None
        self.told.append(("tombstone" if isinstance(obj, DeletedFinalStateUnknown) else "delete", state.metadata.name))

    def take(self) -> list[Told]:
        told, self.told = self.told, []
        return told


def now() -> float:
    return asyncio.get_running_loop().time()


class Running:
    """An informer at work over a fake server."""

    def __init__(self, api: FakeApi, factory: SharedInformerFactory, informer: SharedInformer[KubeObject]) -> None:
        self.api = api
        self.factory = factory
        self.informer = informer
        self.expected_handler_error_count = 0
        self.recorder = Recorder(informer)
        informer.add_event_handler(self.recorder)

    async def after(self, seconds: float) -> list[Told]:
        """What the handler was told within that time; the story it heard was consistent."""
        await asyncio.sleep(seconds)
        assert self.informer.handler_error_count == self.expected_handler_error_count
        return self.recorder.take()

    def assert_same(self) -> None:
        """The cache is what the server has."""
        cached = {(key.namespace, key.name): obj.metadata for key, obj in self.recorder.view.items()}
        assert {key: (meta.uid, meta.resource_version) for key, meta in cached.items()} == {
            key: (obj["metadata"]["uid"], obj["metadata"]["resourceVersion"]) for key, obj in self.api.objects.items()
        }
        assert {obj.metadata.object_name for obj in self.informer.lister.list()} == set(self.recorder.view)


@asynccontextmanager
async def at_work(factory: SharedInformerFactory) -> AsyncIterator[None]:
    """The informers run, and do not fail."""
    task = asyncio.create_task(factory.run())
    try:
        yield
    finally:
        assert task.cancel(), task
        with pytest.raises(asyncio.CancelledError):
            await task


@asynccontextmanager
async def running(api: FakeApi, *, namespaces: tuple[str, ...] = (), streaming: bool = False) -> AsyncIterator[Running]:
    factory = SharedInformerFactory(
        Client(api), random=random.Random(1), namespaces=namespaces, use_streaming_list=streaming
    )
    informer = factory.informer(THINGS, label_selector="a=b")
    async with at_work(factory):
        yield Running(api, factory, informer)


async def test_lists_then_watches_from_the_version_of_the_list() -> None:
    api = FakeApi()
    api.create("a")
    async with running(api) as run:
        assert not run.informer.has_synced
        await run.factory.wait_for_sync()
        assert await run.after(1) == [("initial", "a")]
        api.create("b")
        api.update("a")
        api.delete("b")
        assert await run.after(1) == [("add", "b"), ("update", "a"), ("delete", "b")]
        run.assert_same()
    [listed], [watched] = api.asked(watch=False), api.asked(watch=True)
    assert (listed["resourceVersion"], listed["labelSelector"]) == ("0", "a=b")
    assert (watched["resourceVersion"], watched["labelSelector"]) == ("101", "a=b")
    assert watched["allowWatchBookmarks"] == "true"
    assert 300 <= int(watched["timeoutSeconds"]) <= 600


async def test_a_stream_that_ends_goes_on_where_it_was() -> None:
    api = FakeApi()
    async with running(api) as run:
        await run.after(1)
        api.create("a")
        await run.after(2)
        api.close_streams()
        api.update("a")
        assert await run.after(1) == [("update", "a")]
        assert len(api.asked(watch=False)) == 1
        assert api.asked(watch=True)[-1]["resourceVersion"] == "101"


async def test_the_server_closes_watches_by_and_by_and_nothing_is_lost() -> None:
    api = FakeApi()
    async with running(api) as run:
        for number in range(20):
            await run.after(397)
            api.create(f"a{number}")
        await run.after(1)
        run.assert_same()
    assert len(api.asked(watch=False)) == 1
    assert 13 <= len(api.asked(watch=True)) <= 27


async def test_bookmarks_move_the_version_and_reach_no_handler() -> None:
    api = FakeApi()
    async with running(api) as run:
        await run.after(1)
        for _ in range(3):
            api.version += 100  # other resources
            api.bookmark()
            assert await run.after(1) == []
        api.compact()
        api.close_streams()
        await run.after(1)
        assert api.asked(watch=True)[-1]["resourceVersion"] == str(api.version)
        assert run.informer.last_sync_resource_version == str(api.version)
        assert len(api.asked(watch=False)) == 1


async def test_each_list_that_replaces_the_cache_is_told_after_what_it_changed() -> None:
    """What came and went between two watches is in no event."""
    api = FakeApi()
    replaced: list[tuple[str | None, bool]] = []
    async with running(api) as run:
        run.informer.on_replaced(lambda namespace: replaced.append((namespace, run.informer.has_synced)))
        await run.after(1)
        assert replaced == [(None, True)]
        await run.after(10)
        api.create("a")
        await run.after(1)
        api.delete("a")
        await run.after(1)
        assert len(replaced) == 1
        api.break_streams()
        api.watch_faults.append(REFUSED)
        api.create("b")
        api.delete("b")
        api.compact()
        assert await run.after(10) == []
        assert len(replaced) == 2


@pytest.mark.parametrize("expires_as_event", [False, True])
async def test_an_expired_watch_is_a_relist_that_says_what_was_missed_deletions_first(expires_as_event: bool) -> None:
    api = FakeApi()
    api.expires_as_event = expires_as_event
    for name in ("kept", "changed", "gone", "replaced"):
        api.create(name)
    async with running(api) as run:
        await run.after(2)
        api.break_streams()
        api.watch_faults.append(REFUSED)
        api.update("changed")
        api.create("added")
        api.delete("gone")
        api.delete("replaced")
        api.create("replaced")
        api.compact()
        told = await run.after(10)
        assert told[0] == ("tombstone", "gone")
        assert told[1:] == [("add", "added"), ("update", "changed"), ("tombstone", "replaced"), ("add", "replaced")]
        run.assert_same()
    assert api.asked(watch=False)[-1]["resourceVersion"] == "104"
    assert api.asked(watch=False)[-1]["resourceVersionMatch"] == "NotOlderThan"


@pytest.mark.parametrize("fault", [EXPIRED, TOO_LARGE])
async def test_a_list_at_a_version_that_is_not_there_is_asked_for_at_the_newest(fault: Any) -> None:
    api = FakeApi()
    api.list_faults.append(fault)
    async with running(api) as run:
        await run.factory.wait_for_sync()
    assert [query.get("resourceVersion", "") for query in api.asked(watch=False)] == ["0", ""]
    assert asyncio.get_running_loop().time() < 0.1


async def test_a_server_restored_from_a_backup_is_followed_back() -> None:
    api = FakeApi()
    api.create("a")
    api.create("b")
    async with running(api) as run:
        await run.after(1)
        del api.objects["ns", "b"]
        api.watch_faults.append(TOO_LARGE)
        api.restore_backup()
        told = await run.after(10)
        assert ("tombstone", "b") in told
        api.update("a")
        await run.after(1)
        run.assert_same()


async def test_a_list_that_cannot_be_had_is_tried_again_with_back_off() -> None:
    api = FakeApi()
    api.list_faults.extend([REFUSED, HTML, status(500, "InternalError"), status(403, "Forbidden"), throttled(1)])
    async with running(api) as run:
        await run.factory.wait_for_sync()
        assert run.informer.counters.list_error_count == 4  # the client itself waits for flow control
    times = [time for time, request in api.requests if "watch" not in request.query]
    gaps = [later - earlier for earlier, later in pairwise(times)]
    for gap, base in zip(gaps, [0.8, 1.6, 3.2, 6.4], strict=False):
        assert base <= gap <= 2 * base + 0.1


async def test_streams_that_close_at_once_are_not_asked_for_in_a_rush() -> None:
    api = FakeApi()
    async with running(api) as run:
        await run.factory.wait_for_sync()
        api.closes_at_once = True
        api.close_streams()
        await run.after(600)
        assert len(api.asked(watch=True)) < 40
        api.closes_at_once = False
        await run.after(61)
        api.create("a")
        assert await run.after(1) == [("add", "a")]
        assert len(api.asked(watch=False)) == 1


@pytest.mark.parametrize("fault", [REFUSED, throttled(7), HTML])
async def test_a_watch_that_cannot_be_had_is_tried_again_without_a_list(fault: Any) -> None:
    api = FakeApi()
    async with running(api) as run:
        await run.after(1)
        api.watch_faults.extend([fault, fault])
        api.break_streams()
        api.create("a")
        assert await run.after(30) == [("add", "a")]
        assert len(api.asked(watch=False)) == 1
    if fault == throttled(7):
        first, second = [time for time, request in api.requests if "watch" in request.query][-2:]
        assert second - first >= 7


async def test_a_watch_that_always_fails_becomes_a_list() -> None:
    api = FakeApi()
    async with running(api) as run:
        await run.after(1)
        api.watch_faults.extend([status(500, "InternalError")] * 10)
        api.break_streams()
        api.create("a")
        assert await run.after(60) == [("add", "a")]
        assert len(api.asked(watch=False)) >= 2


async def test_a_line_that_is_no_event_is_an_error_and_a_list() -> None:
    api = FakeApi()
    async with running(api) as run:
        await run.after(1)
        api.streams[0].queue.put_nowait(b"<html>504 Gateway Time-out</html>")
        api.create("a")
        assert await run.after(5) == [("add", "a")]
        assert len(api.asked(watch=False)) == 2


async def test_a_silent_stream_ends_by_our_own_deadline() -> None:
    api = FakeApi()
    api.fall_silent()
    async with running(api) as run:
        await run.after(1)
        api.create("a")
        assert await run.after(200) == []
        silence = run.informer.seconds_since_contact()
        assert silence is not None
        assert 199 < silence < 202
        api.wake_up()
        assert await run.after(640) == [("add", "a")]


async def test_events_said_again_change_nothing() -> None:
    api = FakeApi()
    async with running(api) as run:
        await run.after(1)
        for _ in range(2):
            api.create("a")
            api.update("a")
            api.delete("a")
        api.create("b")
        await run.after(1)
        api.repeat(7)
        assert await run.after(1) == []
        run.assert_same()


async def test_a_transform_says_what_is_kept_of_an_object_and_shown_to_handlers() -> None:
    def trimmed(obj: KubeObject) -> KubeObject:
        return replace(obj, metadata=replace(obj.metadata, labels={}))

    api = FakeApi()
    api.create("a")["metadata"]["labels"] = {"much": "text"}
    factory = SharedInformerFactory(Client(api), random=random.Random(1))
    discovered = factory.discovered_informer(THINGS, transform=trimmed)
    seen: list[dict[str, str]] = []

    class Handler:
        def on_add(self, obj: KubeObject, is_in_initial_list: bool) -> None:
            seen.append(obj.metadata.labels)

        def on_update(self, old: KubeObject, new: KubeObject) -> None:
            seen.append(new.metadata.labels)

        def on_delete(self, obj: KubeObject | DeletedFinalStateUnknown[KubeObject]) -> None:
            seen.append(last_state(obj).metadata.labels)

    discovered.informer.add_event_handler(Handler())
    async with at_work(factory):
        await asyncio.sleep(1)
        api.update("a")
        await asyncio.sleep(1)
        assert [obj.metadata.labels for obj in discovered.lister.list()] == [{}]
        api.delete("a")
        await asyncio.sleep(1)
    assert seen == [{}, {}, {}]


async def test_a_name_with_a_new_uid_is_a_deletion_and_an_addition() -> None:
    api = FakeApi()
    api.create("a")
    async with running(api) as run:
        await run.after(1)
        metadata = {"name": "a", "namespace": "ns", "uid": "other", "resourceVersion": "200"}
        api.streams[0].send("MODIFIED", {"metadata": metadata})
        assert await run.after(1) == [("tombstone", "a"), ("add", "a")]
        api.streams[0].send("DELETED", {"metadata": {**metadata, "uid": "uid-1", "resourceVersion": "201"}})
        assert await run.after(1) == []  # the deletion of its predecessor, late


async def test_a_handler_that_raises_hinders_nobody(capsys: pytest.CaptureFixture[str]) -> None:
    class Broken:
        def on_add(self, obj: KubeObject, is_in_initial_list: bool) -> None:
            raise RuntimeError("boom")

        def on_update(self, old: KubeObject, new: KubeObject) -> None:
            raise RuntimeError("boom")

        def on_delete(self, obj: KubeObject | DeletedFinalStateUnknown[KubeObject]) -> None:
            raise RuntimeError("boom")

    api = FakeApi()
    async with running(api) as run:
        registration = run.informer.add_event_handler(Broken())
        late = Recorder(run.informer)
        run.informer.add_event_handler(late)
        await run.after(1)
        api.create("a")
        api.update("a")
        run.expected_handler_error_count = 2
        assert await run.after(1) == late.take() == [("add", "a"), ("update", "a")]
        registration.remove()
        api.delete("a")
        assert await run.after(1) == [("delete", "a")]
    assert "boom" in capsys.readouterr().out


async def test_a_handler_that_comes_late_is_told_of_what_is_there() -> None:
    api = FakeApi()
    api.create("a")
    async with running(api) as run:
        await run.after(1)
        late = Recorder(run.informer)
        registration = run.informer.add_event_handler(late)
        assert registration.has_synced
        assert late.take() == [("initial", "a")]
        api.update("a")
        await run.after(1)
        assert late.take() == [("update", "a")]


async def test_a_handler_has_synced_only_after_the_whole_initial_list() -> None:
    api = FakeApi()
    for number in range(1200):
        api.create(f"a{number}")
    async with running(api) as run:
        registration = run.informer.add_event_handler(Recorder(run.informer))
        seen = 0
        await asyncio.sleep(0.001)  # what the list takes; a loop of turns alone would stop the virtual clock
        while not registration.has_synced:
            await asyncio.sleep(0)
            seen = max(seen, len(run.recorder.view) if not registration.has_synced else 0)
        assert 0 < seen < 1200  # the rest of the loop had its turns
        assert len(run.recorder.view) == 1200


async def test_namespaces_fill_one_store_each_in_its_own_scope() -> None:
    api = FakeApi()
    for namespace in ("one", "two", "other"):
        api.create("a", namespace)
    api.list_faults.append(REFUSED)
    async with running(api, namespaces=("one", "two")) as run:
        await run.after(0.5)
        assert len(run.recorder.view) == 1
        assert not run.informer.has_synced
        await run.factory.wait_for_sync()
        assert {obj.metadata.namespace for obj in run.informer.lister.list()} == {"one", "two"}
        assert len(list(run.informer.lister.list("one"))) == 1
        run.recorder.take()
        api.break_streams()
        api.delete("a", "two")
        api.compact()
        assert await run.after(60) == [("tombstone", "a")]
        assert [obj.metadata.namespace for obj in run.informer.lister.list()] == ["one"]
        assert run.informer.synced_version("one") == str(api.version)
        assert run.informer.synced_version("other") == ""


async def test_a_streaming_list_is_taken_over_at_once_and_its_stream_goes_on() -> None:
    api = FakeApi()
    api.create("a")
    api.create("b")
    async with running(api, streaming=True) as run:
        await run.factory.wait_for_sync()
        assert run.recorder.take() == [("initial", "a"), ("initial", "b")]
        api.update("a")
        assert await run.after(1) == [("update", "a")]
        assert api.asked(watch=False) == []
        assert len(api.asked(watch=True)) == 1
        api.delete("b")
        api.compact()
        api.break_streams()
        await run.after(60)
        run.assert_same()
        assert api.asked(watch=False) == []


async def test_a_streaming_list_that_breaks_leaves_no_trace_and_a_plain_one_follows() -> None:
    api = FakeApi()
    api.create("a")
    async with running(api, streaming=True) as run:
        await run.after(1)
        api.create("b")
        await run.after(1)
        run.recorder.take()
        api.breaks_streaming_lists = True
        api.break_streams()
        api.watch_faults.append(EXPIRED)
        assert await run.after(10) == []
        assert len(api.asked(watch=False)) == 1
        run.assert_same()


async def test_a_server_without_streaming_lists_is_asked_for_one_once() -> None:
    api = FakeApi()
    api.understands_streaming_lists = False
    async with running(api, streaming=True) as run:
        await run.factory.wait_for_sync()
        api.compact()
        api.break_streams()
        await run.after(60)
        assert sum("sendInitialEvents" in query for query in api.asked(watch=True)) == 1
        assert len(api.asked(watch=False)) == 1


async def test_a_list_and_a_watch_that_a_library_breaks_off_are_tried_again() -> None:
    api = FakeApi()
    api.create("a")
    api.list_faults.append(asyncio.CancelledError())
    async with running(api) as run:
        await run.factory.wait_for_sync()
        api.cancel_streams()
        api.watch_faults.append(asyncio.CancelledError())
        api.create("b")
        await run.after(60)
        run.assert_same()
        assert len(run.informer.store) == 2


async def test_a_resource_that_is_not_served_ends_them_all() -> None:
    api = FakeApi()
    api.is_served = False
    factory = SharedInformerFactory(Client(api), random=random.Random(1))
    factory.informer(THINGS)
    with pytest.raises(ResourceNotServed):
        await factory.run()


@asynccontextmanager
async def optional(api: FakeApi, served: list[bool]) -> AsyncIterator[tuple[DiscoveredInformer[KubeObject], Recorder]]:
    factory = SharedInformerFactory(Client(api), random=random.Random(1))
    informer = factory.discovered_informer(THINGS, on_served_changed=served.append)
    recorder = Recorder(informer.informer)
    informer.informer.add_event_handler(recorder)
    async with at_work(factory):
        yield informer, recorder


async def test_an_optional_resource_comes_and_goes() -> None:
    api, served = FakeApi(), list[bool]()
    api.create("a")
    api.is_served = False
    async with optional(api, served) as (informer, recorder):
        await informer.wait_for_sync()
        assert not informer.is_served
        for _ in range(2):
            api.is_served = True
            await asyncio.sleep(11)
            assert informer.is_served
            assert recorder.take() == [("initial", "a")]
            api.is_served = False
            api.close_streams()
            await asyncio.sleep(11)
            assert not informer.is_served
            assert recorder.take() == [("tombstone", "a")]
            assert informer.has_synced
            assert informer.informer.synced_version("ns") == ""
        assert served == [True, False, True, False]
        api.is_served = True
        await asyncio.sleep(0.1)
        assert not informer.is_served
        informer.check_now()
        await asyncio.sleep(0.1)
        assert informer.is_served


async def test_an_optional_resource_that_is_forbidden_is_not_there_and_says_why_until_it_is_granted() -> None:
    api, served = FakeApi(), list[bool]()
    api.create("a")
    api.list_faults.extend([status(403, "Forbidden")] * 3)
    async with optional(api, served) as (informer, recorder):
        await informer.wait_for_sync()
        assert now() < 1
        assert not informer.is_served
        assert informer.problem == "the controller may not list things.test.io in all namespaces"
        await asyncio.sleep(30)
        assert informer.is_served
        assert informer.problem == ""
        assert recorder.take() == [("initial", "a")]
        api.watch_faults.append(status(403, "Forbidden"))
        api.close_streams()
        await asyncio.sleep(0.5)
        assert informer.problem == "the controller may not watch things.test.io in all namespaces"
        await asyncio.sleep(30)
        assert informer.is_served
    assert served == [False, True, False, True]


@pytest.mark.parametrize("is_discovery", [True, False])
async def test_an_optional_resource_that_fails_holds_up_nobody_for_long(is_discovery: bool) -> None:
    api, served = FakeApi(), list[bool]()
    (api.discovery_faults if is_discovery else api.list_faults).extend([status(500, "InternalError")] * 10)
    async with optional(api, served) as (informer, _):
        await informer.wait_for_sync()
        assert now() < 20
        assert not informer.is_served
        assert "things.test.io" in informer.problem
        await asyncio.sleep(600)
        assert informer.is_served
        assert informer.problem == ""


async def test_an_optional_resource_that_stays_forbidden_goes_on_saying_so() -> None:
    api = FakeApi()
    api.list_faults.extend([status(403, "Forbidden")] * 6)
    factory = SharedInformerFactory(Client(api), random=random.Random(1))
    informer = factory.discovered_informer(THINGS)
    assert informer.informer.last_sync_resource_version == ""
    async with at_work(factory):
        await asyncio.sleep(15)
        assert informer.problem == "the controller may not list things.test.io in all namespaces"
        await asyncio.sleep(200)
        assert informer.is_served
        assert informer.lister.get(ObjectName("ns", "a")) is None


async def test_a_discovery_that_is_forbidden_is_told_at_once() -> None:
    api, served = FakeApi(), list[bool]()
    api.discovery_faults.append(status(403, "Forbidden"))
    async with optional(api, served) as (informer, _):
        await informer.wait_for_sync()
        assert now() < 1
        assert "discovery of things.test.io fails" in informer.problem
        await asyncio.sleep(20)
        assert informer.is_served


async def test_a_group_version_without_the_resource_does_not_serve_it() -> None:
    api, served = FakeApi(), list[bool]()
    api.is_discovered = False
    async with optional(api, served) as (informer, _):
        await informer.wait_for_sync()
        assert not informer.is_served


async def test_a_404_that_discovery_does_not_confirm_empties_nothing() -> None:
    api, served = FakeApi(), list[bool]()
    api.create("a")
    async with optional(api, served) as (informer, recorder):
        await asyncio.sleep(2)
        api.watch_faults.append(status(404, "NotFound"))
        api.close_streams()
        await asyncio.sleep(20)
        assert recorder.take() == [("initial", "a")]
        assert informer.is_served
        assert served == [True]
    assert [query["resourceVersion"] for query in api.asked(watch=False)] == ["0", "101"]  # not back in time


async def test_two_informers_of_one_resource_both_run() -> None:
    api = FakeApi()
    api.create("a")
    factory = SharedInformerFactory(Client(api), random=random.Random(1))
    informers = [factory.informer(THINGS, label_selector=selector) for selector in ("a", "b")]
    async with at_work(factory):
        await factory.wait_for_sync()
        assert [len(list(informer.lister.list())) for informer in informers] == [1, 1]
