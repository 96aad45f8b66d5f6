"""The simulated nodes: plain Node objects that kwok looks after."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from controlplane.settings import Settings

ZONES = ("zone-a", "zone-b", "zone-c")


def node(
    name: str,
    *,
    zone: str,
    capacity: Mapping[str, str],
    labels: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """The body of a Node. kwok makes it Ready; kube-controller-manager then removes the taint of a new node."""
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {
            "name": name,
            "annotations": {"kwok.x-k8s.io/node": "fake"},
            "labels": {
                "kubernetes.io/hostname": name,
                "kubernetes.io/os": "linux",
                "topology.kubernetes.io/zone": zone,
                **(labels or {}),
            },
        },
        "status": {"capacity": dict(capacity), "allocatable": dict(capacity)},
    }


def initial_nodes(settings: Settings) -> list[dict[str, Any]]:
    """node-0 and so on, over the zones in turn."""
    capacity = node_capacity(settings)
    return [node(f"node-{i}", zone=ZONES[i % len(ZONES)], capacity=capacity) for i in range(settings.nodes)]


def node_capacity(settings: Settings) -> dict[str, str]:
    return {
        "cpu": settings.cpu,
        "memory": settings.memory,
        "pods": settings.pods,
        "nvidia.com/gpu": settings.gpus,
        "ephemeral-storage": "4Ti",
    }
