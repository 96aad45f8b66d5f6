"""A JSON merge patch carried out here, to see what it would do (RFC 7386)."""

from collections.abc import Mapping
from typing import Any


def merged(stored: Any, patch: Any) -> Any:
    if not isinstance(patch, Mapping):
        return patch
    result = dict(stored) if isinstance(stored, Mapping) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = merged(result.get(key), value)
    return result
