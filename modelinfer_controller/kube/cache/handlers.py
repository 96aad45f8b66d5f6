"""Who is notified of changes in a cache, and how."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

import structlog

from modelinfer_controller.api.core import KubeObject
from modelinfer_controller.api.names import ObjectName

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)

T = TypeVar("T", bound=KubeObject)
T_contra = TypeVar("T_contra", bound=KubeObject, contravariant=True)


@dataclass(frozen=True, slots=True)
class DeletedFinalStateUnknown(Generic[T]):
    """A deletion that was not seen happening; obj is the last state that was."""

    key: ObjectName
    obj: T


class ResourceEventHandler(Protocol[T_contra]):
    """Hears of each change after the store has it, in order for each key.

    It enqueues, and no more: it must not block, raise, or change anything in the cache.
    """

    def on_add(self, obj: T_contra, is_in_initial_list: bool) -> None: ...

    def on_update(self, old: T_contra, new: T_contra) -> None:
        """old and new have the same UID: a name that went to another object is a deletion and an addition."""

    def on_delete(self, obj: "T_contra | DeletedFinalStateUnknown[T_contra]") -> None:
        """obj is the final state, or a tombstone around the last one seen."""


def last_state(deleted: T | DeletedFinalStateUnknown[T]) -> T:
    """The object of a deletion, whichever way it was learnt."""
    return deleted.obj if isinstance(deleted, DeletedFinalStateUnknown) else deleted


class Handlers(Generic[T]):
    """Handlers of one cache. One that raises is logged and counted, and hinders no other."""

    def __init__(self, resource: str) -> None:
        self.error_count = 0
        self._resource = resource
        self._handlers: list[ResourceEventHandler[T]] = []

    def append(self, handler: ResourceEventHandler[T]) -> None:
        self._handlers.append(handler)

    def remove(self, handler: ResourceEventHandler[T]) -> None:
        """Does nothing if it is not there."""
        self._handlers = [other for other in self._handlers if other is not handler]

    def added(self, obj: T, is_in_initial_list: bool) -> None:
        self._tell(lambda handler: handler.on_add(obj, is_in_initial_list))

    def updated(self, old: T, new: T) -> None:
        self._tell(lambda handler: handler.on_update(old, new))

    def deleted(self, obj: T | DeletedFinalStateUnknown[T]) -> None:
        self._tell(lambda handler: handler.on_delete(obj))

    def tell_one(self, handler: ResourceEventHandler[T], obj: T) -> None:
        """Notifies a handler that came late of an object that was there before it."""
        self._isolated(handler, lambda one: one.on_add(obj, True))

    def _tell(self, call: Callable[[ResourceEventHandler[T]], None]) -> None:
        for handler in tuple(self._handlers):
            self._isolated(handler, call)

    def _isolated(self, handler: ResourceEventHandler[T], call: Callable[[ResourceEventHandler[T]], None]) -> None:
        try:
            call(handler)
        except Exception:
            self.error_count += 1
            log.exception("event handler failed", resource=self._resource, handler=type(handler).__name__)
