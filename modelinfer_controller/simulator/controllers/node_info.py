"""What the scheduler knows of each node: its pods, and what they ask for. kube-scheduler's NodeInfo."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from modelinfer_controller.api.quantity import parse_quantity
from modelinfer_controller.simulator.apiserver.pods import requests_of
from modelinfer_controller.simulator.resources import PlainObject

Amounts = Mapping[str, int]
"""Thousandths of each resource's unit; "pods" counts the pods themselves."""


def amounts_of(pod: PlainObject) -> dict[str, int]:
    """What the pod takes of its node."""
    asked = {name: int(amount * 1000) for name, amount in requests_of(pod.spec).items()}
    return {**asked, "pods": 1000}


def allocatable(node: PlainObject) -> dict[str, int]:
    capacity = node.status.get("allocatable") or node.status.get("capacity") or {}
    return {name: int(parse_quantity(value) * 1000) for name, value in capacity.items()}


@dataclass(frozen=True, slots=True)
class Placement:
    """A pod that has, or is about to have, a node."""

    pod: PlainObject
    node: str
    amounts: Amounts


@dataclass(slots=True)
class NodeInfos:
    """All placements, and their sums by node."""

    _placement_by_uid: dict[str, Placement] = field(default_factory=dict)
    _requested_by_node: dict[str, dict[str, int]] = field(default_factory=dict)
    _uids_by_node: dict[str, dict[str, None]] = field(default_factory=dict)

    def add_pod(self, pod: PlainObject, node: str, amounts: Amounts | None = None) -> None:
        self.remove_pod(pod.metadata.uid)
        placement = Placement(pod, node, amounts if amounts is not None else amounts_of(pod))
        self._placement_by_uid[pod.metadata.uid] = placement
        self._uids_by_node.setdefault(node, {})[pod.metadata.uid] = None
        requested = self._requested_by_node.setdefault(node, {})
        for name, amount in placement.amounts.items():
            requested[name] = requested.get(name, 0) + amount

    def remove_pod(self, uid: str) -> None:
        placement = self._placement_by_uid.pop(uid, None)
        if placement is None:
            return
        del self._uids_by_node[placement.node][uid]
        requested = self._requested_by_node[placement.node]
        for name, amount in placement.amounts.items():
            requested[name] -= amount

    def find(self, uid: str) -> Placement | None:
        return self._placement_by_uid.get(uid)

    def requested(self, node: str) -> Amounts:
        return self._requested_by_node.get(node, {})

    def pods_on(self, node: str) -> Iterable[PlainObject]:
        """The pods placed on the node."""
        return [self._placement_by_uid[uid].pod for uid in self._uids_by_node.get(node, {})]
