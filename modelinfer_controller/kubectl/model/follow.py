"""Following ModelInfers: the controller's own caches, kept by watches, and a snapshot at each change."""

import asyncio
import random
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any, NoReturn

from modelinfer_controller.api.core import Node
from modelinfer_controller.api.names import ObjectName
from modelinfer_controller.api.status import ModelInfer
from modelinfer_controller.controller.caches import Caches, build_caches
from modelinfer_controller.controller.node_watch import NodeWatch
from modelinfer_controller.controller.observe import Observer
from modelinfer_controller.exits import Exit
from modelinfer_controller.kube.cache.reflector import ResourceNotServed
from modelinfer_controller.kube.client import Client
from modelinfer_controller.kube.clock import Clock
from modelinfer_controller.kubectl.model.access import missing_right
from modelinfer_controller.kubectl.model.kubeconfig import failure
from modelinfer_controller.kubectl.model.snapshot import (
    Snapshot,
    crd_missing,
    decode_spec,
    read_model_infer,
    read_nodes,
)
from modelinfer_controller.planning.disruption_budget import published_taints
from modelinfer_controller.planning.nodes import LEAVING_TAINTS, UNKNOWN_NODES, Nodes
from modelinfer_controller.planning.observed import Owner

SETTLE = 0.1  # seconds: changes that come together are told as one
LOOK_AGAIN = 0.2  # seconds: whether the first lists are refused


class Follower:
    """Snapshots of ModelInfers out of caches that follow the cluster.

    key: the one that `snapshot` is of. running: the task that keeps the caches.
    """

    def __init__(
        self,
        caches: Caches,
        nodes: Mapping[str, Node],
        key: ObjectName | None,
        clock: Clock,
        running: asyncio.Task[NoReturn],
    ) -> None:
        self._caches = caches
        self._changed = asyncio.Event()
        self._taints: Collection[str] = LEAVING_TAINTS
        self._node_watch = NodeWatch(caches.nodes, self._taints, lambda node: self._changed.set())
        self._observer = Observer(caches, self._judged_nodes)
        self._nodes = nodes
        self._key = key
        self._clock = clock
        self._running = running
        self._silence = 0.0
        self._known_errors = 0
        for informer in (caches.model_infers, *(children.informer for children in caches.children())):
            informer.add_event_handler(self)

    def _judged_nodes(self) -> Nodes:
        """As the controller judges them, by the taints that it publishes."""
        taints = published_taints(self._caches.disruption_budgets.informer.store)
        if set(taints) != set(self._taints):
            self._taints = taints
            self._node_watch = NodeWatch(self._caches.nodes, taints, lambda node: self._changed.set())
        found = self._node_watch.nodes
        return found if found.are_known else UNKNOWN_NODES

    def snapshot(self, key: ObjectName | None = None) -> Snapshot:
        """Of that one, else of the follower's own. Raises Exit when it is no more, or can be followed no longer."""
        self.require_access()
        chosen = key or self._key
        stored = self._caches.model_infers.lister.get(chosen) if chosen is not None else None
        if stored is None:
            raise failure(f"ModelInfer {chosen.name if chosen is not None else ''} is gone")
        return self._of(stored)

    def snapshots(self) -> list[Snapshot]:
        """Of every ModelInfer that can be decoded. Raises Exit when they can be followed no longer."""
        self.require_access()
        found: list[Snapshot] = []
        for stored in self._caches.model_infers.lister.list():
            with suppress(Exit):
                found.append(self._of(stored))
        return found

    def _of(self, stored: ModelInfer) -> Snapshot:
        spec, violations = decode_spec(bytes(stored.spec), stored.metadata.name)
        owner = Owner(stored.metadata, spec, bytes(stored.spec), stored.status)
        pods = {pod.metadata.name: pod for pod in self._caches.pods.of(owner.metadata.uid)}
        return Snapshot(stored, self._observer.observe(owner), pods, self._nodes, violations, self._clock.now())

    async def wait(self, seconds: float) -> None:
        """Until something has changed, or that much time has passed."""
        try:
            async with asyncio.timeout(seconds):
                await self._changed.wait()
            await asyncio.sleep(SETTLE)
        except TimeoutError:
            pass
        self._changed.clear()

    def require_access(self) -> None:
        """Raises Exit where the caches cannot be kept: a right is missing, or the kind has gone."""
        for informer in self._caches.required_informers:
            if informer.missing_permission is not None:
                verb, namespace = informer.missing_permission
                raise failure(missing_right(verb, informer.name, namespace))
        if self._running.done():
            try:
                self._running.result()
            except ResourceNotServed as error:
                raise crd_missing() from error

    def silence(self) -> float:
        """For how many seconds nothing has been heard of the API server; 0 where its watches stand."""
        informer = self._caches.model_infers
        errors = informer.counters.list_error_count + informer.counters.watch_error_count
        silence = informer.seconds_since_contact() or 0.0
        if silence <= self._silence:  # it has been heard of since
            self._known_errors = errors
        self._silence = silence
        return silence if errors > self._known_errors else 0.0

    # ResourceEventHandler of every kind.

    def on_add(self, obj: Any, is_in_initial_list: bool) -> None:
        self._changed.set()

    def on_update(self, old: Any, new: Any) -> None:
        self._changed.set()

    def on_delete(self, obj: Any) -> None:
        self._changed.set()


@asynccontextmanager
async def following(client: Client, key: ObjectName, clock: Clock) -> AsyncIterator[Follower]:
    """Raises Exit where there is none of that name, and what the informers fail with."""
    await read_model_infer(client, key.namespace, key.name)
    async with _followed(client, [key.namespace], key, clock) as follower:
        yield follower


@asynccontextmanager
async def following_all(client: Client, namespace: str | None, clock: Clock) -> AsyncIterator[Follower]:
    """Every ModelInfer of the namespace, or of all namespaces."""
    async with _followed(client, [namespace] if namespace else [], None, clock) as follower:
        yield follower


@asynccontextmanager
async def _followed(
    client: Client, namespaces: Sequence[str], key: ObjectName | None, clock: Clock
) -> AsyncIterator[Follower]:
    nodes = await read_nodes(client)
    caches = build_caches(client, namespaces, random=random.Random(), clock=clock, on_support_changed=lambda: None)
    running = asyncio.create_task(caches.run(), name="informers")
    syncing = asyncio.create_task(caches.wait_for_sync(), name="initial lists")
    try:
        follower = Follower(caches, nodes, key, clock, running)
        while not syncing.done():
            await asyncio.wait([running, syncing], return_when=asyncio.FIRST_COMPLETED, timeout=LOOK_AGAIN)
            follower.require_access()
        yield follower
    finally:
        running.cancel()
        syncing.cancel()
        await asyncio.gather(running, syncing, return_exceptions=True)
