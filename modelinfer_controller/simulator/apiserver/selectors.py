"""Label and field selectors, as list and watch take them."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from modelinfer_controller.simulator.apiserver.kinds import EVENTS, PODS, Kind
from modelinfer_controller.simulator.apiserver.status_errors import bad_request
from modelinfer_controller.simulator.objects import Object, field

Labels = Mapping[str, str]
Requirement = Callable[[Labels], bool]

_SET = re.compile(r"^(?P<key>[^\s!=,()]+)\s+(?P<operator>in|notin)\s+\((?P<values>[^()]*)\)$")
_EQUALITY = re.compile(r"^(?P<key>[^\s!=,()]+)\s*(?P<operator>==|=|!=)\s*(?P<value>[^\s!=,()]*)$")
_EXISTS = re.compile(r"^(?P<negated>!?)\s*(?P<key>[^\s!=,()]+)$")
_COMMA = re.compile(r",(?![^(]*\))")


def parse_labels(text: str) -> Requirement:
    """A selector in its string form: `a=b,c!=d,e in (f,g),h notin (i),j,!k`. Raises StatusError where it is none."""
    requirements = [_requirement(part.strip()) for part in _COMMA.split(text)] if text.strip() else []
    return lambda labels: all(requirement(labels) for requirement in requirements)


def _requirement(text: str) -> Requirement:
    if found := _SET.match(text):
        values = frozenset(value.strip() for value in found["values"].split(","))
        return _in(found["key"], values) if found["operator"] == "in" else _not_in(found["key"], values)
    if found := _EQUALITY.match(text):
        value = frozenset([found["value"]])
        return _not_in(found["key"], value) if found["operator"] == "!=" else _in(found["key"], value)
    if found := _EXISTS.match(text):
        return _exists(found["key"], wanted=not found["negated"])
    raise bad_request(f'unable to parse requirement: found "{text}", expected: a label selector')


def _in(key: str, values: frozenset[str]) -> Requirement:
    return lambda labels: labels.get(key) in values


def _not_in(key: str, values: frozenset[str]) -> Requirement:
    """An absent label differs from every value."""
    return lambda labels: labels.get(key) not in values


def _exists(key: str, wanted: bool) -> Requirement:
    return lambda labels: (key in labels) == wanted


def label_selector(selector: Object | None) -> Requirement:
    """A LabelSelector object: matchLabels and matchExpressions. None selects nothing, {} everything."""
    if selector is None:
        return lambda labels: False
    requirements = [_in(key, frozenset([value])) for key, value in (selector.get("matchLabels") or {}).items()]
    requirements += [expression(one) for one in selector.get("matchExpressions") or []]
    return lambda labels: all(requirement(labels) for requirement in requirements)


def expression(term: Object) -> Requirement:
    """One of matchExpressions, of labels or of a node affinity."""
    key, values = term["key"], frozenset(term.get("values") or ())
    match term["operator"]:
        case "In":
            return _in(key, values)
        case "NotIn":
            return _not_in(key, values)
        case "Exists":
            return _exists(key, wanted=True)
        case "DoesNotExist":
            return _exists(key, wanted=False)
        case "Gt":
            return lambda labels: key in labels and int(labels[key]) > int(next(iter(values)))
        case "Lt":
            return lambda labels: key in labels and int(labels[key]) < int(next(iter(values)))
        case other:
            raise bad_request(f'"{other}" is not a valid label selector operator')


_COMMON_FIELDS = ("metadata.name", "metadata.namespace")
_INVOLVED = ("kind", "namespace", "name", "uid", "apiVersion", "resourceVersion", "fieldPath")
_FIELDS_BY_KIND = {
    PODS.key: (
        "spec.nodeName",
        "spec.restartPolicy",
        "spec.schedulerName",
        "spec.serviceAccountName",
        "status.phase",
        "status.podIP",
        "status.nominatedNodeName",
    ),
    EVENTS.key: (*(f"involvedObject.{name}" for name in _INVOLVED), "reason", "reportingComponent", "source", "type"),
}


def parse_fields(kind: Kind, text: str) -> Callable[[Object], bool]:
    """A field selector: equalities joined by commas. Raises StatusError on a field that the kind does not allow."""
    requirements = [_field_requirement(kind, part) for part in text.split(",") if part.strip()]
    return lambda obj: all(requirement(obj) for requirement in requirements)


def _field_requirement(kind: Kind, text: str) -> Callable[[Object], bool]:
    found = _EQUALITY.match(text.strip())
    if found is None:
        raise bad_request(f"invalid field selector: {text}")
    name, wanted, negated = found["key"], found["value"], found["operator"] == "!="
    if name not in (*_COMMON_FIELDS, *_FIELDS_BY_KIND.get(kind.key, ())):
        raise bad_request(f"field label not supported: {name}")
    path = tuple(name.split("."))
    return lambda obj: ((field(obj, *path) or "") == wanted) != negated


@dataclass(frozen=True, slots=True)
class Selection:
    """Which objects of a kind a list or a watch is about. namespace "" is all of them."""

    namespace: str
    labels: Requirement | None
    fields: Callable[[Object], bool] | None

    def selects(self, obj: Object) -> bool:
        metadata: dict[str, Any] = obj["metadata"]
        if self.namespace and metadata.get("namespace") != self.namespace:
            return False
        if self.labels is not None and not self.labels(metadata.get("labels") or {}):
            return False
        return self.fields is None or self.fields(obj)


def selection(kind: Kind, namespace: str, query: Mapping[str, str]) -> Selection:
    """Raises StatusError on a selector that is malformed or of a field that cannot be selected by."""
    labels, fields = query.get("labelSelector", ""), query.get("fieldSelector", "")
    return Selection(
        namespace, parse_labels(labels) if labels else None, parse_fields(kind, fields) if fields else None
    )
