"""What a streaming list may hold beside the objects."""

import asyncio
import random
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from modelinfer_controller.api.core import KubeObject, ListMeta, ObjectList, ObjectMeta
from modelinfer_controller.kube.cache.informer import SharedInformer
from modelinfer_controller.kube.watch import Added, Bookmark, Deleted, WatchEvent


def thing(name: str, version: str) -> KubeObject:
    return KubeObject(metadata=ObjectMeta(name=name, namespace="ns", uid=name, resource_version=version))


END = Bookmark("5", is_initial_events_end=True)


class Script:
    """A ListerWatcher whose watches play these events and then close, the last one not."""

    namespace = None

    def __init__(self, *watches: Sequence[WatchEvent[KubeObject]]) -> None:
        self.left = list(watches)
        self.lists = 0

    async def list(self, resource_version: str) -> ObjectList[KubeObject]:
        self.lists += 1
        return ObjectList(metadata=ListMeta(resource_version="9"), items=(thing("listed", "9"),))

    @asynccontextmanager
    async def watch(
        self, resource_version: str, timeout_seconds: int, *, send_initial_events: bool = False
    ) -> AsyncIterator[Any]:
        yield self
        await asyncio.sleep(0)

    async def events(self) -> AsyncIterator[WatchEvent[KubeObject]]:
        for event in self.left.pop(0):
            yield event
        if not self.left:
            await asyncio.get_running_loop().create_future()


async def names_after(script: Script) -> set[str]:
    informer = SharedInformer("things", [script], random=random.Random(1), use_streaming_list=True)
    running = asyncio.create_task(informer.run())
    await asyncio.sleep(0)
    assert informer.seconds_since_contact() is None
    await asyncio.sleep(0.5)
    assert informer.seconds_since_contact() is not None
    assert informer.has_synced
    found = {key.name for key in informer.store.object_names()}
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    return found


async def test_bookmarks_and_deletions_before_the_end_of_the_list() -> None:
    script = Script([Added(thing("a", "1")), Bookmark("2"), Added(thing("b", "3")), Deleted(thing("a", "4")), END])
    assert await names_after(script) == {"b"}


async def test_an_older_bookmark_moves_nothing_back() -> None:
    script = Script([Added(thing("a", "1")), END, Bookmark("3"), Bookmark(""), Added(thing("b", "6"))])
    assert await names_after(script) == {"a", "b"}


async def test_a_stream_that_ends_before_the_list_does_is_replaced_by_a_list() -> None:
    script = Script([Added(thing("a", "1"))], [])
    assert await names_after(script) == {"listed"}
    assert script.lists == 1
