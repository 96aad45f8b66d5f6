"""A document whose fields are taken one by one, so that none is dropped in silence."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

NO_EQUAL = "has no equal in ModelInfer"
# Fields of metadata that a server sets, or kubectl for itself: a manifest does not need them.
_OF_THE_SERVER = (
    "creationTimestamp",
    "generation",
    "managedFields",
    "resourceVersion",
    "selfLink",
    "uid",
)
_LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"


@dataclass(frozen=True, order=True)
class Note:
    """A field of the source that needs a look, by its path, and why."""

    field: str
    message: str

    def __str__(self) -> str:
        return f"{self.field}: {self.message}"


@dataclass
class Source:
    """What is left of a document, and the notes so far. `take` removes what it returns."""

    kind: str
    left: dict[str, Any]
    notes: list[Note] = field(default_factory=list)

    def take(self, path: str, default: Any = None) -> Any:
        """The value at `path` ("spec.replicas", "spec.roles[1].name"), or the default where it is absent or null."""
        *above, last = _steps(path)
        parent: Any = self.left
        for step in above:
            parent = _child(parent, step)
        value = _child(parent, last)
        if value is None:
            return default
        if isinstance(last, str):
            del parent[last]
        else:
            parent[last] = None  # a list's other items keep their place
        return value

    def note(self, path: str, message: str) -> None:
        self.notes.append(Note(path, message))

    def refuse(self, path: str, message: str) -> None:
        """Take a field that has no equal, and say what to do instead. Does nothing where it is absent."""
        if self.take(path) not in (None, "", [], {}):
            self.note(path, f"{NO_EQUAL}: {message}")

    def finish(self) -> tuple[Note, ...]:
        """All notes, with one for each field that nobody took. In the order of the fields' names."""
        for path in _leaves(self.left, ""):
            self.note(path, NO_EQUAL)
        return tuple(sorted(set(self.notes)))


def source_of(document: Mapping[str, Any]) -> Source:
    """Without `status`, and without what a server sets in the metadata."""
    left = copy.deepcopy(dict(document))
    kind = str(left.pop("kind", ""))
    left.pop("apiVersion", None)
    left.pop("status", None)
    metadata = left.get("metadata") or {}
    for name in _OF_THE_SERVER:
        metadata.pop(name, None)
    if _LAST_APPLIED in (metadata.get("annotations") or {}):
        del metadata["annotations"][_LAST_APPLIED]
    return Source(kind, left)


def _steps(path: str) -> Iterator[str | int]:
    for part in path.split("."):
        name, *indices = part.replace("]", "").split("[")
        yield name
        yield from map(int, indices)


def _child(parent: Any, step: str | int) -> Any:
    if isinstance(step, int):
        return parent[step] if isinstance(parent, list) and step < len(parent) else None
    return parent.get(step) if isinstance(parent, dict) else None


def _leaves(value: Any, path: str) -> Iterator[str]:
    """Paths of what is left. A list of plain values, and an empty map, count as one."""
    if isinstance(value, dict) and value:
        for key, child in value.items():
            yield from _leaves(child, f"{path}.{key}" if path else key)
    elif isinstance(value, list) and any(isinstance(child, dict) for child in value):
        for index, child in enumerate(value):
            yield from _leaves(child, f"{path}[{index}]")
    elif value not in (None, {}, []):
        yield path
