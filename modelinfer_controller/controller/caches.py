"""What the controller knows of the cluster: informers' caches, each with the own writes it has not shown yet."""

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, NoReturn, TypeVar

from modelinfer_controller.api import well_known
from modelinfer_controller.api.core import ControllerRevision, KubeObject, Pod, PodGroup, Service
from modelinfer_controller.api.names import ObjectName
from modelinfer_controller.api.status import ModelInfer
from modelinfer_controller.controller.resources import MODEL_INFERS, POD_GROUPS
from modelinfer_controller.kube.backoff import Random
from modelinfer_controller.kube.cache.discovered_informer import DiscoveredInformer
from modelinfer_controller.kube.cache.factory import SharedInformerFactory
from modelinfer_controller.kube.cache.informer import SharedInformer
from modelinfer_controller.kube.cache.store import by_controller_uid
from modelinfer_controller.kube.client import Client
from modelinfer_controller.kube.clock import Clock
from modelinfer_controller.kube.expectations import Expectations
from modelinfer_controller.kube.resource import CONTROLLER_REVISIONS, PODS, SERVICES, Resource
from modelinfer_controller.kube.tasks import run_all
from modelinfer_controller.planning.observed import GangSupport
from modelinfer_controller.planning.revision import GangScheduler

T = TypeVar("T", bound=KubeObject)

BY_CONTROLLER = "controller"  # index: the UID of the controller reference
BY_NAME_LABEL = "name-label"  # index: (namespace, value of our name label)


def by_name_label(obj: KubeObject) -> Iterable[Hashable]:
    name = obj.metadata.labels.get(well_known.NAME)
    return () if name is None else ((obj.metadata.namespace, name),)


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

    def labelled(self, namespace: str, owner: str) -> Sequence[T]:
        """What bears the owner's name as label, whoever controls it."""
        return self.informer.store.by_index(BY_NAME_LABEL, (namespace, owner))


@dataclass(frozen=True)
class Caches:
    """Every informer of the controller. `model_infers` is whole; of all other kinds only what bears our label."""

    model_infers: SharedInformer[ModelInfer]
    own_model_infers: Expectations[ModelInfer, str]
    pods: OwnedCache[Pod]
    services: OwnedCache[Service]
    revisions: OwnedCache[ControllerRevision]
    pod_groups: Mapping[GangScheduler, OwnedCache[PodGroup]]
    discovered: Mapping[GangScheduler, DiscoveredInformer[PodGroup]]

    def model_infer(self, key: ObjectName) -> ModelInfer | None:
        """In its newest known state, own status writes included."""
        return self.own_model_infers.latest(key, self.model_infers.lister.get(key))

    @property
    def required_informers(self) -> tuple[SharedInformer[Any], ...]:
        return (self.model_infers, self.pods.informer, self.services.informer, self.revisions.informer)

    @property
    def informers(self) -> tuple[SharedInformer[Any] | DiscoveredInformer[Any], ...]:
        return (*self.required_informers, *self.discovered.values())

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
        return (self.pods, self.services, self.revisions, *self.pod_groups.values())


def build_caches(
    client: Client,
    namespaces: Sequence[str],
    *,
    random: Random,
    clock: Clock,
    on_gang_support_changed: Callable[[], None],
) -> Caches:
    """namespaces: those to watch, or none for all."""
    factory = SharedInformerFactory(client, random=random, namespaces=namespaces)
    indexers = {BY_CONTROLLER: by_controller_uid, BY_NAME_LABEL: by_name_label}

    def children(resource: Resource[T]) -> OwnedCache[T]:
        informer = factory.informer(resource, name=resource.plural, label_selector=well_known.NAME, indexers=indexers)
        return OwnedCache(resource, informer, clock)

    model_infers = factory.informer(MODEL_INFERS, name=MODEL_INFERS.plural, indexers=indexers)
    own_model_infers: Expectations[ModelInfer, str] = Expectations(
        controller_uid, synced_version=model_infers.synced_version, clock=clock
    )
    model_infers.add_event_handler(own_model_infers)
    discovered = {
        scheduler: factory.discovered_informer(
            resource,
            label_selector=well_known.NAME,
            indexers=indexers,
            on_served_changed=lambda _: on_gang_support_changed(),
        )
        for scheduler, resource in POD_GROUPS.items()
    }
    return Caches(
        model_infers=model_infers,
        own_model_infers=own_model_infers,
        pods=children(PODS),
        services=children(SERVICES),
        revisions=children(CONTROLLER_REVISIONS),
        pod_groups={
            scheduler: OwnedCache(POD_GROUPS[scheduler], one.informer, clock) for scheduler, one in discovered.items()
        },
        discovered=discovered,
    )
