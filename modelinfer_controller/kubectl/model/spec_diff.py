"""What differs between two specs, by role, with the fields that shape a pod apart from those that restart nothing."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from modelinfer_controller.kubectl.model.document import Document
from modelinfer_controller.planning.revision import canonical_json

WHOLE = ""  # the role of fields that concern every role
SHAPING = ("schedulerName", "topologySpreadConstraints")


class Change(Document, frozen=True):
    """One field: before or after is None where it is absent there. role is "" for fields outside of the roles.

    restarts: whether the field is part of the revision, so that changing it replaces pods. field: the last part of the
    path; a key with dots of its own, such as an annotation's, is whole there and in brackets in the path.
    """

    role: str
    path: str
    before: Any
    after: Any
    restarts: bool
    field: str = ""


def spec_changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> tuple[Change, ...]:
    """Between two stored specs."""
    old_roles, new_roles = _roles(before["template"]["roles"]), _roles(after["template"]["roles"])
    return (*_outside(before, after), *_of_roles(old_roles, new_roles))


def revision_changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> tuple[Change, ...]:
    """Between the payloads of two revisions."""
    old_roles, new_roles = _roles(before["roles"]), _roles(after["roles"])
    old, new = ({k: v for k, v in payload.items() if k != "roles"} for payload in (before, after))
    rest = (Change(WHOLE, path, was, is_, True, field_of(path)) for path, was, is_ in _leaves(old, new))
    return (*rest, *_of_roles(old_roles, new_roles))


def _of_roles(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[Change]:
    for name in {**before, **after}:
        yield from _role(name, before.get(name), after.get(name))


def _roles(roles: Sequence[Mapping[str, Any]]) -> dict[str, Mapping[str, Any]]:
    return {str(role["name"]): role for role in roles}


def _outside(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[Change]:
    old, new = ({**spec, "template": {**spec["template"], "roles": None}} for spec in (before, after))
    for path, was, is_ in _leaves(old, new):
        restarts = path.startswith(SHAPING) or (path == "template.gangSchedule" and (was is None) != (is_ is None))
        yield Change(WHOLE, path, was, is_, restarts, field_of(path))


def _role(name: str, before: Mapping[str, Any] | None, after: Mapping[str, Any] | None) -> Iterator[Change]:
    if before is None or after is None:
        yield Change(name, "", None if before is None else "role", None if after is None else "role", True)
        return
    for path, was, is_ in _leaves(before, after):
        yield Change(name, path, was, is_, path != "replicas", field_of(path))


def _leaves(before: Any, after: Any, path: str = "") -> Iterator[tuple[str, Any, Any]]:
    """The smallest parts that differ; lists of named things go by their names."""
    if canonical_json(before) == canonical_json(after):
        return
    match before, after:
        case dict(), dict():
            for key in dict.fromkeys([*before, *after]):
                below = _below(path, str(key))
                yield from _leaves(before.get(key), after.get(key), below)
        case list(), list() if _are_named(before) and _are_named(after):
            old, new = ({item["name"]: item for item in items} for items in (before, after))
            for name in dict.fromkeys([*old, *new]):
                yield from _leaves(old.get(name), new.get(name), f"{path}[{name}]")
        case list(), list() if len(before) == len(after):
            for at, (was, is_) in enumerate(zip(before, after, strict=True)):
                yield from _leaves(was, is_, f"{path}[{at}]")
        case _:
            yield path, before, after


def _below(path: str, key: str) -> str:
    if "." in key or "/" in key:
        return f"{path}[{key}]"
    return f"{path}.{key}" if path else key


def field_of(path: str) -> str:
    """The last key of a path: `main` has none of its own in `containers[main].image`, an annotation has."""
    if path.endswith("]") and ("." in (key := path[path.rindex("[") + 1 : -1]) or "/" in key):
        return key
    return path.rpartition(".")[2]


def _are_named(items: Sequence[Any]) -> bool:
    names = [item.get("name") for item in items if isinstance(item, dict)]
    return len(names) == len(items) == len(set(names)) and None not in names
