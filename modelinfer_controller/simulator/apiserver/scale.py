"""The scale subresource: three values of an object, shown as an autoscaling/v1 Scale."""

from collections.abc import Callable
from typing import Any

from modelinfer_controller.simulator.apiserver import status_errors
from modelinfer_controller.simulator.apiserver.kinds import Kind
from modelinfer_controller.simulator.apiserver.status_errors import Cause
from modelinfer_controller.simulator.objects import Object, field

_SHOWN_METADATA = ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")


def scale_of(kind: Kind, obj: Object) -> Object:
    paths = _paths(kind)
    metadata = {name: obj["metadata"][name] for name in _SHOWN_METADATA if name in obj["metadata"]}
    status: Object = {"replicas": field(obj, *paths.status_replicas) or 0}
    if paths.selector and (selector := field(obj, *paths.selector)):
        status["selector"] = selector
    spec = {"replicas": field(obj, *paths.spec_replicas) or 0}
    return {"kind": "Scale", "apiVersion": "autoscaling/v1", "metadata": metadata, "spec": spec, "status": status}


def with_scale(kind: Kind, obj: Object, change: Callable[[Object], Any]) -> Object:
    """The object with the replicas of its changed Scale. The Scale's resourceVersion and uid are preconditions."""
    scale = change(scale_of(kind, obj))
    replicas = field(scale, "spec", "replicas") or 0
    if not isinstance(replicas, int) or replicas < 0:
        cause = Cause.invalid("spec.replicas", replicas, "must be greater than or equal to 0")
        raise status_errors.invalid(kind, obj["metadata"]["name"], [cause])
    scaled = _with_value(obj, _paths(kind).spec_replicas, replicas)
    identity = {name: field(scale, "metadata", name) for name in ("uid", "resourceVersion")}
    given = {name: value for name, value in identity.items() if value}
    return {**scaled, "metadata": {**scaled["metadata"], **given}}


def _with_value(obj: Object, path: tuple[str, ...], value: Any) -> Object:
    first, *rest = path
    return {**obj, first: _with_value(obj.get(first) or {}, tuple(rest), value) if rest else value}


def _paths(kind: Kind) -> Any:
    if kind.scale is None:
        raise status_errors.no_such_resource()
    return kind.scale
