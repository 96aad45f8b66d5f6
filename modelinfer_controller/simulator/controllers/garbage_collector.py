"""Garbage collection by owner references: background, foreground and orphan, as kube-controller-manager does it."""

from dataclasses import dataclass
from typing import Any

from modelinfer_controller.kube.controller import Controller, Result
from modelinfer_controller.kube.workqueue import WorkQueue
from modelinfer_controller.simulator.apiserver.deletion import FOREGROUND_FINALIZER, ORPHAN_FINALIZER, DeleteOptions
from modelinfer_controller.simulator.apiserver.kinds import Kind, KindKey
from modelinfer_controller.simulator.apiserver.registry import Registry, WriteOptions
from modelinfer_controller.simulator.apiserver.status_errors import StatusError
from modelinfer_controller.simulator.apiserver.store import Change, ChangeType, Key
from modelinfer_controller.simulator.objects import Object, is_terminating, with_metadata


@dataclass(frozen=True, slots=True)
class Item:
    """One object in the graph of owners and dependents."""

    kind_key: KindKey
    key: Key

    def __str__(self) -> str:
        return f"{self.kind_key[1]}/{self.key[0]}/{self.key[1]}"


class GarbageCollector:
    """Follows every change of the store; `run` deletes what has lost its owners. `latency` seconds after the cause."""

    def __init__(self, registry: Registry, *, latency: float = 0.0) -> None:
        self.latency = latency
        self._registry = registry
        self._queue: WorkQueue[Item] = WorkQueue()
        self._controller = Controller("garbage-collector", self._queue, self._sync)
        self._item_by_uid: dict[str, Item] = {}
        self._dependents_by_owner_uid: dict[str, dict[Item, None]] = {}
        registry.store.listen(self._follow)

    async def run(self) -> None:
        await self._controller.run()

    def _follow(self, change: Change) -> None:
        item, metadata = Item(change.kind_key, change.key), change.stored.object["metadata"]
        before = change.previous.object["metadata"].get("ownerReferences") or [] if change.previous else []
        after = metadata.get("ownerReferences") or [] if change.type is not ChangeType.DELETED else []
        if before != after:
            self._relink(item, before, after)
        if change.type is ChangeType.DELETED:
            self._item_by_uid.pop(metadata["uid"], None)
            self._enqueue_all(self._dependents_by_owner_uid.get(metadata["uid"], {}))
            return
        self._item_by_uid[metadata["uid"]] = item
        if before != after or _awaits_collection(metadata):
            self._enqueue(item)

    def _relink(self, item: Item, before: list[Object], after: list[Object]) -> None:
        for reference in before:
            self._dependents_by_owner_uid.get(reference["uid"], {}).pop(item, None)
            owner = self._item_by_uid.get(reference["uid"])
            if owner is not None and self._is_terminating(owner):
                self._enqueue(owner)
        for reference in after:
            self._dependents_by_owner_uid.setdefault(reference["uid"], {})[item] = None

    def _enqueue(self, item: Item) -> None:
        self._queue.add_after(item, self.latency)

    def _enqueue_all(self, items: dict[Item, None]) -> None:
        for item in items:
            self._enqueue(item)

    def _is_terminating(self, item: Item) -> bool:
        obj = self._object(item)
        return obj is not None and is_terminating(obj)

    def _object(self, item: Item) -> Object | None:
        stored = self._registry.store.get(item.kind_key, item.key)
        return stored.object if stored is not None else None

    async def _sync(self, item: Item) -> Result:
        obj, kind = self._object(item), self._kind(item)
        if obj is None or kind is None:
            return Result()
        try:
            if is_terminating(obj):
                self._collect_dependents(kind, item, obj)
            elif obj["metadata"].get("ownerReferences"):
                self._collect(kind, item, obj)
        except StatusError as error:
            if error.code not in (404, 409):
                raise
        return Result()

    def _kind(self, item: Item) -> Kind | None:
        return next((kind for kind in self._registry.kinds if kind.key == item.kind_key), None)

    def _collect_dependents(self, kind: Kind, item: Item, obj: Object) -> None:
        """An owner that is being deleted and has asked for its dependents to be orphaned, or deleted first."""
        metadata = obj["metadata"]
        finalizers, dependents = (
            metadata.get("finalizers") or [],
            self._dependents_by_owner_uid.get(metadata["uid"], {}),
        )
        if ORPHAN_FINALIZER in finalizers:
            for dependent in list(dependents):
                self._drop_owners(dependent, {metadata["uid"]})
            self._drop_finalizer(kind, item, ORPHAN_FINALIZER)
        elif FOREGROUND_FINALIZER in finalizers:
            if not any(self._blocks(dependent, metadata["uid"]) for dependent in dependents):
                self._drop_finalizer(kind, item, FOREGROUND_FINALIZER)
            else:
                self._enqueue_all(dependents)

    def _blocks(self, dependent: Item, owner_uid: str) -> bool:
        references = self._references(dependent)
        return any(one["uid"] == owner_uid and one.get("blockOwnerDeletion") for one in references)

    def _references(self, item: Item) -> list[Object]:
        obj = self._object(item)
        references: list[Object] = obj["metadata"].get("ownerReferences") or [] if obj is not None else []
        return references

    def _collect(self, kind: Kind, item: Item, obj: Object) -> None:
        """A dependent: deleted once it has no owner left that stays."""
        solid, dangling, waiting = self._classified(item)
        if solid:
            if dangling or waiting:
                self._drop_owners(item, dangling | waiting)
            return
        metadata = obj["metadata"]
        has_dependents = bool(self._dependents_by_owner_uid.get(metadata["uid"]))
        finalizers = metadata.get("finalizers") or []
        if (waiting and has_dependents) or FOREGROUND_FINALIZER in finalizers:
            propagation = "Foreground"
        else:
            propagation = "Orphan" if ORPHAN_FINALIZER in finalizers else "Background"
        self._registry.delete(kind, item.key, DeleteOptions(uid=metadata["uid"], propagation=propagation))

    def _classified(self, item: Item) -> tuple[set[str], set[str], set[str]]:
        """UIDs of the owners that stay, that are not there, and that wait in the foreground for this dependent."""
        solid, dangling, waiting = set(), set(), set()
        for reference in self._references(item):
            owner = self._owner(reference, item)
            if owner is None:
                dangling.add(reference["uid"])
            elif FOREGROUND_FINALIZER in _finalizers_of_terminating(owner) and reference.get("blockOwnerDeletion"):
                waiting.add(reference["uid"])
            else:
                solid.add(reference["uid"])
        return solid, dangling, waiting

    def _owner(self, reference: Object, item: Item) -> Object | None:
        """A namespaced owner must live in the dependent's own namespace, and have the kind that is named."""
        owner = self._item_by_uid.get(reference["uid"])
        if owner is None or (owner.key[0] and owner.key[0] != item.key[0]):
            return None
        obj = self._object(owner)
        if obj is None or (obj["kind"], obj["metadata"]["name"]) != (reference["kind"], reference["name"]):
            return None
        return obj

    def _drop_owners(self, item: Item, uids: set[str]) -> None:
        kind = self._kind(item)
        if kind is not None:
            kept = [one for one in self._references(item) if one["uid"] not in uids]
            self._update(kind, item, ownerReferences=kept or None)

    def _drop_finalizer(self, kind: Kind, item: Item, finalizer: str) -> None:
        obj = self._object(item)
        if obj is not None:
            kept = [one for one in obj["metadata"].get("finalizers") or [] if one != finalizer]
            self._update(kind, item, finalizers=kept or None)

    def _update(self, kind: Kind, item: Item, **metadata: Any) -> None:
        self._registry.update(kind, item.key, lambda old: with_metadata(old, **metadata), WriteOptions())


def _awaits_collection(metadata: Object) -> bool:
    finalizers = metadata.get("finalizers") or []
    return "deletionTimestamp" in metadata and (FOREGROUND_FINALIZER in finalizers or ORPHAN_FINALIZER in finalizers)


def _finalizers_of_terminating(obj: Object) -> list[str]:
    finalizers: list[str] = obj["metadata"].get("finalizers") or []
    return finalizers if is_terminating(obj) else []
