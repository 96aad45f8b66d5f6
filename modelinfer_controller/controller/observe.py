"""From the caches to one frozen snapshot of a ModelInfer's world, in one step without an await."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace

from modelinfer_controller.api import well_known
from modelinfer_controller.api.core import ControllerRevision, KubeObject, Pod
from modelinfer_controller.api.names import ObjectName
from modelinfer_controller.controller.caches import Caches
from modelinfer_controller.controller.snapshot import snapshot
from modelinfer_controller.kube.cache.handlers import DeletedFinalStateUnknown, last_state
from modelinfer_controller.planning.memo import Memory
from modelinfer_controller.planning.nodes import UNKNOWN_NODES, Nodes
from modelinfer_controller.planning.observed import Observed, Owner
from modelinfer_controller.planning.pod_view import PodView, view_pod
from modelinfer_controller.planning.revision import Revision, revision_of


@dataclass
class Remembered:
    """What outlives one pass over a ModelInfer, and is forgotten with it: nothing that a decision depends on.

    revisions: those that were seen, by name, so that one that somebody deletes while it is in use can be stored again.
    decoded: by UID.
    """

    memory: Memory = field(default_factory=Memory)
    revisions: dict[str, Revision] = field(default_factory=dict)
    decoded: dict[str, tuple[ControllerRevision, Revision]] = field(default_factory=dict)

    def decode(self, stored: ControllerRevision) -> Revision:
        """Once for each state of a ControllerRevision."""
        uid = stored.metadata.uid
        known = self.decoded.get(uid)
        if known is None or known[0] is not stored:
            known = self.decoded[uid] = (stored, revision_of(stored, well_known.CHANGE_CAUSE))
        return known[1]


class Observer:
    """Views of pods are kept as long as the pods' states are: an observation costs what has changed since the last."""

    def __init__(self, caches: Caches, nodes: Callable[[], Nodes] = lambda: UNKNOWN_NODES) -> None:
        self._caches = caches
        self._nodes = nodes
        self._views: dict[ObjectName, tuple[Pod, PodView | None]] = {}
        self._remembered: dict[str, Remembered] = {}
        caches.pods.informer.add_event_handler(self)

    def observe(self, owner: Owner) -> Observed:
        caches, uid = self._caches, owner.metadata.uid
        remembered = self._remembered.setdefault(uid, Remembered())
        observed = snapshot(
            owner,
            views=(self._view(owner.name, pod) for pod in caches.pods.of(uid)),
            services=caches.services.of(uid),
            revisions=[remembered.decode(stored) for stored in caches.revisions.of(uid)],
            pod_groups={scheduler: owned.of(uid) for scheduler, owned in caches.pod_groups.items()},
            labelled=self._labelled(owner),
            gang_support=caches.gang_support(),
        )
        vanished = tuple(one for name, one in remembered.revisions.items() if name not in observed.revision_by_name)
        used = {*(pod.revision for pod in observed.pods), *(one.revision for one in owner.records.values())}
        if len(remembered.decoded) > len(observed.revisions):
            uids = {one.uid for one in observed.revisions}
            remembered.decoded = {uid: one for uid, one in remembered.decoded.items() if uid in uids}
        remembered.revisions = {one.name: one for one in (*observed.revisions, *vanished) if one.name in used}
        budgets = caches.disruption_budgets.of(uid)
        return replace(
            observed,
            vanished_revisions=vanished,
            memory=remembered.memory,
            nodes=self._nodes(),
            disruption_budgets={budget.metadata.name: budget for budget in budgets},
            can_write_budgets=caches.discovered_budgets.is_served,
            budget_problem=caches.discovered_budgets.problem,
        )

    def forget(self, uid: str) -> None:
        """The ModelInfer is gone."""
        self._remembered.pop(uid, None)

    def _view(self, owner: str, pod: Pod) -> PodView | None:
        name = pod.metadata.object_name
        seen = self._views.get(name)
        if seen is not None and seen[0] is pod:
            return seen[1]
        view = view_pod(owner, pod)
        self._views[name] = (pod, view)
        return view

    def _labelled(self, owner: Owner) -> Mapping[str, Iterable[KubeObject]]:
        by_kind: dict[str, list[KubeObject]] = {}
        for owned in self._caches.children():
            found = by_kind.setdefault(owned.resource.kind, [])  # both APIs' PodGroups are of one kind
            found += owned.labelled(owner.namespace, owner.name)
        return by_kind

    # ResourceEventHandler of pods: views of pods that are gone are forgotten.

    def on_add(self, obj: Pod, is_in_initial_list: bool) -> None: ...

    def on_update(self, old: Pod, new: Pod) -> None: ...

    def on_delete(self, obj: Pod | DeletedFinalStateUnknown[Pod]) -> None:
        self._views.pop(last_state(obj).metadata.object_name, None)
