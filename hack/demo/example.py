"""The ModelInfer that is shown: hack/demo/modelinfer.yaml, in the demo's time.

What differs from the file: its pods take a second or two until they are ready, as if they loaded a model, and a pod
that failed is given 3 s instead of a minute.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from modelinfer_controller.api.core import KubeObject
from modelinfer_controller.api.names import ObjectName
from modelinfer_controller.controller.resources import MODEL_INFERS
from modelinfer_controller.kube.cache.discovered_informer import is_resource_served
from modelinfer_controller.kube.client import Client
from modelinfer_controller.kube.resource import Resource

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "manifests" / "examples"
EXAMPLE = Path("hack/demo/modelinfer.yaml")
NAME = ObjectName("default", "deepseek-pd")
GRACE_SECONDS = 3
NEW_TAG = "v0.11.0"

_CRD = ROOT / "manifests" / "crd" / "modelinfers.yaml"
_DEFINITIONS = Resource(
    "apiextensions.k8s.io",
    "v1",
    "customresourcedefinitions",
    "CustomResourceDefinition",
    KubeObject,
    namespaced=False,
)
_READY_AFTER = {("prefill", "entryTemplate"): "2s", ("decode", "entryTemplate"): "2500ms"}
_READY_AFTER_BY_DEFAULT = "1500ms"
_SERVED_TIMEOUT = 30.0  # seconds


async def install_crd(client: Client) -> None:
    """Returns when ModelInfers can be created, which is a moment later."""
    await client.create(_DEFINITIONS, None, _read(_CRD))
    async with asyncio.timeout(_SERVED_TIMEOUT):
        while not await is_resource_served(client, MODEL_INFERS):  # noqa: ASYNC110 -- the server's state
            await asyncio.sleep(0.05)


def example() -> dict[str, Any]:
    """The manifest as it is applied."""
    body = _read(ROOT / EXAMPLE)
    body["spec"]["template"]["restartGracePeriodSeconds"] = GRACE_SECONDS
    for role, name, template in _templates(body["spec"]["template"]["roles"]):
        delay = _READY_AFTER.get((role["name"], name), _READY_AFTER_BY_DEFAULT)
        template["metadata"].setdefault("annotations", {})["kwok.stage/ready-after"] = delay
    return body


def updated_roles() -> list[dict[str, Any]]:
    """The same with the next version of the image."""
    roles: list[dict[str, Any]] = example()["spec"]["template"]["roles"]
    for _, _, template in _templates(roles):
        for container in template["spec"]["containers"]:
            container["image"] = f"{container['image'].rpartition(':')[0]}:{NEW_TAG}"
    return roles


def _templates(roles: list[dict[str, Any]]) -> Iterator[tuple[dict[str, Any], str, dict[str, Any]]]:
    """Each pod template, with its role and its field."""
    for role in roles:
        for name in ("entryTemplate", "workerTemplate"):
            if name in role:
                yield role, name, role[name]


def _read(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = yaml.load(path.read_text(), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    return content
