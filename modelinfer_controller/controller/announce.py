"""Announcements become Events on the ModelInfer, each told once for as long as it goes on being true."""

from typing import Protocol

from modelinfer_controller.api.names import ObjectName
from modelinfer_controller.api.status import ModelInfer
from modelinfer_controller.planning.actions import Announcement


class EventSink(Protocol):
    def record(self, stored: ModelInfer, type_: str, reason: str, message: str) -> None:
        """Send an Event about the ModelInfer some time soon. Must not block or raise."""


class Announcements:
    """Implements `reconciler.Announcer`. What it remembers only spares repetition: losing it tells things once more."""

    def __init__(self, sink: EventSink) -> None:
        self._sink = sink
        self._told: dict[ObjectName, frozenset[Announcement]] = {}

    def announce(self, stored: ModelInfer, announcements: tuple[Announcement, ...]) -> None:
        key = stored.metadata.object_name
        before = self._told.get(key, frozenset())
        for announcement in announcements:
            if announcement not in before:
                self._sink.record(stored, announcement.type, announcement.reason, announcement.message)
        self._told[key] = frozenset(announcements)

    def forget(self, key: ObjectName) -> None:
        self._told.pop(key, None)
