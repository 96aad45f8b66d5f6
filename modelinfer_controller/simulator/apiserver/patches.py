"""The patch formats: each a function from the stored object and the patch to a new object; neither is changed."""

from collections.abc import Sequence
from typing import Any

from modelinfer_controller.simulator.apiserver.status_errors import StatusError, bad_request
from modelinfer_controller.simulator.objects import Object, copy_of


def json_patch(target: Object, operations: Any) -> Object:
    """RFC 6902. Raises StatusError: 400 where the patch is malformed, 422 where it does not apply."""
    if not isinstance(operations, list):
        raise bad_request("json: cannot unmarshal object into Go value of type jsonpatch.Patch")
    document: Any = copy_of(target)
    for operation in operations:
        try:
            document = _applied(document, operation)
        except (KeyError, IndexError, ValueError, TypeError) as error:
            raise _does_not_apply(operation) from error
    patched: Object = document
    return patched


def _does_not_apply(operation: Any) -> StatusError:
    return StatusError(422, "Invalid", f"the server rejected our request due to an error in our request: {operation}")


def _applied(document: Any, operation: Object) -> Any:
    path = _pointer(operation["path"])
    match operation["op"]:
        case "add":
            return _added(document, path, copy_of(operation["value"]))
        case "remove":
            return _removed(document, path)
        case "replace":
            _resolved(document, path)
            return _added(_removed(document, path), path, copy_of(operation["value"])) if path else operation["value"]
        case "move":
            source = _pointer(operation["from"])
            value = _resolved(document, source)
            return _added(_removed(document, source), path, value)
        case "copy":
            return _added(document, path, copy_of(_resolved(document, _pointer(operation["from"]))))
        case "test":
            if _resolved(document, path) != operation["value"]:
                raise ValueError("testing path failed")
            return document
        case other:
            raise ValueError(f"unknown operation {other}")


def _pointer(text: str) -> list[str]:
    if text and not text.startswith("/"):
        raise ValueError(text)
    return [step.replace("~1", "/").replace("~0", "~") for step in text.split("/")[1:]]


def _resolved(document: Any, path: Sequence[str]) -> Any:
    for step in path:
        document = document[int(step)] if isinstance(document, list) else document[step]
    return document


def _added(document: Any, path: Sequence[str], value: Any) -> Any:
    if not path:
        return value
    parent, last = _resolved(document, path[:-1]), path[-1]
    if isinstance(parent, list):
        index = len(parent) if last == "-" else int(last)
        if not 0 <= index <= len(parent):
            raise IndexError(last)
        parent.insert(index, value)
    else:
        parent[last] = value
    return document


def _removed(document: Any, path: Sequence[str]) -> Any:
    if not path:
        return None
    parent = _resolved(document, path[:-1])
    del parent[int(path[-1]) if isinstance(parent, list) else path[-1]]
    return document


# The key by which a strategic merge matches a list's items, by the list's field name. A list that is not here, or whose
# items lack the key, is replaced whole. Source: patchMergeKey in k8s.io/api/core/v1.
_MERGE_KEYS: dict[str, tuple[str, ...]] = {
    "containers": ("name",),
    "initContainers": ("name",),
    "ephemeralContainers": ("name",),
    "env": ("name",),
    "volumes": ("name",),
    "volumeMounts": ("mountPath",),
    "volumeDevices": ("devicePath",),
    "ports": ("containerPort", "port"),
    "imagePullSecrets": ("name",),
    "hostAliases": ("ip",),
    "topologySpreadConstraints": ("topologyKey",),
    "resourceClaims": ("name",),
    "conditions": ("type",),
    "taints": ("key",),
    "addresses": ("type",),
    "ownerReferences": ("uid",),
}
_MERGED_SETS = frozenset({"finalizers", "podCIDRs"})
_DELETE_FROM = "$deleteFromPrimitiveList/"
_ORDER = "$setElementOrder/"


def strategic_merge_patch(target: Any, patch: Any) -> Any:
    """Kubernetes' own merge for built-in kinds: lists of objects merge by key. Element order is not rearranged."""
    if not isinstance(patch, dict):
        return patch
    if patch.get("$patch") == "replace":
        return {key: value for key, value in patch.items() if key != "$patch"}
    merged = dict(target) if isinstance(target, dict) else {}
    retained = patch.get("$retainKeys")
    if retained is not None:
        merged = {key: value for key, value in merged.items() if key in retained}
    for key, value in patch.items():
        if key.startswith(_DELETE_FROM):
            name = key.removeprefix(_DELETE_FROM)
            merged[name] = [one for one in merged.get(name) or [] if one not in value]
        elif key.startswith("$"):
            continue
        elif value is None:
            merged.pop(key, None)
        elif isinstance(value, list):
            merged[key] = _merged_list(key, merged.get(key) or [], value)
        else:
            merged[key] = strategic_merge_patch(merged.get(key), value)
    return merged


def _merged_list(name: str, target: list[Any], patch: list[Any]) -> list[Any]:
    if name in _MERGED_SETS:
        return [*target, *(one for one in patch if one not in target)]
    if {"$patch": "replace"} in patch:
        return [one for one in patch if one != {"$patch": "replace"}]
    key = _merge_key(name, [*target, *patch])
    if key is None:
        return patch
    merged = {one[key]: one for one in target}
    for one in patch:
        if one.get("$patch") == "delete":
            merged.pop(one[key], None)
        else:
            merged[one[key]] = strategic_merge_patch(merged.get(one[key]), one)
    return list(merged.values())


def _merge_key(name: str, items: list[Any]) -> str | None:
    candidates = _MERGE_KEYS.get(name, ())
    return next((key for key in candidates if all(isinstance(one, dict) and key in one for one in items)), None)
