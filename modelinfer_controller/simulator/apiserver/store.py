"""etcd and the watch cache in one: the objects of each kind, one revision for all, a bounded history to watch."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum

from modelinfer_controller.simulator.apiserver.kinds import KindKey
from modelinfer_controller.simulator.objects import Object, encode, with_metadata

Key = tuple[str, str]
"""Namespace and name; namespace is "" for cluster-scoped kinds."""


class ChangeType(StrEnum):
    """What became of an object."""

    ADDED = "ADDED"
    MODIFIED = "MODIFIED"
    DELETED = "DELETED"


class Stored:
    """One version of an object: its JSON, which nobody changes, and its bytes, encoded once."""

    __slots__ = ("_raw", "object", "revision")

    def __init__(self, obj: Object, revision: int) -> None:
        self.object = obj
        self.revision = revision
        self._raw: bytes | None = None

    @property
    def raw(self) -> bytes:
        if self._raw is None:
            self._raw = encode(self.object)
        return self._raw


@dataclass(frozen=True, slots=True)
class Change:
    """One write. stored is the new version, of a deletion the last one; previous is None of an addition."""

    kind_key: KindKey
    key: Key
    type: ChangeType
    stored: Stored
    previous: Stored | None

    @property
    def revision(self) -> int:
        return self.stored.revision


class TooOld(Exception):
    """The history no longer reaches back to the revision; oldest is the first one that it does reach."""

    def __init__(self, oldest: int) -> None:
        super().__init__(oldest)
        self.oldest = oldest


@dataclass(slots=True)
class Collection:
    """All objects of one kind, and its last changes: those with a revision above `compacted`."""

    objects: dict[Key, Stored] = field(default_factory=dict)
    history: deque[Change] = field(default_factory=deque)
    compacted: int = 0

    def since(self, revision: int) -> list[Change]:
        """Changes above the revision, oldest first. Raises TooOld."""
        self._check_reach(revision)
        newer: list[Change] = []
        for change in reversed(self.history):
            if change.revision <= revision:
                break
            newer.append(change)
        newer.reverse()
        return newer

    def at(self, revision: int) -> dict[Key, Stored]:
        """The objects as they were at the revision. Raises TooOld."""
        objects = dict(self.objects)
        for change in reversed(self.since(revision)):
            if change.previous is None:
                del objects[change.key]
            else:
                objects[change.key] = change.previous
        return objects

    def _check_reach(self, revision: int) -> None:
        if revision < self.compacted:
            raise TooOld(self.compacted)


class Store:
    """Every write takes the next revision, and is passed to the listeners before it returns."""

    def __init__(self, history_limit: int = 10_000, first_revision: int = 1) -> None:
        """history_limit is the number of changes kept of each kind."""
        self.revision = first_revision
        self._first_revision = first_revision
        self._history_limit = history_limit
        self._collection_by_kind: dict[KindKey, Collection] = {}
        self._listeners: list[Callable[[Change], None]] = []

    def listen(self, listener: Callable[[Change], None]) -> None:
        """Calls the listener with every change, in order. It must neither write nor raise."""
        self._listeners.append(listener)

    def collection(self, kind_key: KindKey) -> Collection:
        collection = self._collection_by_kind.get(kind_key)
        if collection is None:
            collection = self._collection_by_kind[kind_key] = Collection(compacted=self._first_revision)
        return collection

    def get(self, kind_key: KindKey, key: Key) -> Stored | None:
        return self.collection(kind_key).objects.get(key)

    def put(self, kind_key: KindKey, key: Key, obj: Object) -> Stored:
        """Adds or replaces; the object gets its resourceVersion here."""
        self.revision += 1
        collection = self.collection(kind_key)
        previous = collection.objects.get(key)
        stored = self._stored(obj)
        collection.objects[key] = stored
        type_ = ChangeType.ADDED if previous is None else ChangeType.MODIFIED
        self._record(collection, Change(kind_key, key, type_, stored, previous))
        return stored

    def reread(self, kind_key: KindKey, shape: Callable[[Object], Object]) -> None:
        """Shows each object of the kind as `shape` makes it, at the version that it has. No watch sees it."""
        collection = self.collection(kind_key)
        for key, stored in collection.objects.items():
            collection.objects[key] = Stored(shape(stored.object), stored.revision)

    def remove(self, kind_key: KindKey, key: Key, last: Object) -> Stored:
        """Removes the object; `last` is its final state. The deletion has a revision of its own."""
        self.revision += 1
        collection = self.collection(kind_key)
        previous = collection.objects.pop(key)
        stored = self._stored(last)
        self._record(collection, Change(kind_key, key, ChangeType.DELETED, stored, previous))
        return stored

    def _stored(self, obj: Object) -> Stored:
        """The next version. Its type comes first, so that lists can leave it out of the encoded bytes."""
        typed = {"apiVersion": obj["apiVersion"], "kind": obj["kind"], **obj}
        return Stored(with_metadata(typed, resourceVersion=str(self.revision)), self.revision)

    def compact(self, kind_key: KindKey) -> None:
        """Forgets the kind's history: every watch and list from an older revision is Expired."""
        collection = self.collection(kind_key)
        collection.history.clear()
        collection.compacted = self.revision

    def _record(self, collection: Collection, change: Change) -> None:
        collection.history.append(change)
        while len(collection.history) > self._history_limit:
            collection.compacted = collection.history.popleft().revision
        for listener in self._listeners:
            listener(change)
