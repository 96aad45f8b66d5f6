"""Validation of custom objects against their schema, in the words of Kubernetes' API server."""

import re
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

from modelinfer_controller.simulator.apiserver import cel_rules
from modelinfer_controller.simulator.apiserver.cel_rules import Rule, Unsupported
from modelinfer_controller.simulator.apiserver.schema import Schema
from modelinfer_controller.simulator.apiserver.status_errors import Cause, shown
from modelinfer_controller.simulator.objects import encode

ABSENT: Any = object()
"""Stands for the old value where there is none: a creation, or a field that the update added."""


def violations(schema: Schema, value: Any, old: Any = ABSENT, path: str = "") -> list[Cause]:
    """Everything that the schema finds wrong with the value, rules apart.

    What an update leaves as it was is not held against it (ratcheting).
    """
    if old is not ABSENT and (value is old or value == old):
        return []
    if (value is None and not schema.nullable) or (value is not None and not _has_type(schema, value)):
        return [_wrong_type(schema, value, path)]
    causes = list(_own_violations(schema, value, path))
    for child, item, old_item, below in _children(schema, value, old, path):
        causes += violations(child, item, old_item, below)
    return causes


def broken_rules(schema: Schema, value: Any, old: Any = ABSENT, path: str = "") -> list[Cause]:
    """The rules that a value breaks which has no `violations`; unchanged parts are not looked at."""
    if not schema.has_rules or (old is not ABSENT and (value is old or value == old)):
        return []
    causes: list[Cause] = []
    for child, item, old_item, below in _children(schema, value, old, path):
        causes += broken_rules(child, item, old_item, below)
    return [*causes, *_own_broken_rules(schema, value, old, path)]


def _children(schema: Schema, value: Any, old: Any, path: str) -> Iterator[tuple[Schema, Any, Any, str]]:
    """The schema, the new and the old value, and the path of each field or item that has a schema."""
    if isinstance(value, dict):
        for name, item in value.items():
            child = schema.properties.get(name, schema.additional)
            if child is not None:
                below = f"{path}.{name}" if path else name
                yield child, item, old.get(name, ABSENT) if isinstance(old, dict) else ABSENT, below
    elif isinstance(value, list) and schema.items is not None:
        correlate = _correlation(schema, old)
        for index, item in enumerate(value):
            yield schema.items, item, correlate(item), f"{path}[{index}]"


def _correlation(schema: Schema, old: Any) -> Callable[[Any], Any]:
    """Finds an item's old self: by its keys, which only map lists have."""
    if not isinstance(old, list) or schema.list_type != "map":
        return lambda item: ABSENT
    old_by_key = {_map_key(schema, item): item for item in old}
    return lambda item: old_by_key.get(_map_key(schema, item), ABSENT)


def _map_key(schema: Schema, item: Any) -> bytes:
    return encode([item.get(key) for key in schema.list_map_keys] if isinstance(item, dict) else item)


def _own_violations(schema: Schema, value: Any, path: str) -> Iterator[Cause]:
    if value is None:
        return
    if schema.enum and value not in schema.enum:
        yield Cause.not_supported(path, value, schema.enum)
    match value:
        case bool():
            pass
        case int() | float():
            yield from _number(schema, value, path)
        case str():
            yield from _string(schema, value, path)
        case list():
            yield from _list(schema, value, path)
        case dict():
            yield from _mapping(schema, value, path)
    yield from _branches(schema, value, path)


def _wrong_type(schema: Schema, value: Any, path: str) -> Cause:
    wanted, actual = "integer or string" if schema.int_or_string else schema.type, _type_name(value)
    return Cause(
        path,
        "FieldValueTypeInvalid",
        f'Invalid value: "{actual}": {path} in body must be of type {wanted}: "{actual}"',
    )


def _type_name(value: Any) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "boolean"
        case int():
            return "integer"
        case float():
            return "number"
        case str():
            return "string"
        case list():
            return "array"
        case _:
            return "object"


def _has_type(schema: Schema, value: Any) -> bool:
    actual = _type_name(value)
    if schema.int_or_string:
        return actual in ("integer", "string")
    if schema.type == "number":
        return actual in ("integer", "number")
    if schema.type == "integer" and isinstance(value, float):
        return value.is_integer()
    return not schema.type or actual == schema.type


def _number(schema: Schema, value: float, path: str) -> Iterator[Cause]:
    low, high = schema.minimum, schema.maximum
    if low is not None and (value < low or (schema.exclusive_minimum and value == low)):
        word = "greater than" if schema.exclusive_minimum else "greater than or equal to"
        yield Cause.invalid(path, value, f"{path} in body should be {word} {_plain(low)}")
    if high is not None and (value > high or (schema.exclusive_maximum and value == high)):
        word = "less than" if schema.exclusive_maximum else "less than or equal to"
        yield Cause.invalid(path, value, f"{path} in body should be {word} {_plain(high)}")
    if schema.multiple_of is not None and value % schema.multiple_of:
        yield Cause.invalid(path, value, f"{path} in body should be a multiple of {_plain(schema.multiple_of)}")
    bits = {"int32": 31, "int64": 63}.get(schema.format)
    if bits is not None and not -(2**bits) <= value < 2**bits:
        yield Cause.invalid(path, value, f"{path} in body must be of type {schema.format}: {value}")


def _plain(number: float) -> str:
    """Without a fraction where there is none."""
    return str(int(number)) if number == int(number) else str(number)


def _string(schema: Schema, value: str, path: str) -> Iterator[Cause]:
    if schema.max_length is not None and len(value) > schema.max_length:
        yield Cause(path, "FieldValueTooLong", f"Too long: may not be more than {schema.max_length} bytes")
    if schema.min_length is not None and len(value) < schema.min_length:
        yield Cause.invalid(path, value, f"{path} in body should be at least {schema.min_length} chars long")
    if schema.pattern is not None and not schema.pattern.search(value):
        yield Cause.invalid(path, value, f"{path} in body should match '{schema.pattern.pattern}'")
    if schema.format in _FORMATS and not _FORMATS[schema.format](value):
        yield Cause.invalid(path, value, f"{path} in body must be of type {schema.format}: {shown(value)}")


def _is_date_time(value: str) -> bool:
    try:
        return datetime.fromisoformat(value).tzinfo is not None
    except ValueError:
        return False


_FORMATS: dict[str, Callable[[str], bool]] = {
    "date-time": _is_date_time,
    "byte": lambda value: re.fullmatch(r"[A-Za-z0-9+/]*={0,2}", value) is not None and len(value) % 4 == 0,
}


def _list(schema: Schema, value: list[Any], path: str) -> Iterator[Cause]:
    if schema.max_items is not None and len(value) > schema.max_items:
        detail = f"must have at most {schema.max_items} items"
        yield Cause(path, "FieldValueTooMany", f"Too many: {len(value)}: {detail}")
    if schema.min_items is not None and len(value) < schema.min_items:
        yield Cause.invalid(path, len(value), f"{path} in body should have at least {schema.min_items} items")
    if schema.list_type in ("map", "set"):
        seen: set[bytes] = set()
        for index, item in enumerate(value):
            key = _map_key(schema, item) if schema.list_type == "map" else encode(item)
            if key in seen:
                yield Cause.duplicate(f"{path}[{index}]", item)
            seen.add(key)


def _mapping(schema: Schema, value: dict[str, Any], path: str) -> Iterator[Cause]:
    for name in schema.required:
        if name not in value:
            yield Cause.required(f"{path}.{name}" if path else name)
    if schema.max_properties is not None and len(value) > schema.max_properties:
        detail = f"must have at most {schema.max_properties} items"
        yield Cause(path, "FieldValueTooMany", f"Too many: {len(value)}: {detail}")
    if schema.min_properties is not None and len(value) < schema.min_properties:
        yield Cause.invalid(path, len(value), f"{path} in body should have at least {schema.min_properties} properties")


def _branches(schema: Schema, value: Any, path: str) -> Iterator[Cause]:
    for branch in schema.all_of:
        yield from violations(branch, value, path=path)
    if schema.any_of and all(violations(branch, value, path=path) for branch in schema.any_of):
        yield Cause.invalid(path, value, f"{path} in body must validate at least one schema (anyOf)")
    if schema.one_of and sum(not violations(branch, value, path=path) for branch in schema.one_of) != 1:
        yield Cause.invalid(path, value, f"{path} in body must validate one and only one schema (oneOf)")
    if schema.none_of is not None and not violations(schema.none_of, value, path=path):
        yield Cause.invalid(path, value, f"{path} in body must not validate the schema (not)")


def _own_broken_rules(schema: Schema, value: Any, old: Any, path: str) -> Iterator[Cause]:
    for rule in schema.rules:
        if rule.is_transition and old is ABSENT:
            continue
        cause = _broken(rule, value, None if old is ABSENT else old, path)
        if cause is not None:
            yield cause


def _broken(rule: Rule, value: Any, old: Any, path: str) -> Cause | None:
    where = (path + rule.field_path).lstrip(".") or "<nil>"
    try:
        if cel_rules.holds(rule, value, old):
            return None
        message = cel_rules.message_of(rule, value, old)
    except Unsupported as error:
        return Cause.invalid(where, value, f"rule could not be evaluated: {error}")
    if rule.reason == "FieldValueRequired":
        return Cause.required(where, message)
    if rule.reason == "FieldValueForbidden":
        return Cause.forbidden(where, message)
    return Cause(where, rule.reason, f"Invalid value: {shown(value)}: {message}")
