"""Event handlers: they enqueue the ModelInfer that an object belongs to, and do nothing else."""

from functools import partial
from typing import Any, Generic, TypeVar

from modelinfer_controller.api import well_known
from modelinfer_controller.api.core import KubeObject
from modelinfer_controller.api.modelinfer import GROUP, KIND
from modelinfer_controller.api.names import ObjectName
from modelinfer_controller.api.status import ModelInfer
from modelinfer_controller.controller.caches import BY_NODE, Caches, OwnedCache
from modelinfer_controller.kube.cache.handlers import DeletedFinalStateUnknown, last_state
from modelinfer_controller.kube.workqueue import WorkQueue

T = TypeVar("T", bound=KubeObject)


class EnqueueRequestForObject:
    """For ModelInfers."""

    def __init__(self, queue: WorkQueue[ObjectName]) -> None:
        self._queue = queue

    def on_add(self, obj: ModelInfer, is_in_initial_list: bool) -> None:
        self._queue.add(obj.metadata.object_name)

    def on_update(self, old: ModelInfer, new: ModelInfer) -> None:
        self._queue.add(new.metadata.object_name)

    def on_delete(self, obj: ModelInfer | DeletedFinalStateUnknown[ModelInfer]) -> None:
        self._queue.add(last_state(obj).metadata.object_name)


class EnqueueRequestForOwner(Generic[T]):
    """For children: the controller's key, and that of the name label, which may wait for the name to be free."""

    def __init__(self, queue: WorkQueue[ObjectName]) -> None:
        self._queue = queue

    def on_add(self, obj: T, is_in_initial_list: bool) -> None:
        self.enqueue(obj)

    def on_update(self, old: T, new: T) -> None:
        self.enqueue(new)

    def on_delete(self, obj: T | DeletedFinalStateUnknown[T]) -> None:
        self.enqueue(last_state(obj))

    def enqueue(self, obj: T) -> None:
        controller = obj.metadata.controller
        if controller is not None and controller.kind == KIND and controller.api_version.startswith(f"{GROUP}/"):
            self._queue.add(ObjectName(obj.metadata.namespace, controller.name))
        label = obj.metadata.labels.get(well_known.NAME)
        if label is not None and (controller is None or label != controller.name):
            self._queue.add(ObjectName(obj.metadata.namespace, label))


def add_event_handlers(caches: Caches, queue: WorkQueue[ObjectName]) -> None:
    """Let every event lead to the reconcile that it concerns."""
    caches.model_infers.add_event_handler(EnqueueRequestForObject(queue))
    for children in caches.children():
        handler: EnqueueRequestForOwner[Any] = EnqueueRequestForOwner(queue)
        children.informer.add_event_handler(handler)
        children.informer.on_replaced(partial(_enqueue_unshown, children, handler))


def _enqueue_unshown(children: OwnedCache[Any], handler: EnqueueRequestForOwner[Any], namespace: str | None) -> None:
    """Owners of what was written and that no event has shown: it may be gone, and then none ever will."""
    for written in children.expectations.written_objects(namespace):
        handler.enqueue(written)


def enqueue_all(caches: Caches, queue: WorkQueue[ObjectName]) -> None:
    """For what concerns every ModelInfer: an optional kind that came or went."""
    for stored in caches.model_infers.store:
        queue.add(stored.metadata.object_name)


def enqueue_owners_on(node: str, caches: Caches, queue: WorkQueue[ObjectName]) -> None:
    """The ModelInfers with a pod on the node."""
    for pod in caches.pods.informer.store.by_index(BY_NODE, node):
        controller = pod.metadata.controller
        if controller is not None and controller.kind == KIND:
            queue.add(ObjectName(pod.metadata.namespace, controller.name))
