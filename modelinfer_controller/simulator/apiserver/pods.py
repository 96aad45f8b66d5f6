"""What the API server itself knows of pods: defaults, validation, what an update may change, what a pod asks for."""

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

from modelinfer_controller.api.quantity import parse_quantity
from modelinfer_controller.simulator.apiserver.metadata import dns_label_violations
from modelinfer_controller.simulator.apiserver.status_errors import Cause
from modelinfer_controller.simulator.objects import Object, copy_of

DEFAULT_GRACE = 30  # seconds
_EVICTION_SECONDS = 300  # for how long a pod tolerates that its node is not ready or not reachable
_LOST_NODE_TAINTS = ("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable")


def prepare_pod(pod: Object) -> None:
    """Defaults a pod that is being created, in place."""
    spec: Object = pod["spec"]
    spec.setdefault("restartPolicy", "Always")
    spec.setdefault("terminationGracePeriodSeconds", DEFAULT_GRACE)
    spec.setdefault("dnsPolicy", "ClusterFirst")
    spec.setdefault("securityContext", {})
    spec.setdefault("schedulerName", "default-scheduler")
    spec.setdefault("enableServiceLinks", True)
    spec.setdefault("preemptionPolicy", "PreemptLowerPriority")
    spec.setdefault("priority", 0)
    spec.setdefault("serviceAccountName", "default")
    spec.setdefault("serviceAccount", spec["serviceAccountName"])
    for container in _containers(spec):
        _default_container(container)
    _tolerate_lost_nodes(spec)
    pod["status"] = {"phase": "Pending", "qosClass": _quality(spec)}


def _default_container(container: Object) -> None:
    container.setdefault("terminationMessagePath", "/dev/termination-log")
    container.setdefault("terminationMessagePolicy", "File")
    latest = ":" not in container.get("image", "").rpartition("/")[2] or container.get("image", "").endswith(":latest")
    container.setdefault("imagePullPolicy", "Always" if latest else "IfNotPresent")
    resources = container.setdefault("resources", {})
    if limits := resources.get("limits"):
        resources["requests"] = {**limits, **(resources.get("requests") or {})}
    for port in container.get("ports") or []:
        port.setdefault("protocol", "TCP")


def _tolerate_lost_nodes(spec: Object) -> None:
    tolerations = spec.setdefault("tolerations", [])
    for key in _LOST_NODE_TAINTS:
        if not any(one.get("key", key) == key and one.get("effect", "NoExecute") == "NoExecute" for one in tolerations):
            toleration = {"key": key, "operator": "Exists", "effect": "NoExecute"}
            tolerations.append({**toleration, "tolerationSeconds": _EVICTION_SECONDS})


def _containers(spec: Object) -> list[Object]:
    return [*(spec.get("initContainers") or []), *(spec.get("containers") or [])]


def _quality(spec: Object) -> str:
    resources = [container.get("resources") or {} for container in _containers(spec)]
    if not any(one.get("requests") or one.get("limits") for one in resources):
        return "BestEffort"
    complete = all({"cpu", "memory"} <= set(one.get("limits") or {}) for one in resources)
    return "Guaranteed" if complete and all(one["requests"] == one["limits"] for one in resources) else "Burstable"


def pod_violations(pod: Object, old: Object | None) -> Iterator[Cause]:
    spec = pod.get("spec") or {}
    if old is not None:
        yield from _update_violations(spec, old["spec"])
        return
    if not spec.get("containers"):
        yield Cause.required("spec.containers")
    names: set[str] = set()
    for field in ("initContainers", "containers"):
        for index, container in enumerate(spec.get(field) or []):
            yield from _container_violations(container, f"spec.{field}[{index}]", names)
    if spec.get("restartPolicy") not in ("Always", "OnFailure", "Never"):
        yield Cause.not_supported("spec.restartPolicy", spec.get("restartPolicy"), ["Always", "OnFailure", "Never"])


def _container_violations(container: Object, path: str, names: set[str]) -> Iterator[Cause]:
    name = container.get("name", "")
    if not name:
        yield Cause.required(f"{path}.name")
    else:
        yield from dns_label_violations(name, f"{path}.name")
    if name in names:
        yield Cause.duplicate(f"{path}.name", name)
    names.add(name)
    if not container.get("image"):
        yield Cause.required(f"{path}.image")


_IMMUTABLE = (
    "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,"
    "`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),"
    "`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)"
)


def _update_violations(new: Object, old: Object) -> Iterator[Cause]:
    if new is old or new == old:
        return
    if _without_mutable(new) != _without_mutable(old):
        yield Cause.forbidden("spec", _IMMUTABLE)
    kept = new.get("tolerations") or []
    if any(one not in kept for one in old.get("tolerations") or []):
        yield Cause.forbidden(
            "spec.tolerations", "existing toleration can not be modified except its tolerationSeconds"
        )


def _without_mutable(spec: Object) -> Object:
    fixed: Object = copy_of(spec)
    for name in ("activeDeadlineSeconds", "tolerations", "schedulingGates"):
        fixed.pop(name, None)
    for container in _containers(fixed):
        container.pop("image", None)
    return fixed


def requests_of(spec: Object) -> dict[str, Decimal]:
    """The pod's effective requests: the larger of its running containers together and any one init container.

    A restartable init container (a sidecar) runs beside all that come after it.
    """
    sidecars: dict[str, Decimal] = {}
    peak: dict[str, Decimal] = {}
    for container in spec.get("initContainers") or []:
        asked = _requests(container)
        if container.get("restartPolicy") == "Always":
            sidecars = _sum(sidecars, asked)
            asked = {}
        peak = _maximum(peak, _sum(sidecars, asked))
    running = sidecars
    for container in spec["containers"]:
        running = _sum(running, _requests(container))
    return _sum(
        _maximum(peak, running), {name: parse_quantity(value) for name, value in (spec.get("overhead") or {}).items()}
    )


def _requests(container: Object) -> dict[str, Decimal]:
    resources: dict[str, Any] = container.get("resources") or {}
    asked = {**(resources.get("limits") or {}), **(resources.get("requests") or {})}
    return {name: parse_quantity(value) for name, value in asked.items()}


def _sum(one: dict[str, Decimal], other: dict[str, Decimal]) -> dict[str, Decimal]:
    if not other:
        return one
    return {name: one.get(name, Decimal(0)) + other.get(name, Decimal(0)) for name in {**one, **other}}


def _maximum(one: dict[str, Decimal], other: dict[str, Decimal]) -> dict[str, Decimal]:
    return {name: max(one.get(name, Decimal(0)), other.get(name, Decimal(0))) for name in {**one, **other}}


def is_finished(pod: Object) -> bool:
    return (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed")
