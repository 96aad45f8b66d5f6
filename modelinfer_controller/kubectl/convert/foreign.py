"""What a converted file still owes to the old controller: keys that it set or read, and objects that point at it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from modelinfer_controller.kubectl.convert.source import Note

# What keys of labels and annotations contain that a peer's controller, or Kueue's integration for it, sets or reads.
_KEYS = (
    "leaderworkerset.sigs.k8s.io/",
    "modelserving.volcano.sh/",
    "workloads.x-k8s.io/",
    "statefulset.kubernetes.io/",
    "apps.kubernetes.io/pod-index",
    "kueue.x-k8s.io/",
)
# API groups of which a controller that goes away is the only reader.
_GROUPS = ("leaderworkerset.x-k8s.io", "workload.serving.volcano.sh", "workloads.x-k8s.io")
_SCALED = (*_GROUPS, "apps")
_SELECT = "pods of a ModelInfer lack it; select modelinfer.volcano.sh/name, /role and /entry"
_UNREAD = "stays as it is, and nothing sets or reads it here"


def notes_on_result(body: Mapping[str, Any]) -> Iterator[Note]:
    """Of a ModelInfer: each label, annotation, selector or field path that names a key of the old controller."""
    for path, text in _texts({"metadata": body["metadata"], "spec": body["spec"]}, ""):
        if any(key in text for key in _KEYS):
            yield Note(f"result: {path}", _UNREAD)


def notes_on_other(document: Mapping[str, Any]) -> Iterator[Note]:
    """Of a document that is passed on: what of it no longer finds the workload."""
    where = f"{document.get('kind')} {(document.get('metadata') or {}).get('name')}"
    spec = document.get("spec")
    if _group(document) in _GROUPS:
        yield Note(where, "no controller reads this kind for a ModelInfer")
    if not isinstance(spec, dict):
        return
    selector = spec.get("selector")
    for label in sorted(selector) if isinstance(selector, dict) else ():
        if any(key in label for key in _KEYS):
            yield Note(f"{where}: spec.selector[{label}]", _SELECT)
    target = spec.get("scaleTargetRef")
    if isinstance(target, dict) and _group(target) in _SCALED and target.get("kind") != "Deployment":
        yield Note(
            f"{where}: spec.scaleTargetRef",
            f"names a {target.get('kind')}; name the ModelInfer, of which it scales groups",
        )


def _group(document: Mapping[str, Any]) -> str:
    return str(document.get("apiVersion", "")).rpartition("/")[0]


def _texts(value: Any, path: str) -> Iterator[tuple[str, str]]:
    """(path, text) of every key that needs brackets in a path, and of every string."""
    if isinstance(value, dict):
        for key, child in value.items():
            below = f"{path}[{key}]" if "/" in str(key) else f"{path}.{key}".lstrip(".")
            if "/" in str(key):
                yield below, str(key)
            else:
                yield from _texts(child, below)
    elif isinstance(value, list):
        for index, child in enumerate(value):
            yield from _texts(child, f"{path}[{index}]")
    elif isinstance(value, str):
        yield path, value
