"""What a scheduler will count for a pod: its effective requests."""

from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any

from modelinfer_controller.api.quantity import QUANTITY_PATTERN, parse_quantity

Resources = dict[str, Decimal]


def same_resources(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Equal in meaning: `2` is `2000m`."""
    return one.keys() == other.keys() and all(parse_quantity(one[k]) == parse_quantity(other[k]) for k in one)


def pod_requests(spec: Mapping[str, Any]) -> Resources:
    """What the scheduler reserves for a pod of this PodSpec.

    The greater of: all containers and sidecars (restartable init containers) together; any one init container with the
    sidecars started before it. Limits stand in for missing requests. Pod-level requests win over both; overhead
    is added.

    >>> container = {"name": "main", "resources": {"limits": {"nvidia.com/gpu": 8}, "requests": {"cpu": "500m"}}}
    >>> pod_requests({"containers": [container], "overhead": {"cpu": "250m"}})["cpu"]
    Decimal('0.750')
    """
    running = _sum(_requests(container.get("resources")) for container in spec.get("containers") or ())
    sidecars: Resources = {}
    peak: Resources = {}
    for container in spec.get("initContainers") or ():
        requests = _requests(container.get("resources"))
        if container.get("restartPolicy") == "Always":
            sidecars = _sum([sidecars, requests])
            peak = _greater(peak, sidecars)
        else:
            peak = _greater(peak, _sum([sidecars, requests]))
    effective = _greater(_sum([running, sidecars]), peak) | _requests(spec.get("resources"))
    return _sum([effective, _quantities(spec.get("overhead"))])


def _requests(resources: Mapping[str, Any] | None) -> Resources:
    resources = resources or {}
    return {**_quantities(resources.get("limits")), **_quantities(resources.get("requests"))}


def _quantities(resources: Mapping[str, Any] | None) -> Resources:
    """Without what is no quantity: the server refuses such a pod, and says why."""
    return {name: parse_quantity(q) for name, q in (resources or {}).items() if QUANTITY_PATTERN.fullmatch(str(q))}


def _sum(many: Iterable[Resources]) -> Resources:
    total: Resources = {}
    for resources in many:
        for name, value in resources.items():
            total[name] = total.get(name, Decimal(0)) + value
    return total


def _greater(one: Resources, other: Resources) -> Resources:
    return {name: max(one.get(name, Decimal(0)), other.get(name, Decimal(0))) for name in one.keys() | other.keys()}


def total(counted: Iterable[tuple[Resources, int]]) -> Resources:
    """Each resources so many times, summed."""
    return _sum({name: value * count for name, value in resources.items()} for resources, count in counted)
