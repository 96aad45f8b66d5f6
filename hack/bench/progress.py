"""What a watch of the pods shows: how many there are and are ready, and when each group became so."""

from __future__ import annotations

import asyncio
import random
import time
from collections import defaultdict
from collections.abc import Callable

from modelinfer_controller.api import well_known
from modelinfer_controller.api.core import Pod
from modelinfer_controller.kube.cache.factory import SharedInformerFactory
from modelinfer_controller.kube.cache.handlers import DeletedFinalStateUnknown, last_state
from modelinfer_controller.kube.client import Client
from modelinfer_controller.kube.resource import PODS

TIMEOUT = 900.0
PODS_IN_GROUP = 2


class Progress:
    """Follows all pods of a namespace that a label selector picks, by default those of ours.

    Times are wall-clock seconds, comparable to the audit log.

    Each event costs the same however many pods there are, or the benchmark would measure itself.
    """

    def __init__(self, client: Client, namespace: str, selector: str = well_known.NAME) -> None:
        self._client = client
        self._selector = selector
        self._namespace = namespace
        self._changed = asyncio.Event()
        self.seen: set[str] = set()  # UIDs of every pod that there ever was
        self.ready: dict[str, str] = {}  # name -> UID of the pods that are ready now
        self.gone_count = 0
        self.group_ready_at: list[tuple[float, str]] = []  # each time a group became ready as a whole
        self._ready_by_group: dict[str, set[str]] = defaultdict(set)

    async def follow(self) -> None:
        """Ends by cancellation. An informer, since a busy server ends watches that cannot keep up."""
        factory = SharedInformerFactory(self._client, random=random.Random(), namespaces=[self._namespace])
        factory.informer(PODS, label_selector=self._selector).add_event_handler(self)
        await factory.run()

    # ResourceEventHandler

    def on_add(self, obj: Pod, is_in_initial_list: bool) -> None:
        self._see(obj)
        self._changed.set()

    def on_update(self, old: Pod, new: Pod) -> None:
        self._see(new)
        self._changed.set()

    def on_delete(self, obj: Pod | DeletedFinalStateUnknown[Pod]) -> None:
        self._lose(last_state(obj))
        self.gone_count += 1
        self._changed.set()

    def _see(self, pod: Pod) -> None:
        self.seen.add(pod.metadata.uid)
        if not pod.is_ready:
            self._lose(pod)
        elif pod.metadata.name not in self.ready:
            self.ready[pod.metadata.name] = pod.metadata.uid
            group = _group_of(pod)
            self._ready_by_group[group].add(pod.metadata.name)
            if len(self._ready_by_group[group]) == PODS_IN_GROUP:
                self.group_ready_at.append((time.time(), group))

    def _lose(self, pod: Pod) -> None:
        if self.ready.pop(pod.metadata.name, None) is not None:
            self._ready_by_group[_group_of(pod)].discard(pod.metadata.name)

    async def until(self, holds: Callable[[], bool]) -> float:
        """The wall-clock time at which the condition was first seen to hold."""
        async with asyncio.timeout(TIMEOUT):
            while not holds():
                self._changed.clear()
                await self._changed.wait()
        return time.time()

    async def until_ready(self, count: int) -> float:
        return await self.until(lambda: len(self.ready) >= count)


def _group_of(pod: Pod) -> str:
    """Of a pod that is another controller's: itself."""
    return pod.metadata.labels.get(well_known.GROUP_NAME, pod.metadata.name)
