"""What a control plane is to be like."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from typing import Literal, get_args

Audit = Literal["writes", "all", "off"]
AUDIT_CHOICES: tuple[Audit, ...] = get_args(Audit)
REAL_NODE_LIMIT = 200


@dataclass(frozen=True)
class Settings:
    """One control plane's settings.

    nodes: how many simulated nodes, named node-0, node-1, ...; spread over the zones zone-a, zone-b, zone-c in turn.
    real_nodes: how many real ones, with a kubelet and containers, named real-0, real-1, ...; over the zones likewise.
    volcano: also run Volcano's scheduler and controllers, and install its CRDs.
    native_gang: switch on Kubernetes' own gang scheduling (feature gate GenericWorkload, scheduling.k8s.io/v1beta1).
    kwok_pods: let kwok play the kubelet for pods; without it, pods are bound to nodes and stay Pending, so that a
        test can play the kubelet itself.
    audit: which requests the audit log holds: "writes", "all" or none ("off").
    cpu, memory, pods, gpus: the capacity of each simulated node, as Kubernetes quantities (gpus: nvidia.com/gpu).
    """

    nodes: int = 3
    real_nodes: int = 0
    volcano: bool = False
    native_gang: bool = False
    kwok_pods: bool = True
    audit: Audit = "writes"
    cpu: str = "1k"
    memory: str = "4Ti"
    pods: str = "1k"
    gpus: str = "1k"

    def __post_init__(self) -> None:
        if self.nodes < 0:
            raise ValueError(f"nodes must not be negative: {self.nodes}")
        if not 0 <= self.real_nodes <= REAL_NODE_LIMIT:
            raise ValueError(f"real nodes must be 0 to {REAL_NODE_LIMIT}: {self.real_nodes}")
        if self.audit not in AUDIT_CHOICES:
            raise ValueError(f"audit must be one of {', '.join(AUDIT_CHOICES)}: {self.audit}")

    def to_json(self) -> str:
        return json.dumps(dataclasses.asdict(self))

    @staticmethod
    def from_json(text: str) -> Settings:
        return Settings(**json.loads(text))
