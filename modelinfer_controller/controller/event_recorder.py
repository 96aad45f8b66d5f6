"""Events on the ModelInfer, each once for as long as what it says goes on being true."""

from typing import Protocol

from modelinfer_controller.api.names import ObjectName
from modelinfer_controller.api.status import ModelInfer
from modelinfer_controller.planning.actions import Event
from modelinfer_controller.planning.events import Before


class EventSink(Protocol):
    """Where Events go."""

    def record(self, stored: ModelInfer, type_: str, reason: str, message: str) -> None:
        """Send an Event about the ModelInfer some time soon. Must not block or raise."""


class OnceEventRecorder:
    """What it remembers only spares repetition: a loss says things once more."""

    def __init__(self, sink: EventSink) -> None:
        self._sink = sink
        self._last: dict[ObjectName, frozenset[Event]] = {}
        self._before: dict[ObjectName, Before] = {}

    def before(self, key: ObjectName) -> Before | None:
        """What `record` was given last."""
        return self._before.get(key)

    def record(self, stored: ModelInfer, events: tuple[Event, ...], now: Before | None = None) -> None:
        """Says what was not said before. Does not block or raise."""
        key = stored.metadata.object_name
        before = self._last.get(key, frozenset())
        for event in dict.fromkeys(events):
            if event not in before:
                self._sink.record(stored, event.type, event.reason, event.message)
        self._last[key] = frozenset({*events, *_unfinished(before, now)})
        if now is not None:
            self._before[key] = now

    def forget(self, key: ObjectName) -> None:
        """The ModelInfer is gone."""
        self._last.pop(key, None)
        self._before.pop(key, None)


def _unfinished(recorded: frozenset[Event], now: Before | None) -> set[Event]:
    """What was told of groups that are not available yet: one that fails in turns is not told at each turn."""
    if now is None:
        return set()
    return {
        event
        for event in recorded
        if event.group is not None and event.group < now.replicas and event.group not in now.available
    }
