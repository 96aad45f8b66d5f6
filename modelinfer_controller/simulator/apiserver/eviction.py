"""The eviction of a pod: what PodDisruptionBudgets let through. source: pkg/registry/core/pod/storage/eviction.go

Budgets are counted from the store at the moment of the request, where a real cluster's disruption controller keeps the
numbers in their status; expected are the pods that the selector picks.
"""

from collections.abc import Iterator
from math import ceil
from typing import Any

from modelinfer_controller.simulator.apiserver.kinds import POD_DISRUPTION_BUDGETS, PODS, Kind
from modelinfer_controller.simulator.apiserver.selectors import label_selector
from modelinfer_controller.simulator.apiserver.status_errors import disruption_budget_reached
from modelinfer_controller.simulator.apiserver.store import Store, Stored
from modelinfer_controller.simulator.objects import Object, condition, is_terminating


def check_eviction(store: Store, pod: Object) -> None:
    """Raises StatusError, 429, where a budget does not let the pod go now."""
    if is_terminating(pod) or pod.get("status", {}).get("phase") in ("Pending", "Succeeded", "Failed", None):
        return
    for budget in _budgets_of(store, pod):
        spec = budget.get("spec") or {}
        if not is_healthy(pod) and spec.get("unhealthyPodEvictionPolicy") == "AlwaysAllow":
            continue
        expected = list(_pods_of(store, budget))
        healthy = sum(is_healthy(one) for one in expected)
        needed = _needed(spec, len(expected))
        if healthy - 1 < needed:
            raise disruption_budget_reached(budget["metadata"]["name"], needed, healthy)


def is_healthy(pod: Object) -> bool:
    ready = condition(pod, "Ready")
    return not is_terminating(pod) and ready is not None and ready["status"] == "True"


def _needed(spec: Object, expected: int) -> int:
    if spec.get("maxUnavailable") is not None:
        return expected - _absolute(spec["maxUnavailable"], expected)
    return _absolute(spec.get("minAvailable", 0), expected)


def _absolute(value: Any, expected: int) -> int:
    """A percentage rounds up."""
    return value if isinstance(value, int) else ceil(int(value.removesuffix("%")) * expected / 100)


def _budgets_of(store: Store, pod: Object) -> Iterator[Object]:
    labels = pod["metadata"].get("labels") or {}
    for stored in _of_namespace(store, POD_DISRUPTION_BUDGETS, pod):
        if label_selector((stored.object.get("spec") or {}).get("selector"))(labels):
            yield stored.object


def _pods_of(store: Store, budget: Object) -> Iterator[Object]:
    selects = label_selector((budget.get("spec") or {}).get("selector"))
    for stored in _of_namespace(store, PODS, budget):
        if selects(stored.object["metadata"].get("labels") or {}):
            yield stored.object


def _of_namespace(store: Store, kind: Kind, like: Object) -> Iterator[Stored]:
    namespace = like["metadata"]["namespace"]
    return (stored for key, stored in store.collection(kind.key).objects.items() if key[0] == namespace)
