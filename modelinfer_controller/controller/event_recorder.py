"""Events on the ModelInfer, each once for as long as what it says goes on being true."""

from typing import Protocol

from modelinfer_controller.api.names import ObjectName
from modelinfer_controller.api.status import ModelInfer
from modelinfer_controller.planning.actions import Event


class EventSink(Protocol):
    def record(self, stored: ModelInfer, type_: str, reason: str, message: str) -> None:
        """Send an Event about the ModelInfer some time soon. Must not block or raise."""


class OnceEventRecorder:
    """Implements `reconciler.EventRecorder`. What it remembers only spares repetition: a loss says things once more."""

    def __init__(self, sink: EventSink) -> None:
        self._sink = sink
        self._last: dict[ObjectName, frozenset[Event]] = {}

    def record(self, stored: ModelInfer, events: tuple[Event, ...]) -> None:
        key = stored.metadata.object_name
        before = self._last.get(key, frozenset())
        for event in dict.fromkeys(events):
            if event not in before:
                self._sink.record(stored, event.type, event.reason, event.message)
        self._last[key] = frozenset(events)

    def forget(self, key: ObjectName) -> None:
        self._last.pop(key, None)
