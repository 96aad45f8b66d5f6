"""helm and kubeconform for tests and releases, and the chart that they are about."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from controlplane.tools import HELM, ensure_module

ROOT = Path(__file__).resolve().parents[1]
CHART = ROOT / "charts" / "modelinfer-controller"


class ChartError(Exception):
    """helm or kubeconform refused; the message is what it said."""


def helm(*arguments: str, kubeconfig: Path | None = None) -> str:
    """What helm prints. It is built where it is missing, once. Raises ChartError, BuildError."""
    options = ["--kubeconfig", str(kubeconfig)] if kubeconfig is not None else []
    return _run(ensure_module(HELM)["helm"], *arguments, *options)


def kubeconform(manifests: str, schemas: Path) -> str:
    """schemas: the folder that `write_schemas` filled. Raises ChartError for what the schemas do not allow."""
    location = f"{schemas}/{{{{ .ResourceKind }}}}-{{{{ .ResourceAPIVersion }}}}.json"
    options = ["-strict", "-summary", "-schema-location", location]
    return _run(ensure_module(HELM)["kubeconform"], *options, "-", given=manifests)


def write_schemas(openapi: Mapping[str, Any], folder: Path) -> None:
    """One file for each kind of an API server's /openapi/v2, named as kubeconform asks for it."""
    folder.mkdir(parents=True, exist_ok=True)
    definitions = openapi["definitions"]
    (folder / "definitions.json").write_text(json.dumps({"definitions": _closed(definitions)}))
    for name, definition in definitions.items():
        for kind in definition.get("x-kubernetes-group-version-kind", ()):
            version = "-".join(part for part in (kind["group"], kind["version"]) if part)
            file = folder / f"{kind['kind'].lower()}-{kind['version']}.json"
            if "metadata" in definition.get("properties", {}):
                file.write_text(json.dumps({"$ref": f"definitions.json#/definitions/{name}", "title": version}))


def _closed(definitions: Mapping[str, Any]) -> dict[str, Any]:
    """Objects with named fields take no others, but for IntOrString, which the document calls a string."""
    closed: dict[str, Any] = {}
    for name, definition in definitions.items():
        if name.endswith(".IntOrString"):
            closed[name] = {"type": ["string", "integer"]}
        elif name.endswith(".Quantity"):
            closed[name] = {"type": ["string", "number"]}
        elif "properties" in definition:
            closed[name] = {"additionalProperties": False, **definition}
        else:
            closed[name] = dict(definition)
    return closed


def _run(program: Path, *arguments: str, given: str | None = None) -> str:
    done = subprocess.run([program, *arguments], input=given, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise ChartError(f"{program.name} {' '.join(arguments)}:\n{done.stdout}{done.stderr}")
    return done.stdout
