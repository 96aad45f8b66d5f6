"""ModelInfers to apply: short ways to write manifests for tests."""

from __future__ import annotations

from typing import Any

from support import specs
from support.specs import update

__all__ = ["API_VERSION", "DOMAIN", "Manifest", "model", "pod", "role", "update"]

Manifest = dict[str, Any]
API_VERSION = "workload.volcano.sh/v1alpha1"
DOMAIN = "modelinfer.volcano.sh"


def model(name: str, *roles: Manifest, replicas: int = 1, template: Manifest | None = None, **spec: Any) -> Any:
    """A ModelInfer of these roles (one of one pod by default). `template` holds the other fields of the InferGroup."""
    return {
        "apiVersion": API_VERSION,
        "kind": "ModelInfer",
        "metadata": {"name": name},
        "spec": specs.spec_of(replicas, *(roles or (role(),)), template=template, **spec),
    }


def role(name: str = "decode", *, replicas: int = 1, workers: int = 0, image: str = "image:1", **behaviour: str) -> Any:
    """A role whose pods all behave in that way: ready_after="1s" is the annotation kwok.stage/ready-after: 1s."""
    return specs.role(name, replicas, workers, pod(image, **behaviour))


def pod(image: str = "image:1", *, init: bool = False, sidecar: bool = False, **behaviour: str) -> Manifest:
    """A pod template."""
    spec: Manifest = specs.pod_template(image)["spec"]
    if init:
        spec["initContainers"] = [{"name": "prepare", "image": image}]
    if sidecar:
        spec["initContainers"] = [{"name": "sidecar", "image": image, "restartPolicy": "Always"}]
    keys = {f"kwok.stage/{key.replace('_', '-')}": value for key, value in behaviour.items()}
    return {**({"metadata": {"annotations": keys}} if keys else {}), "spec": spec}
