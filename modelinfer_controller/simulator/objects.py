"""Kubernetes objects as plain JSON: dicts that are never changed once they are stored.

A writer makes a new dict; what it leaves alone it shares with the old one.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec

Object = dict[str, Any]

decode = msgspec.json.Decoder().decode
encode = msgspec.json.Encoder().encode


def copy_of(value: Any) -> Any:
    """A deep copy of JSON, which its holder may change."""
    if isinstance(value, dict):
        return {key: copy_of(item) for key, item in value.items()}
    if isinstance(value, list):
        return [copy_of(item) for item in value]
    return value


def with_metadata(obj: Object, **fields: Any) -> Object:
    """The object with these metadata fields set; a field given as None is left out."""
    metadata = {**obj.get("metadata", {}), **fields}
    return {**obj, "metadata": {key: value for key, value in metadata.items() if value is not None}}


def field(obj: Any, *path: str) -> Any:
    """The value at the path, or None where any step is absent."""
    for step in path:
        if not isinstance(obj, Mapping):
            return None
        obj = obj.get(step)
    return obj


def timestamp(moment: datetime) -> str:
    """metav1.Time: UTC, whole seconds."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def moment(text: str) -> datetime:
    """The instant that a metav1.Time or MicroTime names."""
    return datetime.fromisoformat(text)


def is_terminating(obj: Object) -> bool:
    return "deletionTimestamp" in obj["metadata"]


def condition(obj: Object, type_: str) -> Object | None:
    """The status condition of this type, or None."""
    conditions: list[Object] = field(obj, "status", "conditions") or []
    return next((one for one in conditions if one.get("type") == type_), None)
