"""Objects by name, with indices. Objects in it are frozen; who reads must not expect the next read to be the same."""

from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from typing import Generic, Protocol, TypeAlias, TypeVar

from modelinfer_controller.api.core import KubeObject
from modelinfer_controller.api.names import ObjectName

T = TypeVar("T", bound=KubeObject)
T_co = TypeVar("T_co", bound=KubeObject, covariant=True)

IndexFunc: TypeAlias = Callable[[T], Iterable[Hashable]]
"""The values under which an object is found in one index; pure, and total: an object without any gives none."""

Indexers: TypeAlias = Mapping[str, IndexFunc[T]]


class Lister(Protocol[T_co]):
    """Read access to a cache."""

    def get(self, key: ObjectName) -> T_co | None: ...

    def list(self, namespace: str | None = None) -> Iterable[T_co]:
        """All objects, of one namespace or of all, in the order in which they first came."""

    def by_index(self, index: str, value: Hashable) -> Iterable[T_co]:
        """Objects whose index function gave the value. Raises KeyError for an index that the store does not have."""


def by_controller_uid(obj: KubeObject) -> Iterable[Hashable]:
    """Index by the UID of the controller reference: the objects that an owner controls."""
    controller = obj.metadata.controller
    return () if controller is None else (controller.uid,)


class Store(Generic[T]):
    """Implements `Lister`. Invariant: an object stands in exactly the index entries that its functions gave."""

    def __init__(self, indexers: Indexers[T] | None = None) -> None:
        self._indexers = dict(indexers or {})
        self._objects: dict[ObjectName, T] = {}
        # Keys as dicts without values: sets that keep their order, so that reads are deterministic.
        self._indices: dict[str, dict[Hashable, dict[ObjectName, None]]] = {name: {} for name in self._indexers}

    def __len__(self) -> int:
        return len(self._objects)

    def __contains__(self, key: ObjectName) -> bool:
        return key in self._objects

    def object_names(self) -> tuple[ObjectName, ...]:
        """As of now: the store may change while they are gone through."""
        return tuple(self._objects)

    def get(self, key: ObjectName) -> T | None:
        return self._objects.get(key)

    def list(self, namespace: str | None = None) -> tuple[T, ...]:
        if namespace is None:
            return tuple(self._objects.values())
        return tuple(obj for key, obj in self._objects.items() if key.namespace == namespace)

    def by_index(self, index: str, value: Hashable) -> tuple[T, ...]:
        return tuple(self._objects[key] for key in self._indices[index].get(value, ()))

    def index_values(self, index: str) -> tuple[Hashable, ...]:
        """The values under which the index has at least one object."""
        return tuple(self._indices[index])

    def put(self, obj: T) -> T | None:
        """Stores the object in place of that of the same name, which it returns."""
        key = obj.metadata.object_name
        values = {name: tuple(indexer(obj)) for name, indexer in self._indexers.items()}  # before anything changes
        previous = self._objects.get(key)
        if previous is not None:
            self._unindex(key, previous)
        self._objects[key] = obj
        for name, entries in values.items():
            for value in entries:
                self._indices[name].setdefault(value, {})[key] = None
        return previous

    def remove(self, key: ObjectName) -> T | None:
        """Takes the object out and returns it."""
        previous = self._objects.pop(key, None)
        if previous is not None:
            self._unindex(key, previous)
        return previous

    def __iter__(self) -> Iterator[T]:
        return iter(self.list())

    def _unindex(self, key: ObjectName, obj: T) -> None:
        for name, indexer in self._indexers.items():
            index = self._indices[name]
            for value in indexer(obj):
                keys = index.get(value, {})
                keys.pop(key, None)
                if not keys:
                    index.pop(value, None)
