"""Kubernetes' own types, cut out of a server's OpenAPI v3 document and kept beside this file.

The file is the closure of PodSpec and Condition, descriptions of PodSpec's part left out, otherwise as served; so the
CRD is generated without a cluster, and a new Kubernetes shows as a readable diff.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

Schema = dict[str, Any]

FILE: Final = Path(__file__).with_name("kubernetes-schemas.json")
POD_SPEC: Final = "io.k8s.api.core.v1.PodSpec"
CONDITION: Final = "io.k8s.apimachinery.pkg.apis.meta.v1.Condition"
DESCRIBED: Final = frozenset({CONDITION})


def load() -> dict[str, Schema]:
    """Schemas by name, as checked in."""
    schemas: dict[str, Schema] = json.loads(FILE.read_text())["schemas"]
    return schemas


def store(document: Schema) -> None:
    """Cuts what we need out of the document served at /openapi/v3/api/v1 and writes it to FILE."""
    served = document["components"]["schemas"]
    names = sorted(closure(served, {POD_SPEC, CONDITION}))
    kept = {name: served[name] if name in DESCRIBED else without_descriptions(served[name]) for name in names}
    lines = [f"  {json.dumps(name)}: {json.dumps(schema, sort_keys=True)}" for name, schema in kept.items()]
    version = json.dumps(document["info"]["version"])
    FILE.write_text(f'{{"kubernetes": {version}, "schemas": {{\n' + ",\n".join(lines) + "\n}}\n")


def closure(schemas: dict[str, Schema], roots: set[str]) -> set[str]:
    """Names of the roots and of everything that they refer to, however far."""
    found: set[str] = set()
    waiting = set(roots)
    while waiting:
        name = waiting.pop()
        found.add(name)
        waiting |= set(references(schemas[name])) - found
    return found


def references(node: Any) -> Iterator[str]:
    """Names of the schemas that `node` refers to."""
    if isinstance(node, list):
        for item in node:
            yield from references(item)
    elif isinstance(node, dict):
        if isinstance(node.get("$ref"), str):
            yield referred(node["$ref"])
        for value in node.values():
            yield from references(value)


def referred(pointer: str) -> str:
    """The schema's name in a $ref such as `#/components/schemas/io.k8s.api.core.v1.PodSpec`."""
    return pointer.rsplit("/", 1)[-1]


def without_descriptions(schema: Schema) -> Schema:
    """The schema with no description in it; a property that is itself called `description` stays."""
    kept: Schema = {}
    for keyword, value in schema.items():
        if keyword == "description":
            continue
        if keyword == "properties":
            kept[keyword] = {name: without_descriptions(property_) for name, property_ in value.items()}
        elif isinstance(value, dict) and keyword in ("items", "additionalProperties"):
            kept[keyword] = without_descriptions(value)
        else:
            kept[keyword] = value
    return kept
