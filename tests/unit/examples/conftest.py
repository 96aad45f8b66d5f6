"""The example manifests, by folder."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

EXAMPLES = Path(__file__).parents[3] / "manifests" / "examples"
# The quick start runs no engine, and has a page and tests of its own.
FOLDERS = sorted({path.parent.name for path in EXAMPLES.glob("*/modelinfer.yaml")} - {"quickstart"})

Object = Mapping[str, Any]


def documents(folder: str) -> list[Object]:
    paths = sorted((EXAMPLES / folder).glob("*.yaml"))
    return [one for path in paths for one in yaml.safe_load_all(path.read_text()) if one]


def model_of(folder: str) -> Object:
    model: Object = yaml.safe_load((EXAMPLES / folder / "modelinfer.yaml").read_text())
    return model


def templates(folder: str) -> Iterator[tuple[str, str, Object]]:
    """(role, "entryTemplate" or "workerTemplate", template)"""
    for role in model_of(folder)["spec"]["template"]["roles"]:
        for key in ("entryTemplate", "workerTemplate"):
            if key in role:
                yield role["name"], key, role[key]


def containers(folder: str) -> Iterator[tuple[str, Object, Object]]:
    """(where, pod spec, container)"""
    for role, key, template in templates(folder):
        for container in template["spec"]["containers"]:
            yield f"{role} {key} {container['name']}", template["spec"], container
