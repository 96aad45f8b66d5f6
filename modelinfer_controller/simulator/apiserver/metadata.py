"""What is valid in the metadata of every kind: names, labels, annotations, finalizers, owner references."""

import re
from collections.abc import Iterator
from typing import Any

from modelinfer_controller.simulator.apiserver.kinds import NAMESPACES, SERVICES, Kind
from modelinfer_controller.simulator.apiserver.status_errors import Cause
from modelinfer_controller.simulator.objects import Object

_LABEL = "[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_SUBDOMAIN = rf"{_LABEL}(\.{_LABEL})*"
_SUBDOMAIN_WORDS = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and "
    f"end with an alphanumeric character (e.g. 'example.com', regex used for validation is '{_SUBDOMAIN}')"
)
_LABEL_WORDS = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with "
    f"an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '{_LABEL}')"
)
_QUALIFIED_NAME = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]"
_LABEL_VALUE_WORDS = (
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and "
    "end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is "
    f"'({_QUALIFIED_NAME})?')"
)
_MAX_ANNOTATIONS = 256 * 1024  # bytes of keys and values together

is_label = re.compile(_LABEL).fullmatch
is_subdomain = re.compile(_SUBDOMAIN).fullmatch
_is_qualified_name = re.compile(_QUALIFIED_NAME).fullmatch


def metadata_violations(kind: Kind, obj: Object) -> Iterator[Cause]:
    metadata = obj["metadata"]
    yield from name_violations(kind, metadata.get("name", ""), "metadata.name")
    yield from label_violations(metadata.get("labels") or {}, "metadata.labels")
    yield from _annotation_violations(metadata.get("annotations") or {})
    yield from _owner_violations(metadata.get("ownerReferences") or [])


def name_violations(kind: Kind, name: str, path: str) -> Iterator[Cause]:
    if not name:
        yield Cause.required(path, "name or generateName is required")
    elif kind.key in (SERVICES.key, NAMESPACES.key):
        if len(name) > 63:
            yield Cause.invalid(path, name, "must be no more than 63 bytes")
        if not is_label(name):
            yield Cause.invalid(path, name, _LABEL_WORDS)
    else:
        if len(name) > 253:
            yield Cause.invalid(path, name, "must be no more than 253 bytes")
        if not is_subdomain(name):
            yield Cause.invalid(path, name, _SUBDOMAIN_WORDS)


def dns_label_violations(name: str, path: str) -> Iterator[Cause]:
    if len(name) > 63:
        yield Cause.invalid(path, name, "must be no more than 63 bytes")
    if not is_label(name):
        yield Cause.invalid(path, name, _LABEL_WORDS)


def label_violations(labels: dict[str, Any], path: str) -> Iterator[Cause]:
    for key, value in labels.items():
        yield from _key_violations(key, path)
        if not isinstance(value, str):
            yield Cause.invalid(path, value, "must be a string")
        elif len(value) > 63:
            yield Cause.invalid(path, value, "must be no more than 63 bytes")
        elif value and not _is_qualified_name(value):
            yield Cause.invalid(path, value, _LABEL_VALUE_WORDS)


def _key_violations(key: str, path: str) -> Iterator[Cause]:
    prefix, slash, name = key.rpartition("/")
    if slash and not is_subdomain(prefix):
        yield Cause.invalid(path, key, f"prefix part {_SUBDOMAIN_WORDS}")
    if len(name) > 63 or not _is_qualified_name(name):
        yield Cause.invalid(path, key, "name part must consist of alphanumeric characters, '-', '_' or '.'")


def _annotation_violations(annotations: dict[str, Any]) -> Iterator[Cause]:
    path = "metadata.annotations"
    for key, value in annotations.items():
        yield from _key_violations(key.lower(), path)
        if not isinstance(value, str):
            yield Cause.invalid(path, value, "must be a string")
            return
    if sum(len(key) + len(value.encode()) for key, value in annotations.items()) > _MAX_ANNOTATIONS:
        yield Cause(path, "FieldValueTooLong", f"Too long: may not be more than {_MAX_ANNOTATIONS} bytes")


def _owner_violations(references: list[Object]) -> Iterator[Cause]:
    path = "metadata.ownerReferences"
    for index, reference in enumerate(references):
        for name in ("apiVersion", "kind", "name", "uid"):
            if not reference.get(name):
                yield Cause.invalid(f"{path}[{index}].{name}", reference.get(name, ""), "must not be empty")
    if sum(bool(reference.get("controller")) for reference in references) > 1:
        yield Cause.invalid(path, references, "Only one reference can have Controller set to true")
