"""A changed ModelInfer from a manifest: read, completed with the API's defaults, and put in the stored one's place."""

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

import msgspec
import yaml

from modelinfer_controller.api import modelinfer
from modelinfer_controller.api.core import ObjectMeta
from modelinfer_controller.api.status import ModelInfer
from modelinfer_controller.kube.client import Client
from modelinfer_controller.kube.errors import ApiError
from modelinfer_controller.kubectl.model.kubeconfig import failure

OPENAPI = f"/openapi/v3/apis/{modelinfer.API_VERSION}"
SUFFIXES = (".yaml", ".yml", ".json")  # of the files of a directory, as kubectl reads them
URL_TIMEOUT = 30.0  # seconds
CRD_PATHS = (
    Path(__file__).parents[2] / "manifests" / "modelinfers.yaml",  # in a wheel
    Path(__file__).parents[3] / "manifests" / "crd" / "modelinfers.yaml",  # in a checkout
)


@dataclass(frozen=True)
class Manifest:
    """One ModelInfer out of a file. source: the file, the URL or "-"."""

    name: str
    namespace: str | None
    annotations: Mapping[str, str]
    spec: dict[str, Any]
    source: str = "-"


def read_manifests(paths: Sequence[str], kustomization: str | None = None) -> list[Manifest]:
    """The ModelInfers of files, directories, URLs and "-" (stdin), and of a kustomization. Raises Exit.

    Other kinds are passed over; a source without any ModelInfer is an error.
    """
    sources = [(path, _text(path)) for given in paths for path in _expanded(given)]
    if kustomization is not None:
        sources.append((kustomization, _kustomized(kustomization)))
    found = [manifest for source, text in sources for manifest in manifests_of(source, text)]
    if not found:
        raise failure(f"there is no ModelInfer in {', '.join(paths or [kustomization or '-'])}")
    return found


def _expanded(path: str) -> Iterator[str]:
    if path == "-" or _is_url(path) or not Path(path).is_dir():
        yield path
        return
    yield from (str(file) for file in sorted(Path(path).iterdir()) if file.suffix in SUFFIXES and file.is_file())


def _is_url(path: str) -> bool:
    return path.startswith(("https://", "http://"))


def _text(path: str) -> str:
    try:
        if path == "-":
            return sys.stdin.read()
        if _is_url(path):
            with urlopen(path, timeout=URL_TIMEOUT) as answer:  # the user named it, and its scheme is HTTP's
                return bytes(answer.read()).decode()
        return Path(path).read_text(encoding="utf-8")
    except (OSError, URLError, UnicodeDecodeError) as error:
        raise failure(f"cannot read {path}: {error}") from error


def _kustomized(folder: str) -> str:
    try:
        done = subprocess.run(["kubectl", "kustomize", folder], capture_output=True, text=True, check=False)
    except OSError as error:
        raise failure(f"cannot run kubectl kustomize: {error}") from error
    if done.returncode:
        raise failure(f"kubectl kustomize {folder}: {done.stderr.strip()}")
    return done.stdout


def manifests_of(source: str, text: str) -> Iterator[Manifest]:
    """The ModelInfers of the text. Raises Exit, with the source's name, where it cannot be read."""
    for document in _documents(source, text):
        if document.get("kind") != modelinfer.KIND:
            continue
        meta, spec = document.get("metadata") or {}, document.get("spec")
        if not isinstance(spec, dict) or not meta.get("name"):
            raise failure(f"the ModelInfer in {source} needs metadata.name and spec")
        yield Manifest(str(meta["name"]), meta.get("namespace"), meta.get("annotations") or {}, spec, source)


def _documents(source: str, text: str) -> Iterator[dict[str, Any]]:
    try:
        for document in yaml.load_all(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)):
            if isinstance(document, dict):
                yield from document.get("items") or [] if document.get("kind") == "List" else [document]
    except yaml.YAMLError as error:
        raise failure(f"cannot read {source}: {' '.join(str(error).split())}") from error


def proposed(stored: ModelInfer | None, manifest: Manifest, namespace: str, schema: Mapping[str, Any]) -> ModelInfer:
    """The ModelInfer as it would be stored: the manifest's spec in place of the stored one.

    Where the manifest says no replicas the stored ones stay, so that an autoscaler's are not taken for a change.
    Raises Exit for a field that the schema does not know, as `kubectl apply` refuses it.
    """
    spec = json.loads(json.dumps(manifest.spec, default=str))
    if unknown := list(unknown_fields(spec, schema, "spec")):
        raise failure(f"{manifest.source}: ModelInfer {manifest.name}: unknown field {', '.join(map(repr, unknown))}")
    if stored is not None and "replicas" not in spec:
        spec["replicas"] = msgspec.json.decode(bytes(stored.spec)).get("replicas", 1)
    return with_spec(stored, with_defaults(spec, schema), manifest.name, namespace, manifest.annotations)


def with_spec(
    stored: ModelInfer | None, spec: Mapping[str, Any], name: str, namespace: str, annotations: Mapping[str, str]
) -> ModelInfer:
    """The stored ModelInfer with another spec; a new one where there is none."""
    before = stored or ModelInfer(metadata=ObjectMeta(name=name, namespace=namespace, uid="new"))
    changed = msgspec.json.decode(bytes(before.spec)) != spec
    metadata = msgspec.structs.replace(
        before.metadata,
        annotations={**before.metadata.annotations, **annotations},
        generation=before.metadata.generation + changed,
    )
    encoded = json.dumps(spec, sort_keys=True).encode()
    return msgspec.structs.replace(before, metadata=metadata, spec=msgspec.Raw(encoded))


async def read_spec_schema(client: Client) -> Mapping[str, Any]:
    """The schema of `spec` as the server publishes it; where it may not be read, that of this release's CRD."""
    try:
        document = msgspec.json.decode(await client.raw_get(OPENAPI))
    except ApiError:
        return bundled_spec_schema()
    for schema in document.get("components", {}).get("schemas", {}).values():
        kinds = [each.get("kind") for each in schema.get("x-kubernetes-group-version-kind", ())]
        if modelinfer.KIND in kinds:
            spec: Mapping[str, Any] = schema.get("properties", {}).get("spec", {})
            return spec
    return bundled_spec_schema()


def crd_path() -> Path:
    """The CRD that belongs to this release. Raises Exit where it is not part of the installation."""
    found = next((path for path in CRD_PATHS if path.exists()), None)
    if found is None:
        raise failure("the CRD is not part of this installation: run it from a checkout")
    return found


def read_crd() -> dict[str, Any]:
    """Raises Exit where it is not part of the installation."""
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    definition: dict[str, Any] = yaml.load(crd_path().read_text(encoding="utf-8"), Loader=loader)
    return definition


def bundled_spec_schema() -> Mapping[str, Any]:
    definition = read_crd()
    (version,) = (one for one in definition["spec"]["versions"] if one["name"] == modelinfer.API_VERSION.split("/")[1])
    schema: Mapping[str, Any] = version["schema"]["openAPIV3Schema"]["properties"]["spec"]
    return schema


def unknown_fields(value: Any, schema: Mapping[str, Any], path: str) -> Iterator[str]:
    """Paths of fields that the server would drop."""
    match value:
        case dict():
            properties: Mapping[str, Any] = schema.get("properties") or {}
            rest = schema.get("additionalProperties")
            is_open = not properties or schema.get("x-kubernetes-preserve-unknown-fields") or rest
            for name, item in value.items():
                if name in properties:
                    yield from unknown_fields(item, properties[name], f"{path}.{name}")
                elif not is_open:
                    yield f"{path}.{name}"
        case list():
            for at, item in enumerate(value):
                yield from unknown_fields(item, schema.get("items") or {}, f"{path}[{at}]")


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
