"""The scheduling plugins, named as kube-scheduler names them: filters say where a pod may run, scores where it should.

Pure. source: pkg/scheduler/framework/plugins
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from modelinfer_controller.simulator.apiserver.selectors import expression, label_selector
from modelinfer_controller.simulator.controllers.node_info import Amounts, NodeInfos, allocatable
from modelinfer_controller.simulator.objects import Object
from modelinfer_controller.simulator.resources import PlainObject


@dataclass(frozen=True, slots=True)
class Node:
    """A node as the filters see it; allocatable in thousandths."""

    name: str
    labels: Mapping[str, str]
    is_cordoned: bool
    taints: tuple[Object, ...]
    allocatable: Amounts


def node_of(node: PlainObject) -> Node:
    taints = list(node.spec.get("taints") or [])
    ready = node.condition("Ready") or {}
    if ready.get("status") == "False":
        taints.append({"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"})
    return Node(
        name=node.metadata.name,
        labels=node.metadata.labels,
        is_cordoned=bool(node.spec.get("unschedulable")),
        taints=tuple(taints),
        allocatable=allocatable(node),
    )


@dataclass(frozen=True, slots=True)
class Unschedulable:
    """Why no node will do, in kube-scheduler's words."""

    message: str


@dataclass(frozen=True, slots=True)
class CycleState:
    """What the plugins share while one pod is scheduled."""

    pod: PlainObject
    amounts: Amounts
    infos: NodeInfos
    spread: Sequence["_Spread"]
    preferences: Sequence["_Preference"]


Filter = Callable[[CycleState, Node], Iterable[str]]
"""The reasons why the pod cannot run on the node, in kube-scheduler's words; none where it can."""

Score = Callable[[CycleState, Node], float]
"""How well the node suits the pod; more is better."""


def choose(pod: PlainObject, amounts: Amounts, nodes: Sequence[Node], infos: NodeInfos) -> Node | Unschedulable:
    """The best of the nodes that fit; of equals the first. A score decides between equals of the scores before it."""
    if not nodes:
        return Unschedulable("no nodes available to schedule pods")
    spread = [_Spread.of(pod, constraint, nodes, infos) for constraint in _constraints(pod)]
    preferences = [_Preference.of(pod, term, nodes, infos) for term in _preferred_affinity(pod)]
    state = CycleState(pod, amounts, infos, spread, preferences)
    reasons: Counter[str] = Counter()
    feasible: list[Node] = []
    for node in nodes:
        found = _first_reasons(state, node)
        reasons.update(found)
        if not found:
            feasible.append(node)
    if not feasible:
        listed = ", ".join(sorted(f"{count} {reason}" for reason, count in reasons.items()))
        return Unschedulable(f"0/{len(nodes)} nodes are available: {listed}.")
    if len(feasible) == 1:
        return feasible[0]
    return max(feasible, key=lambda node: [score(state, node) for score in SCORES])


def _first_reasons(state: CycleState, node: Node) -> Sequence[str]:
    """Of the first filter that finds any."""
    for filter_ in FILTERS:
        if found := tuple(filter_(state, node)):
            return found
    return ()


def node_unschedulable(state: CycleState, node: Node) -> Iterable[str]:
    if node.is_cordoned:
        yield "node(s) were unschedulable"


def taint_toleration(state: CycleState, node: Node) -> Iterable[str]:
    for taint in node.taints:
        if taint.get("effect") != "PreferNoSchedule" and not _is_tolerated(state.pod, taint):
            yield f"node(s) had untolerated taint {{{taint['key']}: {taint.get('value', '')}}}"
            return


def node_affinity(state: CycleState, node: Node) -> Iterable[str]:
    if not _matches_selectors(state.pod, node):
        yield "node(s) didn't match Pod's node affinity/selector"


def node_resources_fit(state: CycleState, node: Node) -> Iterable[str]:
    used = state.infos.requested(node.name)
    for name, amount in state.amounts.items():
        if amount and used.get(name, 0) + amount > node.allocatable.get(name, 0):
            yield "Too many pods" if name == "pods" else f"Insufficient {name}"


def pod_topology_spread(state: CycleState, node: Node) -> Iterable[str]:
    for constraint in state.spread:
        if not constraint.is_hard:
            continue
        if constraint.key not in node.labels:
            yield "node(s) didn't match pod topology spread constraints (missing required label)"
            return
        if not constraint.is_satisfied_on(node):
            yield "node(s) didn't match pod topology spread constraints"
            return


FILTERS: Final[Sequence[Filter]] = (
    node_unschedulable,
    taint_toleration,
    node_affinity,
    node_resources_fit,
    pod_topology_spread,
)


def spread_score(state: CycleState, node: Node) -> float:
    """PodTopologySpread: the domain with the fewest pods that match the soft constraints."""
    return -sum(one.count_by_domain.get(node.labels.get(one.key, ""), 0) for one in state.spread if not one.is_hard)


def inter_pod_affinity(state: CycleState, node: Node) -> float:
    return sum(one.score(node) for one in state.preferences)


def least_allocated(state: CycleState, node: Node) -> float:
    """NodeResourcesFit: the largest free share of the scarcest resource that the pod asks for."""
    used = state.infos.requested(node.name)
    shares = [used.get(name, 0) / node.allocatable[name] for name in state.amounts if node.allocatable.get(name)]
    return -max(shares, default=0.0)


SCORES: Final[Sequence[Score]] = (spread_score, inter_pod_affinity, least_allocated)


def _is_tolerated(pod: PlainObject, taint: Object) -> bool:
    for toleration in pod.spec.get("tolerations") or []:
        if toleration.get("effect") not in (None, "", taint.get("effect")):
            continue
        if toleration.get("key") not in (None, "", taint["key"]):
            continue
        exists = toleration.get("operator", "Equal") == "Exists"
        if exists or toleration.get("value", "") == taint.get("value", ""):
            return True
    return False


def _matches_selectors(pod: PlainObject, node: Node) -> bool:
    wanted = pod.spec.get("nodeSelector") or {}
    if any(node.labels.get(key) != value for key, value in wanted.items()):
        return False
    affinity = (pod.spec.get("affinity") or {}).get("nodeAffinity") or {}
    required = affinity.get("requiredDuringSchedulingIgnoredDuringExecution")
    return required is None or any(_matches_term(term, node) for term in required["nodeSelectorTerms"])


def _matches_term(term: Object, node: Node) -> bool:
    fields = {"metadata.name": node.name}
    return all(expression(one)(node.labels) for one in term.get("matchExpressions") or []) and all(
        expression(one)(fields) for one in term.get("matchFields") or []
    )


def _constraints(pod: PlainObject) -> list[Object]:
    constraints: list[Object] = pod.spec.get("topologySpreadConstraints") or []
    return constraints


@dataclass(frozen=True, slots=True)
class _Spread:
    """One topology spread constraint, with how many matching pods each domain has. added: what this pod adds."""

    key: str
    max_skew: int
    is_hard: bool
    count_by_domain: Mapping[str, int]
    added: int

    @classmethod
    def of(cls, pod: PlainObject, constraint: Object, nodes: Sequence[Node], infos: NodeInfos) -> "_Spread":
        """Counted are the nodes that the pod may run on, as kube-scheduler does by default."""
        key = constraint["topologyKey"]
        selects = label_selector(constraint.get("labelSelector"))
        counts: Counter[str] = Counter()
        for node in nodes:
            if key in node.labels and _matches_selectors(pod, node):
                counts[node.labels[key]] += sum(
                    not other.metadata.is_terminating
                    and other.metadata.namespace == pod.metadata.namespace
                    and selects(other.metadata.labels)
                    for other in infos.pods_on(node.name)
                )
        is_hard = constraint["whenUnsatisfiable"] == "DoNotSchedule"
        return cls(key, constraint["maxSkew"], is_hard, counts, int(selects(pod.metadata.labels)))

    def is_satisfied_on(self, node: Node) -> bool:
        domain = node.labels[self.key]
        return self.count_by_domain[domain] + self.added - min(self.count_by_domain.values()) <= self.max_skew


def _preferred_affinity(pod: PlainObject) -> list[Object]:
    affinity = (pod.spec.get("affinity") or {}).get("podAffinity") or {}
    terms: list[Object] = affinity.get("preferredDuringSchedulingIgnoredDuringExecution") or []
    return terms


@dataclass(frozen=True, slots=True)
class _Preference:
    """One preferred pod affinity: the domains that have a matching pod."""

    key: str
    weight: int
    count_by_domain: Mapping[str, int]

    @classmethod
    def of(cls, pod: PlainObject, weighted: Object, nodes: Sequence[Node], infos: NodeInfos) -> "_Preference":
        term = weighted["podAffinityTerm"]
        key, selects = term["topologyKey"], label_selector(term.get("labelSelector"))
        namespaces = term.get("namespaces") or [pod.metadata.namespace]
        counts: Counter[str] = Counter()
        for node in nodes:
            if key in node.labels:
                counts[node.labels[key]] += sum(
                    other.metadata.namespace in namespaces and selects(other.metadata.labels)
                    for other in infos.pods_on(node.name)
                )
        return cls(key, weighted["weight"], counts)

    def score(self, node: Node) -> int:
        return self.weight * self.count_by_domain.get(node.labels.get(self.key, ""), 0)
