"""From the caches to one frozen snapshot of a ModelInfer's world, in one step without an await."""

from collections.abc import Callable
from dataclasses import dataclass, field

from modelinfer_controller.api import validation, well_known
from modelinfer_controller.api.core import ControllerRevision
from modelinfer_controller.api.modelinfer import ModelInferSpec
from modelinfer_controller.api.status import ModelInfer
from modelinfer_controller.api.validation import InvalidSpec
from modelinfer_controller.controller.caches import Caches
from modelinfer_controller.controller.children import Children
from modelinfer_controller.controller.snapshot import name_conflicts_of
from modelinfer_controller.planning.memo import Memory
from modelinfer_controller.planning.nodes import UNKNOWN_NODES, Nodes
from modelinfer_controller.planning.observed import Observed, Owner
from modelinfer_controller.planning.revision import Revision, revision_of


@dataclass
class Remembered:
    """What outlives one pass over a ModelInfer, and is forgotten with it: nothing that a decision depends on.

    spec: as it is stored, and decoded. revisions: those that were seen, by name, so that one that somebody deletes
    while it is in use can be stored again. decoded: by UID.
    """

    memory: Memory = field(default_factory=Memory)
    spec: tuple[bytes, ModelInferSpec | InvalidSpec] | None = None
    revisions: dict[str, Revision] = field(default_factory=dict)
    decoded: dict[str, tuple[ControllerRevision, Revision]] = field(default_factory=dict)

    def decode_spec(self, spec_json: bytes, name: str) -> ModelInferSpec | InvalidSpec:
        """Once for each state of the spec, which changes far less often than pods do."""
        if self.spec is None or self.spec[0] != spec_json:
            self.spec = (spec_json, validation.decode(spec_json, name))
        return self.spec[1]

    def decode(self, stored: ControllerRevision) -> Revision:
        """Once for each state of a ControllerRevision."""
        uid = stored.metadata.uid
        known = self.decoded.get(uid)
        if known is None or known[0] is not stored:
            known = self.decoded[uid] = (stored, revision_of(stored, well_known.CHANGE_CAUSE))
        return known[1]

    def vanished(self, revisions: tuple[Revision, ...], used: set[str]) -> tuple[Revision, ...]:
        """Revisions that were there and are still used. Forgets those that are not."""
        there = {one.name: one for one in revisions}
        gone = {name: one for name, one in self.revisions.items() if name not in there and name in used}
        self.revisions = {**gone, **there}
        if len(self.decoded) > len(revisions):
            uids = {one.uid for one in revisions}
            self.decoded = {uid: one for uid, one in self.decoded.items() if uid in uids}
        return tuple(gone.values())


class Observer:
    """An observation costs what has changed since the last."""

    def __init__(self, caches: Caches, nodes: Callable[[], Nodes] = lambda: UNKNOWN_NODES) -> None:
        self._caches = caches
        self._nodes = nodes
        self._children = Children(caches)
        self._remembered: dict[str, Remembered] = {}

    def owner_of(self, stored: ModelInfer) -> Owner | InvalidSpec:
        spec_json = bytes(stored.spec)
        spec = self._remembered_of(stored.metadata.uid).decode_spec(spec_json, stored.metadata.name)
        return spec if isinstance(spec, InvalidSpec) else Owner(stored.metadata, spec, spec_json, stored.status)

    def observe(self, owner: Owner) -> Observed:
        caches, uid = self._caches, owner.metadata.uid
        remembered = self._remembered_of(uid)
        children, pod_revisions = self._children.of(owner)
        revisions = tuple(remembered.decode(stored) for stored in caches.revisions.of(uid))
        return Observed(
            owner=owner,
            children=children,
            pod_revisions=pod_revisions,
            revisions=revisions,
            name_conflicts=name_conflicts_of(self._children.others(owner)),
            gang_support=caches.gang_support(),
            vanished_revisions=remembered.vanished(revisions, {*pod_revisions, *owner.recorded_revisions}),
            nodes=self._nodes(),
            disruption_budgets={one.metadata.name: one for one in caches.disruption_budgets.of(uid)},
            can_write_budgets=caches.discovered_budgets.is_served,
            budget_problem=caches.discovered_budgets.problem,
            memory=remembered.memory,
        )

    def _remembered_of(self, uid: str) -> Remembered:
        return self._remembered.setdefault(uid, Remembered())

    def forget(self, uid: str) -> None:
        """The ModelInfer is gone."""
        self._remembered.pop(uid, None)
        self._children.forget(uid)
