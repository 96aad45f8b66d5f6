"""From Kubernetes' OpenAPI v3 schemas to the structural schema that a CRD may hold.

What pods accept must stay accepted, and what a CRD cannot say is said as nearly as it can:

- Every reference is inlined; only the keywords of KEYWORDS are kept.
- Defaults are dropped: a default would be stored in the ModelInfer, and OpenAPI also gives one ("") to required fields.
  Keys of list-maps keep theirs where they may be left out, since a CRD requires a key's presence or default.
- hostAliases lose their list-map keys: pods may name an IP twice.
- Enums of optional fields also allow "", which pods take for "not set".
- Quantities and int-or-strings become `x-kubernetes-int-or-string`; quantities with the pattern of their grammar.
- A volume claim template's metadata is labels and annotations: pods accept no other field there.
- A pod without containers never runs: at least one is asked for.
"""

from collections.abc import Iterable
from typing import Any, Final

from crd.kubernetes_schemas import POD_SPEC, Schema, referred

QUANTITY: Final = "io.k8s.apimachinery.pkg.api.resource.Quantity"
INT_OR_STRING: Final = "io.k8s.apimachinery.pkg.util.intstr.IntOrString"
OBJECT_META: Final = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"

NUMBER: Final = r"([0-9]+(\.[0-9]*)?|\.[0-9]+)"
QUANTITY_PATTERN: Final = rf"^[+-]?{NUMBER}([KMGTPE]i|[numkMGTPE]|[eE][+-]?{NUMBER})?$"
EITHER_TYPE: Final = [{"type": "integer"}, {"type": "string"}]
STRING_MAP: Final = {"type": "object", "additionalProperties": {"type": "string"}}

REPLACED: Final[dict[str, Schema]] = {
    QUANTITY: {"anyOf": EITHER_TYPE, "pattern": QUANTITY_PATTERN, "x-kubernetes-int-or-string": True},
    INT_OR_STRING: {"anyOf": EITHER_TYPE, "x-kubernetes-int-or-string": True},
    OBJECT_META: {"type": "object", "properties": {"annotations": STRING_MAP, "labels": STRING_MAP}},
}

KEYWORDS: Final[tuple[str, ...]] = (
    "description",
    "type",
    "format",
    "enum",
    "required",
    "x-kubernetes-list-type",
    "x-kubernetes-list-map-keys",
    "x-kubernetes-map-type",
)

ATOMIC_LISTS: Final = frozenset({(POD_SPEC, "hostAliases")})
NON_EMPTY_LISTS: Final = frozenset({(POD_SPEC, "containers")})


def structural(schemas: dict[str, Schema], name: str) -> Schema:
    """The named schema as a CRD may hold it, with every reference inlined."""
    if name in REPLACED:
        return REPLACED[name]
    served = schemas[name]
    schema = inlined(schemas, served)
    for owner, property_ in ATOMIC_LISTS:
        if owner == name:
            schema["properties"][property_] = atomic(schema["properties"][property_])
    for owner, property_ in NON_EMPTY_LISTS:
        if owner == name:
            schema["properties"][property_]["minItems"] = 1
    return schema


def inlined(schemas: dict[str, Schema], served: Schema, kept_defaults: Iterable[str] = ()) -> Schema:
    """One schema node; the properties named in kept_defaults keep their default values."""
    target = reference_of(served)
    if target is not None:
        described = {"description": served["description"]} if "description" in served else {}
        return {**structural(schemas, target), **described}
    schema = {keyword: served[keyword] for keyword in KEYWORDS if keyword in served}
    if "items" in served:
        schema["items"] = inlined_items(schemas, served)
    if "additionalProperties" in served:
        schema["additionalProperties"] = inlined(schemas, served["additionalProperties"])
    if "properties" in served:
        required = set(served.get("required", ()))
        schema["properties"] = {
            name: inlined_property(schemas, property_, name in required, name in kept_defaults)
            for name, property_ in sorted(served["properties"].items())
        }
    return schema


def inlined_items(schemas: dict[str, Schema], served: Schema) -> Schema:
    """A list's items; optional keys of a list-map keep their defaults."""
    keys = served.get("x-kubernetes-list-map-keys", ())
    target = reference_of(served["items"])
    if not keys or target is None:
        return inlined(schemas, served["items"])
    required = schemas[target].get("required", ())
    return inlined(schemas, schemas[target], [key for key in keys if key not in required])


def inlined_property(schemas: dict[str, Schema], served: Schema, is_required: bool, keeps_default: bool) -> Schema:
    schema = inlined(schemas, served)
    if "enum" in schema and not is_required and "" not in schema["enum"]:
        schema = {**schema, "enum": ["", *schema["enum"]]}
    return {**schema, "default": served["default"]} if keeps_default else schema


def reference_of(served: Schema) -> str | None:
    """The referred schema's name, for `$ref` and for OpenAPI v3's `allOf` of one `$ref`; None for anything else."""
    holders: list[Any] = served.get("allOf", [served])
    return referred(holders[0]["$ref"]) if "$ref" in holders[0] else None


def atomic(schema: Schema) -> Schema:
    """A list that is replaced as a whole, and whose items may repeat."""
    kept = {keyword: value for keyword, value in schema.items() if keyword != "x-kubernetes-list-map-keys"}
    return {**kept, "x-kubernetes-list-type": "atomic"}
