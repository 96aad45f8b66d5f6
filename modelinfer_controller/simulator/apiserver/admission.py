"""The admission chain: what may change or refuse a write before it is stored, as webhooks and policies do."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Protocol

from modelinfer_controller.simulator.apiserver.kinds import Kind
from modelinfer_controller.simulator.objects import Object


class Operation(StrEnum):
    """What a request does to an object."""

    CREATE = "CREATE"
    UPDATE = "UPDATE"
    DELETE = "DELETE"


@dataclass(frozen=True, slots=True)
class Review:
    """One write to be judged.

    user is the client's user agent. object is what is going to be stored, of a deletion what is going to be deleted.
    """

    operation: Operation
    kind: Kind
    namespace: str
    name: str
    subresource: str
    user: str
    object: Object


class Plugin(Protocol):
    """One webhook or policy."""

    def delay(self, review: Review) -> float:
        """Seconds until it answers. It sees of an update the stored object, not the new one."""

    def admit(self, review: Review) -> Object:
        """The object that is stored instead. Raises StatusError where it refuses the write."""


class Admission:
    """Every plugin in the order in which they were added; each sees what the one before it made of the object."""

    def __init__(self) -> None:
        self._plugins: list[Plugin] = []

    @property
    def has_plugins(self) -> bool:
        return bool(self._plugins)

    def add(self, plugin: Plugin) -> None:
        self._plugins.append(plugin)

    def remove(self, plugin: Plugin) -> None:
        """Does nothing where the plugin is not there."""
        self._plugins = [one for one in self._plugins if one is not plugin]

    @contextmanager
    def added(self, plugin: Plugin) -> Iterator[None]:
        """The plugin judges while the context is open."""
        self.add(plugin)
        try:
            yield
        finally:
            self.remove(plugin)

    def delay(self, review: Review) -> float:
        return sum(plugin.delay(review) for plugin in self._plugins)

    def admit(self, review: Review) -> Object:
        """Raises StatusError."""
        for plugin in self._plugins:
            review = replace(review, object=plugin.admit(review))
        return review.object
