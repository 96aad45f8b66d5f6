"""Finalizers that the control plane itself removes: of namespaces, and of Kubernetes' own PodGroups."""

from collections.abc import Iterator

from modelinfer_controller.kube.controller import Controller, Result
from modelinfer_controller.kube.workqueue import WorkQueue
from modelinfer_controller.simulator.apiserver.deletion import DeleteOptions
from modelinfer_controller.simulator.apiserver.kinds import NAMESPACES, NATIVE_POD_GROUPS, PODS, Kind
from modelinfer_controller.simulator.apiserver.pods import is_finished
from modelinfer_controller.simulator.apiserver.registry import Registry, WriteOptions
from modelinfer_controller.simulator.apiserver.status_errors import StatusError
from modelinfer_controller.simulator.apiserver.store import Change, ChangeType, Key
from modelinfer_controller.simulator.apiserver.strategies import POD_GROUP_PROTECTION
from modelinfer_controller.simulator.objects import field, is_terminating, with_metadata


class NamespaceController:
    """Empties a namespace that is being deleted, then lets it go."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._queue: WorkQueue[str] = WorkQueue()
        self._controller = Controller("namespaces", self._queue, self._sync)
        registry.store.listen(self._follow)

    async def run(self) -> None:
        await self._controller.run()

    def _follow(self, change: Change) -> None:
        if change.kind_key == NAMESPACES.key:
            self._queue.add(change.key[1])
        elif change.type is ChangeType.DELETED and self._is_terminating(change.key[0]):
            self._queue.add(change.key[0])

    def _is_terminating(self, namespace: str) -> bool:
        stored = self._registry.store.get(NAMESPACES.key, ("", namespace))
        return stored is not None and is_terminating(stored.object)

    async def _sync(self, namespace: str) -> Result:
        if not self._is_terminating(namespace):
            return Result()
        content = list(self._content(namespace))
        for kind, key in content:
            self._delete(kind, key)
        if not any(True for _ in self._content(namespace)):
            self._registry.finalize_namespace(namespace)
        return Result()

    def _content(self, namespace: str) -> Iterator[tuple[Kind, Key]]:
        for kind in self._registry.kinds:
            if kind.namespaced:
                for key in list(self._registry.store.collection(kind.key).objects):
                    if key[0] == namespace:
                        yield kind, key

    def _delete(self, kind: Kind, key: Key) -> None:
        try:
            self._registry.delete(kind, key, DeleteOptions(propagation="Background"))
        except StatusError as error:
            if error.code != 404:
                raise


class PodGroupProtection:
    """Keeps a PodGroup that is being deleted until the pods that name it have gone or ended."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._queue: WorkQueue[Key] = WorkQueue()
        self._controller = Controller("podgroup-protection", self._queue, self._sync)
        registry.store.listen(self._follow)

    async def run(self) -> None:
        await self._controller.run()

    def _follow(self, change: Change) -> None:
        if change.kind_key == NATIVE_POD_GROUPS.key:
            self._queue.add(change.key)
        elif change.kind_key == PODS.key:
            group = field(change.stored.object, "spec", "schedulingGroup", "podGroupName")
            if group and (change.type is ChangeType.DELETED or is_finished(change.stored.object)):
                self._queue.add((change.key[0], group))

    async def _sync(self, key: Key) -> Result:
        stored = self._registry.store.get(NATIVE_POD_GROUPS.key, key)
        if stored is None or not is_terminating(stored.object) or self._has_pods(key):
            return Result()
        kept = [one for one in stored.object["metadata"].get("finalizers") or [] if one != POD_GROUP_PROTECTION]
        self._registry.update(
            NATIVE_POD_GROUPS, key, lambda old: with_metadata(old, finalizers=kept or None), WriteOptions()
        )
        return Result()

    def _has_pods(self, key: Key) -> bool:
        pods = self._registry.store.collection(PODS.key).objects
        return any(
            namespace == key[0]
            and field(stored.object, "spec", "schedulingGroup", "podGroupName") == key[1]
            and not is_finished(stored.object)
            for (namespace, _), stored in pods.items()
        )
