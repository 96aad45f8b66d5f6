"""A changed ModelInfer from a manifest: read, completed with the API's defaults, and put in the stored one's place."""

import json
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import yaml

from modelinfer_controller.api import modelinfer
from modelinfer_controller.api.core import ObjectMeta
from modelinfer_controller.api.status import ModelInfer
from modelinfer_controller.kube.client import Client
from modelinfer_controller.kube.errors import ApiError
from modelinfer_controller.kubectl.model.access import failure

OPENAPI = f"/openapi/v3/apis/{modelinfer.API_VERSION}"


@dataclass(frozen=True)
class Manifest:
    """One ModelInfer out of a file."""

    name: str
    namespace: str | None
    annotations: Mapping[str, str]
    spec: dict[str, Any]


def read_manifest(path: str, name: str | None) -> Manifest:
    """The ModelInfer of that name in a YAML or JSON file, or the only one in it; "-" is stdin. Raises Exit."""
    found = [each for each in _documents(path) if each.get("kind") == modelinfer.KIND]
    names = [str(each.get("metadata", {}).get("name")) for each in found]
    chosen = [each for each, its in zip(found, names, strict=True) if name in (None, its)]
    if len(chosen) != 1:
        there = f"there are: {', '.join(names)}" if names else "there is none"
        raise failure(f"{path} must hold one ModelInfer{f' named {name}' if name else ''}; {there}")
    meta, spec = chosen[0].get("metadata") or {}, chosen[0].get("spec")
    if not isinstance(spec, dict) or not meta.get("name"):
        raise failure(f"the ModelInfer in {path} needs metadata.name and spec")
    return Manifest(str(meta["name"]), meta.get("namespace"), meta.get("annotations") or {}, spec)


def _documents(path: str) -> Iterator[dict[str, Any]]:
    try:
        text = sys.stdin.read() if path == "-" else Path(path).read_text(encoding="utf-8")
        for document in yaml.load_all(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)):
            if isinstance(document, dict):
                yield from document.get("items") or [] if document.get("kind") == "List" else [document]
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise failure(f"cannot read {path}: {' '.join(str(error).split())}") from error


def proposed(stored: ModelInfer | None, manifest: Manifest, namespace: str, schema: Mapping[str, Any]) -> ModelInfer:
    """The ModelInfer as it would be stored: the manifest's spec in place of the stored one.

    Where the manifest says no replicas the stored ones stay, so that an autoscaler's are not taken for a change.
    """
    spec = json.loads(json.dumps(manifest.spec, default=str))
    if stored is not None and "replicas" not in spec:
        spec["replicas"] = msgspec.json.decode(bytes(stored.spec)).get("replicas", 1)
    completed = with_defaults(spec, schema)
    before = stored or ModelInfer(metadata=ObjectMeta(name=manifest.name, namespace=namespace, uid="new"))
    encoded = json.dumps(completed, sort_keys=True).encode()
    changed = msgspec.json.decode(bytes(before.spec)) != completed
    metadata = msgspec.structs.replace(
        before.metadata,
        annotations={**before.metadata.annotations, **manifest.annotations},
        generation=before.metadata.generation + changed,
    )
    return msgspec.structs.replace(before, metadata=metadata, spec=msgspec.Raw(encoded))


async def read_spec_schema(client: Client) -> Mapping[str, Any]:
    """The schema of `spec` as the server publishes it to every user; {} where it does not."""
    try:
        document = msgspec.json.decode(await client.raw_get(OPENAPI))
    except ApiError:
        return {}
    for schema in document.get("components", {}).get("schemas", {}).values():
        kinds = [each.get("kind") for each in schema.get("x-kubernetes-group-version-kind", ())]
        if modelinfer.KIND in kinds:
            spec: Mapping[str, Any] = schema.get("properties", {}).get("spec", {})
            return spec
    return {}


def with_defaults(value: Any, schema: Mapping[str, Any]) -> Any:
    """The value as the server would store it: with the schema's defaults, without the fields that it does not know."""
    match value:
        case dict():
            return _object_with_defaults(value, schema)
        case list():
            return [with_defaults(item, schema.get("items") or {}) for item in value]
        case _:
            return value


def _object_with_defaults(value: dict[str, Any], schema: Mapping[str, Any]) -> dict[str, Any]:
    properties: Mapping[str, Any] = schema.get("properties") or {}
    rest = schema.get("additionalProperties")
    missing = {
        name: child["default"]
        for name, child in properties.items()
        if "default" in child and value.get(name) is None and not child.get("nullable")
    }
    keeps = not properties or schema.get("x-kubernetes-preserve-unknown-fields") or rest
    return {
        name: with_defaults(item, properties.get(name) or (rest if isinstance(rest, dict) else {}))
        for name, item in {**value, **missing}.items()
        if item is not None and (name in properties or keeps)
    }
