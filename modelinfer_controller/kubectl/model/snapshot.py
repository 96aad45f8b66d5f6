"""Reading one ModelInfer's world from the cluster, once, into the very snapshot that the controller decides from."""

import asyncio
import difflib
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import cached_property
from typing import Any, TypeVar

from msgspec.structs import replace as replaced

from modelinfer_controller.api import validation, well_known
from modelinfer_controller.api.core import (
    ControllerRevision,
    KubeObject,
    Node,
    NodeSpec,
    ObjectMeta,
    Pod,
    PodDisruptionBudget,
    PodGroup,
    Service,
)
from modelinfer_controller.api.modelinfer import ModelInferSpec
from modelinfer_controller.api.status import ModelInfer
from modelinfer_controller.api.validation import InvalidSpec, Violation
from modelinfer_controller.controller.resources import MODEL_INFERS, POD_GROUPS
from modelinfer_controller.controller.snapshot import is_controlled_by, snapshot
from modelinfer_controller.exits import Exit
from modelinfer_controller.kube.client import Client
from modelinfer_controller.kube.errors import Forbidden, NotFound
from modelinfer_controller.kube.resource import (
    CONTROLLER_REVISIONS,
    NODES,
    POD_DISRUPTION_BUDGETS,
    PODS,
    SERVICES,
    Resource,
)
from modelinfer_controller.kubectl.model.access import allowed_to
from modelinfer_controller.kubectl.model.kubeconfig import failure
from modelinfer_controller.planning.decide import Decision, decide
from modelinfer_controller.planning.disruption_budget import published_taints
from modelinfer_controller.planning.nodes import UNKNOWN_NODES, Nodes, nodes_of
from modelinfer_controller.planning.observed import GangSupport, Observed, Owner
from modelinfer_controller.planning.pod_view import view_pod
from modelinfer_controller.planning.revision import GangScheduler, Revision, revision_of

T = TypeVar("T", bound=KubeObject)

NO_GANGS = GangSupport()


@dataclass(frozen=True)
class Listed:
    """What the namespace has of our label's kinds, whoever controls it, and which PodGroups are served."""

    pods: Sequence[Pod] = ()
    services: Sequence[Service] = ()
    revisions: Sequence[ControllerRevision] = ()
    pod_groups: Mapping[GangScheduler, Sequence[PodGroup]] | None = None
    gang_support: GangSupport = NO_GANGS
    budgets: Sequence[PodDisruptionBudget] | None = None  # None where they may not be read


def with_leaving(nodes: Mapping[str, Node], pods: Sequence[Pod], leaving: Sequence[str]) -> Mapping[str, Node]:
    """The nodes with some of them cordoned; where they may not be read, those that the pods name.

    Raises Exit where none of ours runs on a node.
    """
    used = {pod.spec.node_name for pod in pods} - {""}
    for name in leaving:
        if name not in used:
            raise failure(f"no pod of a ModelInfer runs on node {name!r} in this namespace")
    found = {name: Node(metadata=ObjectMeta(name=name)) for name in used} | dict(nodes)
    cordoned = {name: replaced(found[name], spec=NodeSpec(unschedulable=True)) for name in leaving}
    return found | cordoned


def without_node(listed: Listed, node: str) -> Listed:
    """What is left when every pod of the node has been evicted. Raises Exit where there is none of ours."""
    left = [pod for pod in listed.pods if pod.spec.node_name != node]
    if len(left) == len(listed.pods):
        raise failure(f"no pod of a ModelInfer runs on node {node!r} in this namespace")
    return replace(listed, pods=left)


@dataclass(frozen=True)
class Snapshot:
    """One ModelInfer as it was at one time.

    pods: those that it controls, by name. nodes: by name; empty where they may not be listed. violations: the rules
    that its spec breaks; the controller then leaves everything as it is.
    """

    stored: ModelInfer
    observed: Observed
    pods: Mapping[str, Pod]
    nodes: Mapping[str, Node]
    violations: tuple[Violation, ...]
    now: datetime
    made_at_by_revision: Mapping[str, datetime | None] = field(default_factory=dict)

    @property
    def owner(self) -> Owner:
        return self.observed.owner

    @cached_property
    def decision(self) -> Decision:
        return decide(self.observed, self.now)

    @property
    def update(self) -> Revision:
        """The revision of the spec as it is."""
        return self.decision.revisions.update


async def read_snapshot(client: Client, namespace: str, name: str, now: datetime) -> Snapshot:
    """Raises Exit where it is not there, cannot be decoded, or may not be read."""
    stored = await read_model_infer(client, namespace, name)
    listed, nodes = await asyncio.gather(read_children(client, namespace), read_nodes(client))
    return snapshot_of(stored, listed, nodes, now)


def snapshot_of(stored: ModelInfer, listed: Listed, nodes: Mapping[str, Node], now: datetime) -> Snapshot:
    """Raises Exit where the spec cannot be decoded at all."""
    spec, violations = decode_spec(bytes(stored.spec), stored.metadata.name)
    owner = Owner(stored.metadata, spec, bytes(stored.spec), stored.status)
    return Snapshot(
        stored=stored,
        observed=replace(observed_of(owner, listed), nodes=_nodes(nodes, listed)),
        pods={pod.metadata.name: pod for pod in _of(listed.pods, owner)},
        nodes=nodes,
        violations=violations,
        now=now,
        made_at_by_revision={one.metadata.name: one.metadata.creation_timestamp for one in listed.revisions},
    )


def _nodes(nodes: Mapping[str, Node], listed: Listed) -> Nodes:
    """As the controller judges them, by the taints that it publishes."""
    return nodes_of(nodes.values(), published_taints(listed.budgets or ())) if nodes else UNKNOWN_NODES


def observed_of(owner: Owner, listed: Listed) -> Observed:
    """What the controller would observe of these objects."""
    groups = listed.pod_groups or {}
    by_kind: Mapping[str, Iterable[KubeObject]] = {
        "Pod": listed.pods,
        "Service": listed.services,
        "ControllerRevision": listed.revisions,
        "PodGroup": [stored for each in groups.values() for stored in each],
        "PodDisruptionBudget": listed.budgets or (),
    }
    observed = snapshot(
        owner,
        views=(view_pod(owner.name, pod) for pod in _of(listed.pods, owner)),
        services=_of(listed.services, owner),
        revisions=[revision_of(stored, well_known.CHANGE_CAUSE) for stored in _of(listed.revisions, owner)],
        pod_groups={scheduler: _of(each, owner) for scheduler, each in groups.items()},
        labelled={kind: _labelled(objects, owner.name) for kind, objects in by_kind.items()},
        gang_support=listed.gang_support,
    )
    return replace(
        observed,
        disruption_budgets={one.metadata.name: one for one in _of(listed.budgets or (), owner)},
        can_write_budgets=listed.budgets is not None,
    )


def decode_spec(spec: bytes, name: str) -> tuple[ModelInferSpec, tuple[Violation, ...]]:
    """The spec and the rules that it breaks. Raises Exit where it cannot be decoded at all."""
    match validation.decode(spec, name):
        case InvalidSpec(violations=violations, spec=None):
            raise failure(f"the spec of ModelInfer {name} is invalid: {'; '.join(map(str, violations))}")
        case InvalidSpec(violations=violations, spec=ModelInferSpec() as decoded):
            return decoded, violations
        case ModelInferSpec() as decoded:
            return decoded, ()
    raise AssertionError


def _of(objects: Iterable[T], owner: Owner) -> list[T]:
    return [obj for obj in objects if is_controlled_by(obj, owner.metadata.uid)]


def _labelled(objects: Iterable[KubeObject], owner: str) -> list[KubeObject]:
    return [obj for obj in objects if obj.metadata.labels.get(well_known.NAME) == owner]


async def read_model_infer(client: Client, namespace: str, name: str) -> ModelInfer:
    """Raises Exit; where there is none of that name, with the names that are near."""
    with allowed_to("get", MODEL_INFERS, namespace), suppress(NotFound):
        return await client.get(MODEL_INFERS, namespace, name)
    found = await list_model_infers(client, namespace)
    raise failure(_nobody_of_that_name(name, namespace, [one.metadata.name for one in found]))


async def list_model_infers(client: Client, namespace: str | None, selector: str = "") -> Sequence[ModelInfer]:
    """Of one namespace or, with None, of all. Raises Exit, also where there is no such kind."""
    try:
        return await list_of(client, MODEL_INFERS, namespace, selector)
    except NotFound as error:
        raise crd_missing() from error


def crd_missing() -> Exit:
    """What to say of a cluster that does not serve ModelInfers."""
    return failure(f"the CRD {MODEL_INFERS} is not installed: `kubectl apply -f manifests/crd` installs it")


def _nobody_of_that_name(name: str, namespace: str, names: Sequence[str]) -> str:
    message = f'no ModelInfer "{name}" in namespace {namespace}'
    near = difflib.get_close_matches(name, names, n=3, cutoff=0.5) or sorted(names)[:3]
    if not near:
        return f"{message}; the namespace has none (`kubectl modelinfer list --all-namespaces` shows all)"
    return f"{message}; the nearest names: {', '.join(near)}"


async def read_children(client: Client, namespace: str | None) -> Listed:
    pods, services, revisions, budgets, pod_groups = await asyncio.gather(
        list_of(client, PODS, namespace),
        list_of(client, SERVICES, namespace),
        list_of(client, CONTROLLER_REVISIONS, namespace),
        _budgets(client, namespace),
        asyncio.gather(*(_pod_groups(client, namespace, scheduler) for scheduler in POD_GROUPS)),
    )
    found = dict(zip(POD_GROUPS, pod_groups, strict=True))
    return Listed(
        pods=pods,
        services=services,
        revisions=revisions,
        budgets=budgets,
        pod_groups={scheduler: each for scheduler, each in found.items() if each is not None},
        gang_support=GangSupport(
            volcano=found[GangScheduler.VOLCANO] is not None, kubernetes=found[GangScheduler.KUBERNETES] is not None
        ),
    )


async def list_of(
    client: Client, resource: Resource[T], namespace: str | None, selector: str = well_known.NAME
) -> Sequence[T]:
    """Everything of a kind that bears our label, as the controller's own informers ask for it.

    Raises Exit, and NotFound for a kind that is not served.
    """
    with allowed_to("list", resource, namespace):
        try:
            return (await client.list_all(resource, namespace, label_selector=selector)).items
        except NotFound as error:
            missing: NotFound = error
    raise missing


async def _budgets(client: Client, namespace: str | None) -> Sequence[PodDisruptionBudget] | None:
    try:
        return (await client.list_all(POD_DISRUPTION_BUDGETS, namespace, label_selector=well_known.NAME)).items
    except (NotFound, Forbidden):
        return None


async def _pod_groups(client: Client, namespace: str | None, scheduler: GangScheduler) -> Sequence[PodGroup] | None:
    """None where the kind is not served; who may not list it is told so before the server looks whether it is."""
    resource = POD_GROUPS[scheduler]
    try:
        return (await client.list_all(resource, namespace, label_selector=well_known.NAME)).items
    except NotFound:
        return None
    except Forbidden:
        from modelinfer_controller.kube.cache.discovered_informer import (
            is_resource_served,  # slow to import, and rarely needed
        )

        if not await is_resource_served(client, resource):
            return None
    return await list_of(client, resource, namespace)


async def read_nodes(client: Client) -> Mapping[str, Node]:
    """Nodes tell topology domains, and which of them leave: who may not list them does without."""
    try:
        found: Iterable[Any] = (await client.list_all(NODES, resource_version="0")).items
    except (Forbidden, NotFound):
        return {}
    return {node.metadata.name: node for node in found}
