"""Which children each ModelInfer has, by group, kept in step with the caches: an observation costs what has changed."""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from modelinfer_controller.api import well_known
from modelinfer_controller.api.core import KubeObject, OwnerReference, Pod
from modelinfer_controller.api.names import ObjectName
from modelinfer_controller.controller.caches import Caches, OwnedCache
from modelinfer_controller.kube.cache.handlers import DeletedFinalStateUnknown, last_state
from modelinfer_controller.planning.observed import (
    NO_CHILDREN,
    GroupChildren,
    Owner,
    PodGroupKey,
    group_children,
    pod_group_ordinal,
    service_ordinal,
)
from modelinfer_controller.planning.pod_identity import parse_pod_name
from modelinfer_controller.planning.pod_view import PodView, view_pod

T = TypeVar("T", bound=KubeObject)

Names = dict[ObjectName, None]  # a set that keeps its order
OrdinalOf = Callable[[str, str], int | None]
"""(the owner's name, an object's name) -> the ordinal of the group that it belongs to, or None."""


class KindIndex(Generic[T]):
    """The children of one kind. A handler of its informer.

    Invariant: an object of the store stands under its controller's UID and the ordinal that its name says, and under
    the value of its name label.
    """

    def __init__(self, cache: OwnedCache[T], ordinal_of: OrdinalOf) -> None:
        self.kind = cache.resource.kind
        self._cache = cache
        self._ordinal_of = ordinal_of
        self._by_owner: dict[str, dict[int, Names]] = {}
        self._by_label: dict[tuple[str, str], dict[str, Names]] = {}  # then by the controller's UID, "" for none
        self._changed: dict[str, set[int]] = {}
        cache.informer.add_event_handler(self)

    def take_changed(self, owner: Owner) -> set[int]:
        """Ordinals of which an object has changed since the last call; at the first call, all that there are."""
        uid = owner.metadata.uid
        changed = self._changed.get(uid)
        self._changed[uid] = set()
        return changed if changed is not None else set(self._by_owner.get(uid, ()))

    def own_writes(self, owner: Owner) -> Mapping[int, Names]:
        """By ordinal, names of the objects that were written and that the cache may not show yet."""
        found: dict[int, Names] = {}
        for name in self._cache.expectations.pending_names(owner.metadata.uid):
            ordinal = self._ordinal_of(owner.name, name.name)
            if ordinal is not None:
                found.setdefault(ordinal, {})[name] = None
        return found

    def of(self, owner: Owner, ordinal: int, written: Mapping[int, Names]) -> Iterator[T]:
        """The owner's objects of that group, own writes included."""
        uid, cache = owner.metadata.uid, self._cache
        for name in {**self._by_owner.get(uid, {}).get(ordinal, {}), **written.get(ordinal, {})}:
            latest = cache.expectations.latest(name, cache.informer.store.get(name))
            if latest is not None and (controller := latest.metadata.controller) is not None and controller.uid == uid:
                yield latest

    def others(self, owner: Owner) -> Iterator[T]:
        """Objects with the owner's name as label that it does not control."""
        for uid, names in self._by_label.get((owner.namespace, owner.name), {}).items():
            if uid != owner.metadata.uid:
                for name in names:
                    if (obj := self._cache.informer.store.get(name)) is not None:
                        yield obj

    # ResourceEventHandler

    def on_add(self, obj: T, is_in_initial_list: bool) -> None:
        self._put(obj)

    def on_update(self, old: T, new: T) -> None:
        if _place(old) != _place(new):
            self._remove(old)
        self._put(new)

    def on_delete(self, obj: T | DeletedFinalStateUnknown[T]) -> None:
        self._remove(last_state(obj))

    def _put(self, obj: T) -> None:
        name, controller = obj.metadata.object_name, obj.metadata.controller
        if (label := _label(obj)) is not None:
            self._by_label.setdefault(label, {}).setdefault(_uid(controller), {})[name] = None
        if controller is not None and (ordinal := self._ordinal_of(controller.name, name.name)) is not None:
            self._by_owner.setdefault(controller.uid, {}).setdefault(ordinal, {})[name] = None
            self._note_change(controller.uid, ordinal)

    def _remove(self, obj: T) -> None:
        name, controller = obj.metadata.object_name, obj.metadata.controller
        if (label := _label(obj)) is not None:
            _discard(self._by_label, label, _uid(controller), name)
        if controller is not None and (ordinal := self._ordinal_of(controller.name, name.name)) is not None:
            _discard(self._by_owner, controller.uid, ordinal, name)
            self._note_change(controller.uid, ordinal)

    def _note_change(self, owner_uid: str, ordinal: int) -> None:
        """For owners that are observed alone: those of others, and what goes after its owner, would stay for ever."""
        if (changed := self._changed.get(owner_uid)) is not None:
            changed.add(ordinal)

    def forget(self, owner_uid: str) -> None:
        self._changed.pop(owner_uid, None)


def _label(obj: KubeObject) -> tuple[str, str] | None:
    value = obj.metadata.labels.get(well_known.NAME)
    return None if value is None else (obj.metadata.namespace, value)


def _uid(controller: OwnerReference | None) -> str:
    return "" if controller is None else controller.uid


def _place(obj: KubeObject) -> tuple[object, ...]:
    return _uid(obj.metadata.controller), obj.metadata.labels.get(well_known.NAME)


def _discard(index: dict[Any, dict[Any, Names]], first: object, second: object, name: ObjectName) -> None:
    of_first = index.get(first, {})
    names = of_first.get(second, {})
    names.pop(name, None)
    if not names:
        of_first.pop(second, None)
    if not of_first:
        index.pop(first, None)


_Written = Mapping[KindIndex[Any], Mapping[int, Names]]


@dataclass
class _Kept:
    """Of one ModelInfer, as it was last observed."""

    children: Mapping[int, GroupChildren] = field(default_factory=dict)
    revisions: Counter[str] = field(default_factory=Counter)
    pending: set[int] = field(default_factory=set)  # ordinals with own writes, which may end unseen


class Children:
    """The children of every ModelInfer."""

    def __init__(self, caches: Caches) -> None:
        self._pods = KindIndex(caches.pods, _pod_ordinal)
        self._services = KindIndex(caches.services, service_ordinal)
        # Of these, which belong to no group, only whose names others have taken.
        self._ungrouped: tuple[KindIndex[Any], ...] = (
            KindIndex(caches.revisions, lambda owner, name: None),
            KindIndex(caches.disruption_budgets, lambda owner, name: None),
        )
        self._pod_groups = {
            scheduler: KindIndex(owned, pod_group_ordinal) for scheduler, owned in caches.pod_groups.items()
        }
        self._views: dict[ObjectName, tuple[Pod, PodView | None]] = {}
        self._kept: dict[str, _Kept] = {}
        caches.pods.informer.add_event_handler(self)

    def of(self, owner: Owner) -> tuple[Mapping[int, GroupChildren], Collection[str]]:
        """What each group has, and the revisions that pods are of.

        What a group has is the same object while nothing of it changes.
        """
        kept = self._kept.setdefault(owner.metadata.uid, _Kept())
        written = {index: index.own_writes(owner) for index in self._grouped()}
        pending = {ordinal for by_ordinal in written.values() for ordinal in by_ordinal}
        looked_at, kept.pending = pending | kept.pending, pending
        for index in self._grouped():
            looked_at |= index.take_changed(owner)
        if looked_at:
            self._look_at(looked_at, owner, kept, written)
        return kept.children, kept.revisions.keys()

    def others(self, owner: Owner) -> Mapping[str, Iterable[KubeObject]]:
        """By Kubernetes kind: objects with the owner's name as label that it does not control."""
        by_kind: dict[str, list[KubeObject]] = {}
        for index in (*self._grouped(), *self._ungrouped):
            if found := list(index.others(owner)):
                by_kind.setdefault(index.kind, []).extend(found)  # both APIs' PodGroups are of one kind
        return by_kind

    def forget(self, owner_uid: str) -> None:
        self._kept.pop(owner_uid, None)
        for index in self._grouped():
            index.forget(owner_uid)

    def _grouped(self) -> tuple[KindIndex[Any], ...]:
        return (self._pods, self._services, *self._pod_groups.values())

    def _look_at(self, ordinals: Iterable[int], owner: Owner, kept: _Kept, written: _Written) -> None:
        children = dict(kept.children)
        for ordinal in ordinals:
            before, now = children.get(ordinal, NO_CHILDREN), self._group(owner, ordinal, written)
            if now.is_same(before):
                continue
            kept.revisions.subtract(pod.revision for pod in before.pods)
            kept.revisions.update(pod.revision for pod in now.pods)
            if now.is_same(NO_CHILDREN):
                del children[ordinal]
            else:
                children[ordinal] = now
        kept.revisions = +kept.revisions
        kept.children = children

    def _group(self, owner: Owner, ordinal: int, written: _Written) -> GroupChildren:
        def of(index: KindIndex[T]) -> Iterator[T]:
            return index.of(owner, ordinal, written[index])

        views = (self._view(owner.name, pod) for pod in of(self._pods))
        return group_children(
            (view for view in views if view is not None),
            of(self._services),
            (
                (PodGroupKey(scheduler, stored.metadata.name), stored)
                for scheduler, index in self._pod_groups.items()
                for stored in of(index)
            ),
        )

    def _view(self, owner: str, pod: Pod) -> PodView | None:
        """The same view for as long as it says the same: much of what a kubelet writes changes nothing for us."""
        name = pod.metadata.object_name
        seen = self._views.get(name)
        if seen is not None and seen[0] is pod:
            return seen[1]
        view = view_pod(owner, pod)
        if seen is not None and view is not None and seen[1] is not None and seen[1].says_same(view):
            view = seen[1]
        self._views[name] = (pod, view)
        return view

    # ResourceEventHandler of pods: views of pods that are gone are forgotten.

    def on_add(self, obj: Pod, is_in_initial_list: bool) -> None: ...

    def on_update(self, old: Pod, new: Pod) -> None: ...

    def on_delete(self, obj: Pod | DeletedFinalStateUnknown[Pod]) -> None:
        self._views.pop(last_state(obj).metadata.object_name, None)


def _pod_ordinal(owner: str, name: str) -> int | None:
    identity = parse_pod_name(owner, name)
    return identity.group if identity is not None else None
