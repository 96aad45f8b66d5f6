"""What the controller knows of the cluster: informers' caches, each with the own writes it has not shown yet."""

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, NoReturn, TypeVar

from modelinfer_controller.api import well_known
from modelinfer_controller.api.core import (
    Condition,
    ControllerRevision,
    KubeObject,
    Node,
    NodeStatus,
    ObjectMeta,
    Pod,
    PodDisruptionBudget,
    PodGroup,
    Service,
)
from modelinfer_controller.api.names import ObjectName
from modelinfer_controller.api.status import ModelInfer
from modelinfer_controller.controller.resources import MODEL_INFERS, POD_GROUPS
from modelinfer_controller.kube.backoff import Random
from modelinfer_controller.kube.cache.discovered_informer import DiscoveredInformer
from modelinfer_controller.kube.cache.factory import SharedInformerFactory
from modelinfer_controller.kube.cache.informer import SharedInformer
from modelinfer_controller.kube.cache.store import Indexers, by_controller_uid
from modelinfer_controller.kube.client import Client
from modelinfer_controller.kube.clock import Clock
from modelinfer_controller.kube.expectations import Expectations
from modelinfer_controller.kube.resource import (
    CONTROLLER_REVISIONS,
    NODES,
    POD_DISRUPTION_BUDGETS,
    PODS,
    SERVICES,
    Resource,
)
from modelinfer_controller.kube.tasks import run_all
from modelinfer_controller.planning.observed import GangSupport
from modelinfer_controller.planning.revision import GangScheduler

T = TypeVar("T", bound=KubeObject)

NO_INDEXERS: Indexers[Any] = {}
BY_CONTROLLER = "controller"  # index: the UID of the controller reference
BY_NODE = "node"  # index of pods: the name of their node


def by_node(pod: Pod) -> Iterable[Hashable]:
    return (pod.spec.node_name,) if pod.spec.node_name else ()


def controller_uid(obj: KubeObject) -> str | None:
    controller = obj.metadata.controller
    return None if controller is None else controller.uid


class OwnedCache(Generic[T]):
    """The children of one kind: the informer's cache and the own writes on top of it."""

    def __init__(self, resource: Resource[T], informer: SharedInformer[T], clock: Clock) -> None:
        self.resource = resource
        self.informer = informer
        self.expectations: Expectations[T, str] = Expectations(
            controller_uid, synced_version=informer.synced_version, clock=clock
        )
        informer.add_event_handler(self.expectations)

    def of(self, owner_uid: str) -> list[T]:
        """What the owner controls, own writes included."""
        return self.expectations.overlay(owner_uid, self.informer.store.by_index(BY_CONTROLLER, owner_uid))


@dataclass(frozen=True)
class Caches:
    """Every informer of the controller. `model_infers` and `nodes` are whole; of other kinds only what has our label.

    Nodes, PodDisruptionBudgets and PodGroups may not be served, or not be ours to read: nothing waits for them.
    """

    model_infers: SharedInformer[ModelInfer]
    own_model_infers: Expectations[ModelInfer, str]
    pods: OwnedCache[Pod]
    services: OwnedCache[Service]
    revisions: OwnedCache[ControllerRevision]
    pod_groups: Mapping[GangScheduler, OwnedCache[PodGroup]]
    discovered: Mapping[GangScheduler, DiscoveredInformer[PodGroup]]
    disruption_budgets: OwnedCache[PodDisruptionBudget]
    discovered_budgets: DiscoveredInformer[PodDisruptionBudget]
    nodes: DiscoveredInformer[Node]

    def model_infer(self, key: ObjectName) -> ModelInfer | None:
        """In its newest known state, own status writes included."""
        return self.own_model_infers.latest(key, self.model_infers.lister.get(key))

    def has(self, stored: ModelInfer) -> bool:
        """Whether that very ModelInfer is still there."""
        now = self.model_infer(stored.metadata.object_name)
        return now is not None and now.metadata.uid == stored.metadata.uid

    def has_spec_of(self, stored: ModelInfer) -> bool:
        """Whether its spec is still the one of `stored`, and it is not being deleted."""
        now = self.model_infer(stored.metadata.object_name)
        if now is None or now.metadata.is_terminating:
            return False
        return (now.metadata.uid, now.metadata.generation) == (stored.metadata.uid, stored.metadata.generation)

    @property
    def required_informers(self) -> tuple[SharedInformer[Any], ...]:
        return (self.model_infers, self.pods.informer, self.services.informer, self.revisions.informer)

    @property
    def informers(self) -> tuple[SharedInformer[Any] | DiscoveredInformer[Any], ...]:
        return (*self.required_informers, *self.discovered.values(), self.discovered_budgets, self.nodes)

    @property
    def has_synced(self) -> bool:
        return all(informer.has_synced for informer in self.informers)

    async def run(self) -> NoReturn:
        """Ends by cancellation, and with the first informer that fails."""
        await run_all((f"informer {informer.name}", informer.run()) for informer in self.informers)

    async def wait_for_sync(self) -> None:
        for informer in self.informers:
            await informer.wait_for_sync()

    def gang_support(self) -> GangSupport:
        """Which PodGroup APIs can be used now, and why not."""
        volcano, kubernetes = (
            self.discovered[scheduler] for scheduler in (GangScheduler.VOLCANO, GangScheduler.KUBERNETES)
        )
        return GangSupport(volcano.is_served, kubernetes.is_served, volcano.problem, kubernetes.problem)

    def children(self) -> tuple[OwnedCache[Any], ...]:
        return (self.pods, self.services, self.revisions, self.disruption_budgets, *self.pod_groups.values())


def build_caches(
    client: Client,
    namespaces: Sequence[str],
    *,
    random: Random,
    clock: Clock,
    on_support_changed: Callable[[], None],
) -> Caches:
    """namespaces: those to watch, or none for all. on_support_changed(): told when an optional kind comes or goes."""
    factory = SharedInformerFactory(client, random=random, namespaces=namespaces)
    indexers = {BY_CONTROLLER: by_controller_uid}

    def children(resource: Resource[T], more: Indexers[Any] = NO_INDEXERS) -> OwnedCache[T]:
        informer = factory.informer(
            resource, name=resource.plural, label_selector=well_known.NAME, indexers={**indexers, **more}
        )
        return OwnedCache(resource, informer, clock)

    def discovered(resource: Resource[T]) -> DiscoveredInformer[T]:
        return factory.discovered_informer(
            resource,
            label_selector=well_known.NAME,
            indexers=indexers,
            on_served_changed=lambda _: on_support_changed(),
        )

    model_infers = factory.informer(MODEL_INFERS, name=MODEL_INFERS.plural, indexers=indexers)
    own_model_infers: Expectations[ModelInfer, str] = Expectations(
        controller_uid, synced_version=model_infers.synced_version, clock=clock
    )
    model_infers.add_event_handler(own_model_infers)
    pod_groups = {scheduler: discovered(resource) for scheduler, resource in POD_GROUPS.items()}
    budgets = discovered(POD_DISRUPTION_BUDGETS)
    return Caches(
        model_infers=model_infers,
        own_model_infers=own_model_infers,
        pods=children(PODS, {BY_NODE: by_node}),
        services=children(SERVICES),
        revisions=children(CONTROLLER_REVISIONS),
        pod_groups={
            scheduler: OwnedCache(POD_GROUPS[scheduler], one.informer, clock) for scheduler, one in pod_groups.items()
        },
        discovered=pod_groups,
        disruption_budgets=OwnedCache(POD_DISRUPTION_BUDGETS, budgets.informer, clock),
        discovered_budgets=budgets,
        nodes=factory.discovered_informer(
            NODES, on_served_changed=lambda _: on_support_changed(), transform=trimmed_node
        ),
    )


def trimmed_node(node: Node) -> Node:
    """What decisions read of a node. Its labels, annotations and other conditions are most of what there is of it."""
    meta = ObjectMeta(name=node.metadata.name, uid=node.metadata.uid, resource_version=node.metadata.resource_version)
    ready = node.ready
    if ready is None:
        return Node(metadata=meta, spec=node.spec)
    kept = Condition(type=ready.type, status=ready.status, last_transition_time=ready.last_transition_time)
    return Node(metadata=meta, spec=node.spec, status=NodeStatus(conditions=(kept,)))
