"""The shared informer: reflectors feed one store, and handlers are notified of what changed in it."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import Generic, NoReturn, TypeVar

from modelinfer_controller.api.core import KubeObject
from modelinfer_controller.kube.backoff import Random
from modelinfer_controller.kube.cache.handlers import DeletedFinalStateUnknown, Handlers, ResourceEventHandler
from modelinfer_controller.kube.cache.reflector import Reflector, ReflectorCounters
from modelinfer_controller.kube.cache.source import ListerWatcher
from modelinfer_controller.kube.cache.store import Indexers, Lister, Store
from modelinfer_controller.kube.errors import Forbidden
from modelinfer_controller.kube.tasks import run_all

T = TypeVar("T", bound=KubeObject)

REPLACE_CHUNK = 500  # objects of a list that are taken over before the rest of the loop gets a turn


@dataclass(frozen=True, slots=True)
class HandlerRegistration(Generic[T]):
    """A handler in an informer."""

    informer: "SharedInformer[T]"
    handler: ResourceEventHandler[T]

    @property
    def has_synced(self) -> bool:
        """Whether the handler has been notified of every object of the initial list."""
        return self.informer.has_synced

    def remove(self) -> None:
        """Notifies the handler no more."""
        self.informer.remove_event_handler(self.handler)


class SharedInformer(Generic[T]):
    """A cache of one resource, from one source for each namespace watched, or one for all.

    For each key: the store and its indices change first, then every handler is notified; the UID of what a key holds
    never changes without an on_delete between. `run` is called once at a time; what it has read stays after it has
    ended.
    """

    def __init__(
        self,
        name: str,
        sources: Sequence[ListerWatcher[T]],
        *,
        random: Random,
        indexers: Indexers[T] | None = None,
        use_streaming_list: bool = False,
        transform: Callable[[T], T] | None = None,
    ) -> None:
        """transform: what is kept of an object, and shown to handlers; name, UID and version must stay.

        source: SetTransform, tools/cache/shared_informer.go
        """
        self.name = name
        self._sources = tuple(sources)
        self._random = random
        self._use_streaming_list = use_streaming_list
        self._transform: Callable[[T], T] = transform or (lambda obj: obj)
        self._store: Store[T] = Store(indexers)
        self._handlers: Handlers[T] = Handlers(name)
        self._reflectors: tuple[Reflector[T], ...] = ()
        self._counted = ReflectorCounters()  # of reflectors that are no more
        self._synced = asyncio.Event()
        self._unlisted_scopes = {source.namespace for source in self._sources}
        self._forbidden: dict[tuple[str, str | None], Forbidden] = {}  # by verb and namespace
        self._on_access_changed: Callable[[], None] = lambda: None
        self._on_replaced: Callable[[str | None], None] = lambda namespace: None

    @property
    def lister(self) -> Lister[T]:
        return self._store

    @property
    def store(self) -> Store[T]:
        """To be read only."""
        return self._store

    @property
    def has_synced(self) -> bool:
        """Whether the initial list of every source is in the store, and every handler notified of it."""
        return self._synced.is_set()

    async def wait_for_sync(self) -> None:
        await self._synced.wait()

    @property
    def missing_permission(self) -> tuple[str, str | None] | None:
        """A verb, list or watch, and the namespace (None: all) in which the server forbids it now; None if none."""
        return next(iter(self._forbidden), None)

    def on_access_changed(self, observe: Callable[[], None]) -> None:
        """observe() is called when `missing_permission` may have changed. Must not block or raise."""
        self._on_access_changed = observe

    def on_replaced(self, observe: Callable[[str | None], None]) -> None:
        """observe(namespace) is called after each list has replaced what the cache held of a namespace, None for all.

        What came and went while no watch was open is in no event: whoever waits for an object of his own making has to
        look again. Must not block or raise.
        """
        self._on_replaced = observe

    @property
    def counters(self) -> ReflectorCounters:
        """Sums over all sources since the start."""
        return _sum([self._counted, *(reflector.counters for reflector in self._reflectors)])

    @property
    def handler_error_count(self) -> int:
        return self._handlers.error_count

    @property
    def last_sync_resource_version(self) -> str:
        """What the cache is surely as new as: with several sources, the version of the one that is furthest behind."""
        versions = [reflector.last_sync_resource_version for reflector in self._reflectors]
        if not versions or not all(version.isdigit() for version in versions):
            return versions[0] if len(versions) == 1 else ""
        return min(versions, key=int)

    def synced_version(self, namespace: str) -> str:
        """The resource version that the cache of a namespace is as new as; "" before its first list."""
        for source, reflector in zip(self._sources, self._reflectors, strict=False):
            if source.namespace in (None, namespace):
                return reflector.last_sync_resource_version
        return ""

    def seconds_since_contact(self) -> float | None:
        """Staleness: since the source longest silent last sent an event, a bookmark or a list, or accepted a watch."""
        silences = [reflector.seconds_since_contact() for reflector in self._reflectors]
        known = [silence for silence in silences if silence is not None]
        return max(known) if known and len(known) == len(silences) else None

    def add_event_handler(self, handler: ResourceEventHandler[T]) -> HandlerRegistration[T]:
        """Notifies the handler at once of what is in the store, as of an initial list, then of what changes."""
        for obj in self._store:
            self._handlers.tell_one(handler, obj)
        self._handlers.append(handler)
        return HandlerRegistration(self, handler)

    def remove_event_handler(self, handler: ResourceEventHandler[T]) -> None:
        self._handlers.remove(handler)

    async def run(self) -> NoReturn:
        """Ends by cancellation. Raises ResourceNotServed when the server does not know the resource."""
        versions = [reflector.last_sync_resource_version for reflector in self._reflectors] or [""] * len(self._sources)
        self._retire_reflectors()
        self._reflectors = tuple(
            Reflector(
                self.name,
                source,
                self,
                random=self._random,
                use_streaming_list=self._use_streaming_list,
                resource_version=version,
            )
            for source, version in zip(self._sources, versions, strict=True)
        )
        await run_all(
            (f"reflector-{self.name}-{source.namespace or 'all'}", reflector.run())
            for source, reflector in zip(self._sources, self._reflectors, strict=True)
        )

    def reset(self) -> None:
        """Empties the store, with tombstones, as before the first list: for a resource that is served no more."""
        self._retire_reflectors()
        self._synced.clear()
        self._forbidden.clear()
        self._unlisted_scopes = {source.namespace for source in self._sources}
        for obj in self._store.list():
            self._delete_unseen(obj)

    # ReflectorSink

    async def replace(self, objects: Sequence[T], namespace: str | None) -> None:
        """See `ReflectorSink.replace`. Deletions come first, so that no name or quota is held twice."""
        listed = {obj.metadata.object_name for obj in objects}
        for obj in self._store.list(namespace):
            if obj.metadata.object_name not in listed:
                self._delete_unseen(obj)
        is_initial = namespace in self._unlisted_scopes
        for position, obj in enumerate(objects, start=1):
            self._put(obj, is_in_initial_list=is_initial)
            if position % REPLACE_CHUNK == 0:
                await asyncio.sleep(0)
        self._unlisted_scopes.discard(namespace)
        if not self._unlisted_scopes:
            self._synced.set()
        self._on_replaced(namespace)

    def put(self, obj: T) -> None:
        """See `ReflectorSink.put`. What the store has in this very version changes nothing."""
        self._put(obj, is_in_initial_list=False)

    def remove(self, obj: T) -> None:
        """See `ReflectorSink.remove`. Another object under the name stays."""
        key = obj.metadata.object_name
        previous = self._store.get(key)
        if previous is not None and previous.metadata.uid == obj.metadata.uid:
            self._store.remove(key)
            self._handlers.deleted(self._transform(obj))

    def answered(self, verb: str, namespace: str | None, forbidden: Forbidden | None) -> None:
        """See `ReflectorSink.answered`."""
        before = self.missing_permission
        if forbidden is not None:
            self._forbidden[verb, namespace] = forbidden
        else:
            self._forbidden.pop((verb, namespace), None)
        if self.missing_permission != before:
            self._on_access_changed()

    def _put(self, obj: T, *, is_in_initial_list: bool) -> None:
        key = obj.metadata.object_name
        previous = self._store.get(key)
        if previous is not None and previous.metadata.uid != obj.metadata.uid:
            self._delete_unseen(previous)
            previous = None
        if previous is not None and previous.metadata.resource_version == obj.metadata.resource_version:
            return
        kept = self._transform(obj)
        self._store.put(kept)
        if previous is None:
            self._handlers.added(kept, is_in_initial_list)
        else:
            self._handlers.updated(previous, kept)

    def _delete_unseen(self, obj: T) -> None:
        key = obj.metadata.object_name
        self._store.remove(key)
        self._handlers.deleted(DeletedFinalStateUnknown(key, obj))

    def _retire_reflectors(self) -> None:
        self._counted = self.counters
        self._reflectors = ()


def _sum(counters: Sequence[ReflectorCounters]) -> ReflectorCounters:
    return ReflectorCounters(
        **{field.name: sum(getattr(each, field.name) for each in counters) for field in fields(ReflectorCounters)}
    )
