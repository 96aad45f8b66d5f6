"""Nodes as decisions see them: which are leaving, which do not answer, and which are gone."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from modelinfer_controller.api.core import Node

# Taints that say that a node is about to go, and who sets them. A cordon has a field of its own, and this taint too.
LEAVING_TAINTS = (
    "node.kubernetes.io/unschedulable",
    "node.kubernetes.io/out-of-service",  # set by people: the node is down
    "karpenter.sh/disrupted",  # Karpenter, since v1
    "karpenter.sh/disruption",  # Karpenter, before v1
    "ToBeDeletedByClusterAutoscaler",  # Cluster Autoscaler
    "cloud.google.com/impending-node-termination",  # GKE: maintenance and Spot
    "aws-node-termination-handler/scheduled-maintenance",  # EKS
    "aws-node-termination-handler/spot-itn",
    "aws-node-termination-handler/asg-lifecycle-termination",
    "aws-node-termination-handler/rebalance-recommendation",
)


@dataclass(frozen=True, slots=True)
class LeavingNode:
    """why: a predicate, as "is cordoned"."""

    name: str
    why: str


@dataclass(frozen=True)
class Nodes:
    """What there is to say of nodes. Most of a cluster's are in none of the mappings.

    leaving, not_ready: by name; the latter since when, or None where the node does not say. names: of all that there
    are, or None where nobody has read them. missing_permission: why they cannot be read, for people, or "".
    """

    leaving: Mapping[str, LeavingNode] = field(default_factory=dict)
    not_ready: Mapping[str, datetime | None] = field(default_factory=dict)
    names: Collection[str] | None = None
    missing_permission: str = ""
    leaving_taints: Collection[str] = LEAVING_TAINTS

    @property
    def are_known(self) -> bool:
        return self.names is not None

    def absence_text(self, node: str) -> str:
        """Why a pod on this node may not end by itself, as a sentence; "" where its node is there and answers.

        >>> Nodes(names={"a"}).absence_text("b")
        'node b is gone'
        """
        if self.names is None or not node:
            return ""
        if node not in self.names:
            return f"node {node} is gone"
        if node not in self.not_ready:
            return ""
        since = self.not_ready[node]
        return f"node {node} is not ready" + (f" since {since:%Y-%m-%dT%H:%M:%SZ}" if since is not None else "")


UNKNOWN_NODES = Nodes()


def leaving_node(node: Node, leaving_taints: Collection[str]) -> LeavingNode | None:
    """How the node says that it is about to leave, or None. A cordon sets both a field and, a moment later, a taint.

    >>> from modelinfer_controller.api.core import NodeSpec, ObjectMeta, Taint
    >>> node = Node(metadata=ObjectMeta(name="n"), spec=NodeSpec(taints=(Taint(key="karpenter.sh/disrupted"),)))
    >>> leaving_node(node, LEAVING_TAINTS)
    LeavingNode(name='n', why='has the taint karpenter.sh/disrupted')
    """
    name = node.metadata.name
    if node.spec.unschedulable:
        return LeavingNode(name, "is cordoned")
    taint = next((taint.key for taint in node.spec.taints if taint.key in leaving_taints), None)
    return LeavingNode(name, f"has the taint {taint}") if taint is not None else None


def nodes_of(found: Iterable[Node], leaving_taints: Collection[str] = LEAVING_TAINTS) -> Nodes:
    """All nodes of a cluster, as they are now."""
    leaving: dict[str, LeavingNode] = {}
    not_ready: dict[str, datetime | None] = {}
    names: set[str] = set()
    for node in found:
        name = node.metadata.name
        names.add(name)
        if (going := leaving_node(node, leaving_taints)) is not None:
            leaving[name] = going
        if not node.is_ready:
            not_ready[name] = node.not_ready_since
    return Nodes(leaving, not_ready, names, leaving_taints=leaving_taints)
