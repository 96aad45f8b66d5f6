"""Pod templates: what of them a ModelInfer has, patches on them, and the environment that images expect."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from typing import Any

from modelinfer_controller.kubectl.convert.source import NO_EQUAL, Source

Template = dict[str, Any]

# Lists in a pod that a patch merges item by item, and the field that names an item
# (source: patchMergeKey in k8s.io/api/core/v1).
_MERGE_KEYS: Mapping[str, str] = {
    "containers": "name",
    "initContainers": "name",
    "env": "name",
    "volumes": "name",
    "volumeMounts": "mountPath",
    "ports": "containerPort",
    "imagePullSecrets": "name",
    "topologySpreadConstraints": "topologyKey",
}


def take_template(source: Source, path: str) -> Template | None:
    """The template at `path`, None where there is none. Of its metadata only labels and annotations have an equal."""
    template = source.take(path)
    if template is None:
        return None
    taken = copy.deepcopy(template)
    metadata = {key: value for key, value in (taken.get("metadata") or {}).items() if value}
    for key in sorted(metadata.keys() - {"labels", "annotations", "creationTimestamp"}):
        source.note(f"{path}.metadata.{key}", NO_EQUAL)
    kept = {key: metadata[key] for key in ("labels", "annotations") if key in metadata}
    return {**({"metadata": kept} if kept else {}), "spec": taken.get("spec") or {}}


def patched(template: Template, patch: Mapping[str, Any] | None) -> Template:
    """The template after a strategic merge patch. Directives ($patch, $setElementOrder) are not known."""
    merged: Template = _merged(template, patch or {}, "")
    return merged


def _merged(before: Any, patch: Any, field: str) -> Any:
    if isinstance(before, dict) and isinstance(patch, Mapping):
        result = copy.deepcopy(before)
        for key, value in patch.items():
            if value is None:
                result.pop(key, None)
            else:
                result[key] = _merged(result.get(key), value, key)
        return result
    key = _MERGE_KEYS.get(field)
    if isinstance(before, list) and isinstance(patch, list) and key is not None:
        return _merged_lists(before, patch, key)
    return copy.deepcopy(patch)


def _merged_lists(before: list[Any], patch: list[Any], key: str) -> list[Any]:
    changes = {item.get(key): item for item in patch}
    kept = [_merged(item, changes.pop(item.get(key), {}), "") for item in before]
    return kept + [copy.deepcopy(item) for item in changes.values()]


def annotate(template: Template, annotations: Mapping[str, str]) -> None:
    """In place; what the template has already stays."""
    metadata = template.setdefault("metadata", {})
    metadata["annotations"] = {**annotations, **metadata.get("annotations", {})}


def add_variables(template: Template, variables: Mapping[str, str]) -> list[str]:
    """Put those variables first in each container whose text mentions them; the names that were added, sorted.

    Values may refer to GROUP_SIZE, ENTRY_ADDRESS and WORKER_INDEX: the controller sets those before all others.
    """
    added: set[str] = set()
    for container in _containers(template):
        used = _mentioned(container, variables)
        present = {variable["name"] for variable in container.get("env", ())}
        new = [{"name": name, "value": variables[name]} for name in variables if name in used - present]
        if new:
            container["env"] = [*new, *container.get("env", ())]
            added |= {variable["name"] for variable in new}
    return sorted(added)


def _mentioned(value: Any, names: Iterable[str]) -> set[str]:
    if isinstance(value, str):
        return {name for name in names if name in value}
    children = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return {name for child in children for name in _mentioned(child, names)}


def mentions(template: Template, text: str) -> bool:
    return bool(_mentioned(template, [text]))


def _containers(template: Template) -> list[dict[str, Any]]:
    spec = template["spec"]
    return [*(spec.get("initContainers") or ()), *(spec.get("containers") or ())]
