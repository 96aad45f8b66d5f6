"""From the caches to one frozen snapshot of a ModelInfer's world, in one step without an await."""

from collections.abc import Iterator

from modelinfer_controller.api import labels
from modelinfer_controller.api.core import KubeObject, Pod, PodGroup
from modelinfer_controller.api.names import ObjectName
from modelinfer_controller.controller.caches import Caches, controller_uid
from modelinfer_controller.kube.cache.handlers import DeletedFinalStateUnknown, last_state
from modelinfer_controller.planning.observed import (
    GangSupport,
    Observed,
    Owner,
    PodGroupKey,
    PodView,
    view_pod,
)
from modelinfer_controller.planning.revision import GangScheduler, revision_of


class Observer:
    """Views of pods are kept as long as the pods' states are: an observation costs what has changed since the last."""

    def __init__(self, caches: Caches) -> None:
        self._caches = caches
        self._views: dict[ObjectName, tuple[Pod, PodView | None]] = {}
        caches.pods.informer.add_event_handler(self)

    def observe(self, owner: Owner) -> Observed:
        caches, uid = self._caches, owner.metadata.uid
        views = (self._view(owner.name, pod) for pod in caches.pods.of(uid))
        return Observed(
            owner=owner,
            pods=tuple(view for view in views if view is not None),
            services={service.metadata.name: service for service in caches.services.of(uid)},
            pod_groups=dict(self._pod_groups(uid)),
            revisions=tuple(revision_of(stored, labels.CHANGE_CAUSE) for stored in caches.revisions.of(uid)),
            reserved=dict(self._reserved(owner)),
            gang_support=GangSupport(
                volcano=caches.optional[GangScheduler.VOLCANO].is_served,
                kubernetes=caches.optional[GangScheduler.KUBERNETES].is_served,
            ),
        )

    def _view(self, owner: str, pod: Pod) -> PodView | None:
        name = pod.metadata.object_name
        seen = self._views.get(name)
        if seen is not None and seen[0] is pod:
            return seen[1]
        view = view_pod(owner, pod)
        self._views[name] = (pod, view)
        return view

    def _pod_groups(self, uid: str) -> Iterator[tuple[PodGroupKey, PodGroup]]:
        for scheduler, children in self._caches.pod_groups.items():
            for stored in children.of(uid):
                yield PodGroupKey(scheduler, stored.metadata.name), stored

    def _reserved(self, owner: Owner) -> Iterator[tuple[tuple[str, str], str]]:
        caches = self._caches
        for children in caches.children():
            kind = children.resource.kind
            for obj in children.labelled(owner.namespace, owner.name):
                if controller_uid(obj) != owner.metadata.uid:
                    yield (kind, obj.metadata.name), describe_bearer(kind, obj)

    # ResourceEventHandler of pods: views of pods that are gone are forgotten.

    def on_add(self, obj: Pod, is_in_initial_list: bool) -> None: ...

    def on_update(self, old: Pod, new: Pod) -> None: ...

    def on_delete(self, obj: Pod | DeletedFinalStateUnknown[Pod]) -> None:
        self._views.pop(last_state(obj).metadata.object_name, None)


def describe_bearer(kind: str, obj: KubeObject) -> str:
    """Who bears a name in the way, for people, and what to do about it."""
    controller = obj.metadata.controller
    whose = (
        f"is controlled by {controller.kind} {controller.name} (UID {controller.uid})"
        if controller
        else "has no controller"
    )
    if obj.metadata.is_terminating:
        return f"{kind} {obj.metadata.name} is in the way: it {whose} and is being deleted"
    return f"{kind} {obj.metadata.name} is in the way: it {whose}; delete or rename it, or rename the ModelInfer"
