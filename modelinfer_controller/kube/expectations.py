"""Reading one's own writes: what the controller did and its cache has not shown yet.

A cache lags behind the server. A controller that plans from the cache alone creates twice and deletes twice; one that
plans from cache plus expectations sees each write from the moment the server confirmed it.
"""

import asyncio
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Generic, Protocol, TypeVar

import msgspec
import structlog

from modelinfer_controller.api.core import KubeObject
from modelinfer_controller.api.names import ObjectName
from modelinfer_controller.kube.cache.handlers import DeletedFinalStateUnknown, last_state
from modelinfer_controller.kube.cache.version import is_older
from modelinfer_controller.kube.clock import Clock

T = TypeVar("T", bound=KubeObject)
Owner = TypeVar("Owner", bound=Hashable)

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _Write(Generic[T, Owner]):
    obj: T
    owner: Owner | None
    expires_at: float


@dataclass(frozen=True, slots=True)
class _Deletion(Generic[Owner]):
    deleted_at: datetime
    expires_at: float
    name: ObjectName | None
    owner: Owner | None


class Expectations(Generic[T, Owner]):
    """Own writes of one resource, each kept until the cache has shown it or something newer, or `timeout` seconds.

    A written object (created or updated) is kept by its name, a deletion by its UID: a name may get a new object, a UID
    never does. A write is over when
      - the cache shows an object of its name that is not older, whatever its UID, or the deletion of its UID;
      - or the cache has reached the write's resource version: then what it shows, or does not show, is the truth.
        Without this rule an object whose creation and deletion fell into one gap of the watch, or were both seen
        before the response to the creation came, would be a phantom.
    An object of that name that is older, its update or its deletion, ends nothing: it is the predecessor's.
    A deletion is over when the cache shows the object terminating, or gone.

    Is a ResourceEventHandler of the resource's informer. owner_of says whose an object is (by UID), None for nobody's.
    synced_version(namespace) is the version that the cache of that namespace has, "" before its first list.
    Resource versions of one resource are compared as integers; where they are none, only a shown UID ends a write.
    """

    def __init__(
        self,
        owner_of: Callable[[T], Owner | None],
        *,
        synced_version: Callable[[str], str],
        clock: Clock,
        timeout: float = 300.0,
    ) -> None:
        self._owner_of = owner_of
        self._synced_version = synced_version
        self._clock = clock
        self._timeout = timeout
        # Both in the order in which they expire.
        self._writes: dict[ObjectName, _Write[T, Owner]] = {}
        self._deletions: dict[str, _Deletion[Owner]] = {}
        self._names_by_owner: dict[Owner | None, dict[ObjectName, None]] = {}
        self._deleted_by_owner: dict[Owner, dict[str, ObjectName]] = {}  # then by UID

    @property
    def pending_count(self) -> int:
        """Writes and deletions that are waited for; those already shown may count until the next `overlay`."""
        return len(self._writes) + len(self._deletions)

    def created(self, obj: T) -> None:
        """Notes what the server answered to a creation."""
        self.written(obj)

    def written(self, obj: T) -> None:
        """Notes what the server answered to a creation, update or patch. Of two of one name the newer counts."""
        name = obj.metadata.object_name
        earlier = self._writes.get(name)
        if earlier is not None and not _is_newer(obj, earlier.obj):
            return
        self._drop_write(name)
        write = _Write(obj, self._owner_of(obj), self._time() + self._timeout)
        self._writes[name] = write
        self._names_by_owner.setdefault(write.owner, {})[name] = None

    def deleted(self, uid: str, name: ObjectName | None = None, owner: Owner | None = None) -> None:
        """Notes that the server accepted the deletion of that object, or knows it no more.

        name and owner: for `pending_names`.
        """
        self._drop_deletion(uid)
        self._deletions[uid] = _Deletion(self._clock.now(), self._time() + self._timeout, name, owner)
        if name is not None and owner is not None:
            self._deleted_by_owner.setdefault(owner, {})[uid] = name

    def pending_names(self, owner: Owner) -> list[ObjectName]:
        """Names of the owner's objects that were written or deleted and that the cache may not show so yet."""
        self._expire()
        return [*self._names_by_owner.get(owner, ()), *self._deleted_by_owner.get(owner, {}).values()]

    def written_objects(self, namespace: str | None) -> list[T]:
        """What was written in a namespace, None for all, and that the cache may not show yet."""
        return [write.obj for name, write in self._writes.items() if namespace in (None, name.namespace)]

    def overlay(self, owner: Owner, cached: Iterable[T]) -> list[T]:
        """The owner's objects as the server has them, so far as cache and own writes tell.

        cached is what the cache holds of the owner, read in the same step, without an await between. Returns it with
        each object in its newest known state, deleted ones as terminating, without those that a write gave to
        another owner, and then the written objects that the cache does not show.
        """
        self._expire()
        if not self._writes and not self._deletions:
            return list(cached)
        unseen = dict(self._names_by_owner.get(owner, {}))
        shown: list[T] = []
        for obj in cached:
            name = obj.metadata.object_name
            unseen.pop(name, None)
            latest = self._latest(name, obj)
            if latest is obj or (latest is not None and self._owner_of(latest) == owner):
                shown.append(self._marked(latest))
        created = (self._latest(name, None) for name in unseen)
        return shown + [self._marked(obj) for obj in created if obj is not None]

    def latest(self, name: ObjectName, cached: T | None) -> T | None:
        """`overlay` for one object: cached is what the cache holds of that name, or None."""
        self._expire()
        obj = self._latest(name, cached)
        return None if obj is None else self._marked(obj)

    def on_add(self, obj: T, is_in_initial_list: bool) -> None:
        self._show(obj)

    def on_update(self, old: T, new: T) -> None:
        self._show(new)

    def on_delete(self, obj: T | DeletedFinalStateUnknown[T]) -> None:
        last = last_state(obj)
        self._drop_deletion(last.metadata.uid)
        write = self._writes.get(last.metadata.object_name)
        if write is None:
            return
        is_same = write.obj.metadata.uid == last.metadata.uid
        if is_same or not _is_newer(write.obj, last):
            self._drop_write(last.metadata.object_name)

    def _show(self, obj: T) -> None:
        write = self._writes.get(obj.metadata.object_name)
        if write is not None and not _is_newer(write.obj, obj):
            self._drop_write(obj.metadata.object_name)
        if obj.metadata.is_terminating:
            self._drop_deletion(obj.metadata.uid)

    def _latest(self, name: ObjectName, cached: T | None) -> T | None:
        write = self._writes.get(name)
        if write is None:
            return cached
        if self._is_reached(write) or (cached is not None and not _is_newer(write.obj, cached)):
            self._drop_write(name)
            return cached
        return write.obj

    def _marked(self, obj: T) -> T:
        deletion = self._deletions.get(obj.metadata.uid)
        if deletion is None or obj.metadata.is_terminating:
            return obj
        metadata = msgspec.structs.replace(obj.metadata, deletion_timestamp=deletion.deleted_at)
        return msgspec.structs.replace(obj, metadata=metadata)

    def _is_reached(self, write: _Write[T, Owner]) -> bool:
        reached = self._synced_version(write.obj.metadata.namespace)
        written = write.obj.metadata.resource_version
        return reached.isdigit() and written.isdigit() and not is_older(reached, than=written)

    def _drop_write(self, name: ObjectName) -> None:
        write = self._writes.pop(name, None)
        if write is None:
            return
        names = self._names_by_owner[write.owner]
        del names[name]
        if not names:
            del self._names_by_owner[write.owner]

    def _drop_deletion(self, uid: str) -> None:
        deletion = self._deletions.pop(uid, None)
        if deletion is None or deletion.owner is None:
            return
        names = self._deleted_by_owner[deletion.owner]
        del names[uid]
        if not names:
            del self._deleted_by_owner[deletion.owner]

    def _expire(self) -> None:
        now = self._time()
        for name, write in list(_expired(self._writes, now)):
            if not self._is_reached(write):
                log.warning("The cache did not show an own write in time", object=str(name), seconds=self._timeout)
            self._drop_write(name)
        for uid, _ in list(_expired(self._deletions, now)):
            self._drop_deletion(uid)

    @staticmethod
    def _time() -> float:
        return asyncio.get_running_loop().time()


class _Expiring(Protocol):
    @property
    def expires_at(self) -> float: ...


K = TypeVar("K")
E = TypeVar("E", bound=_Expiring)


def _expired(expiring: dict[K, E], now: float) -> Iterable[tuple[K, E]]:
    """The entries at the front whose time is over; the first that is not ends the search."""
    for key, entry in expiring.items():
        if entry.expires_at > now:
            return
        yield key, entry


def _is_newer(obj: KubeObject, other: KubeObject) -> bool:
    """Whether obj is a later state of its name than other; where versions do not tell, another UID counts as older."""
    ours, theirs = obj.metadata.resource_version, other.metadata.resource_version
    if ours.isdigit() and theirs.isdigit():
        return is_older(theirs, than=ours)
    return obj.metadata.uid != other.metadata.uid
