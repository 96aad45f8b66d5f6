"""A structural schema, compiled: what CRD defaulting, pruning and validation walk along with an object.

Understood is what structural schemas may say; `not`, `oneOf`, `anyOf` and `allOf` with their value validations.
"""

import re
from dataclasses import dataclass, field
from typing import Any

from modelinfer_controller.simulator.apiserver.cel_rules import Rule, rules_of
from modelinfer_controller.simulator.objects import Object, copy_of


@dataclass(frozen=True, slots=True)
class Schema:
    """One node. type "" leaves the type open; additional is the schema of a map's values."""

    type: str = ""
    nullable: bool = False
    int_or_string: bool = False
    preserve_unknown: bool = False
    properties: dict[str, "Schema"] = field(default_factory=dict)
    additional: "Schema | None" = None
    items: "Schema | None" = None
    required: tuple[str, ...] = ()
    default: Any = None
    has_default: bool = False
    enum: tuple[Any, ...] = ()
    pattern: re.Pattern[str] | None = None
    format: str = ""
    minimum: float | None = None
    maximum: float | None = None
    exclusive_minimum: bool = False
    exclusive_maximum: bool = False
    multiple_of: float | None = None
    min_length: int | None = None
    max_length: int | None = None
    min_items: int | None = None
    max_items: int | None = None
    min_properties: int | None = None
    max_properties: int | None = None
    list_type: str = "atomic"
    list_map_keys: tuple[str, ...] = ()
    all_of: tuple["Schema", ...] = ()
    any_of: tuple["Schema", ...] = ()
    one_of: tuple["Schema", ...] = ()
    none_of: "Schema | None" = None
    rules: tuple[Rule, ...] = ()
    has_rules: bool = False
    """Whether this node or any below it has rules."""

    @property
    def keeps_unknown(self) -> bool:
        """Whether fields beyond the properties survive; a node that says nothing of its fields keeps them too."""
        return self.preserve_unknown or (self.type != "object" and not self.properties)


def compiled(document: Object) -> Schema:
    """The schema of an openAPIV3Schema document. Raises cel_rules.Unsupported on a rule that cannot be run here."""
    additional = document.get("additionalProperties")
    items = document.get("items")
    properties = {name: compiled(one) for name, one in (document.get("properties") or {}).items()}
    item = compiled(items) if items is not None else None
    value = _additional(additional)
    rules = rules_of(document)
    below = [child for child in (*properties.values(), item, value) if child is not None]
    pattern = document.get("pattern")
    negated = document.get("not")
    return Schema(
        type=document.get("type", ""),
        nullable=bool(document.get("nullable")),
        int_or_string=bool(document.get("x-kubernetes-int-or-string")),
        preserve_unknown=bool(document.get("x-kubernetes-preserve-unknown-fields")),
        properties=properties,
        additional=value,
        items=item,
        required=tuple(document.get("required") or ()),
        default=document.get("default"),
        has_default="default" in document,
        enum=tuple(document.get("enum") or ()),
        pattern=re.compile(pattern) if pattern else None,
        format=document.get("format", ""),
        minimum=document.get("minimum"),
        maximum=document.get("maximum"),
        exclusive_minimum=bool(document.get("exclusiveMinimum")),
        exclusive_maximum=bool(document.get("exclusiveMaximum")),
        multiple_of=document.get("multipleOf"),
        min_length=document.get("minLength"),
        max_length=document.get("maxLength"),
        min_items=document.get("minItems"),
        max_items=document.get("maxItems"),
        min_properties=document.get("minProperties"),
        max_properties=document.get("maxProperties"),
        list_type=document.get("x-kubernetes-list-type", "atomic"),
        list_map_keys=tuple(document.get("x-kubernetes-list-map-keys") or ()),
        all_of=_branches(document, "allOf"),
        any_of=_branches(document, "anyOf"),
        one_of=_branches(document, "oneOf"),
        none_of=compiled(negated) if negated is not None else None,
        rules=rules,
        has_rules=bool(rules) or any(child.has_rules for child in below),
    )


def _additional(document: Any) -> Schema | None:
    if isinstance(document, dict):
        return compiled(document)
    return Schema() if document is True else None


def _branches(document: Object, key: str) -> tuple[Schema, ...]:
    return tuple(compiled(one) for one in document.get(key) or ())


def apply_defaults(schema: Schema, value: Any) -> None:
    """Sets, in the value itself, what is absent and has a default; a null that may not be one counts as absent."""
    if isinstance(value, dict):
        for name, child in schema.properties.items():
            if child.has_default and (name not in value or (value[name] is None and not child.nullable)):
                value[name] = copy_of(child.default)
        for name, item in value.items():
            child_schema = schema.properties.get(name, schema.additional)
            if child_schema is not None:
                apply_defaults(child_schema, item)
    elif isinstance(value, list) and schema.items is not None:
        for item in value:
            apply_defaults(schema.items, item)


def prune(schema: Schema, value: Any, path: str = "") -> list[str]:
    """Drops, from the value itself, the fields that the schema does not know. Returns the paths of what it dropped."""
    if isinstance(value, list):
        if schema.items is None:
            return []
        return [lost for index, item in enumerate(value) for lost in prune(schema.items, item, f"{path}[{index}]")]
    if not isinstance(value, dict):
        return []
    dropped: list[str] = []
    for name in list(value):
        below = f"{path}.{name}" if path else name
        child = schema.properties.get(name, schema.additional)
        if child is not None:
            dropped += prune(child, value[name], below)
        elif not schema.keeps_unknown:
            del value[name]
            dropped.append(below)
    return dropped
