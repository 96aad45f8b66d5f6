"""Node objects, as their kubelets register them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from modelinfer_controller.simulator.objects import Object, timestamp

ZONES = ("zone-a", "zone-b", "zone-c")


@dataclass(frozen=True, slots=True)
class NodeShape:
    """A node to be made; zone "" is the next of ZONES in turn."""

    name: str
    zone: str = ""
    capacity: Mapping[str, str] = field(
        default_factory=lambda: {"cpu": "1k", "memory": "4Ti", "pods": "1k", "nvidia.com/gpu": "64"}
    )
    labels: Mapping[str, str] = field(default_factory=dict)


def node_body(shape: NodeShape, number: int, now: datetime) -> Object:
    """The Node object of a kubelet that registers itself. number: the how manieth node it is."""
    labels = {
        "kubernetes.io/hostname": shape.name,
        "kubernetes.io/os": "linux",
        "topology.kubernetes.io/zone": shape.zone or ZONES[number % len(ZONES)],
        **shape.labels,
    }
    status = {
        "capacity": dict(shape.capacity),
        "allocatable": dict(shape.capacity),
        "conditions": [ready_condition(now)],
        "addresses": [{"type": "Hostname", "address": shape.name}],
    }
    metadata = {"name": shape.name, "labels": labels}
    return {"apiVersion": "v1", "kind": "Node", "metadata": metadata, "spec": {}, "status": status}


def ready_condition(now: datetime) -> Object:
    reason = {"reason": "KubeletReady", "message": "kubelet is posting ready status"}
    return {"type": "Ready", "status": "True", "lastTransitionTime": timestamp(now), **reason}
