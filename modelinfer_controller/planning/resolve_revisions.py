"""The revisions of one ModelInfer: that of the spec, the one that an update started from, and all that are in use."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from modelinfer_controller.api import well_known
from modelinfer_controller.planning import gang, revision
from modelinfer_controller.planning.observed import Observed
from modelinfer_controller.planning.revision import GangScheduler, Revision


@dataclass(frozen=True, slots=True)
class Revisions:
    """The revisions of one ModelInfer.

    update: that of the spec. current: the one that the running update started from, or update where none is under way.
    known: by name, those that groups can be built from; of those that somebody has deleted, what is known all the same.
    is_rolled_back: update has failed, and groups return to current.
    """

    update: Revision
    current: Revision
    known: Mapping[str, Revision]
    is_rolled_back: bool = False

    @property
    def goal(self) -> Revision:
        """Where an update moves groups to."""
        return self.current if self.is_rolled_back else self.update

    def named(self, name: str) -> Revision:
        """The revision of that name; without a payload if it is lost, so that nothing can be made from it."""
        return self.known.get(name) or Revision(name, 0, "", self.update.template)


def resolve_revisions(observed: Observed) -> Revisions:
    """Pure: a revision that is not stored yet is made first of all."""
    owner = observed.owner
    vanished = {one.name: replace(one, uid="") for one in observed.vanished_revisions}
    usable = {name: one for name, one in observed.revision_by_name.items() if one.is_usable}
    restored = _restored(observed, {**vanished, **usable})
    update = _update_revision(observed, (*vanished.values(), *restored.values()))
    current = _current_revision(observed, update)
    is_rolled_back = owner.status.failed_revision == update.name != current.name
    known = {**restored, **vanished, **usable, update.name: update, current.name: current}
    return Revisions(update, current, known, is_rolled_back)


def _restored(observed: Observed, known: Mapping[str, Revision]) -> Mapping[str, Revision]:
    """Revisions in use that are lost and were made from this very spec.

    If with another gang scheduler, or before the spec's definition spelled out defaults.
    """
    in_use = {*observed.pod_revisions, *observed.owner.recorded_revisions}
    lost = in_use - known.keys() - {""}
    if not lost:
        return {}
    owner = observed.owner
    of_spec = [revision.payload_of_spec(owner.spec_json, one) for one in (None, *GangScheduler)]
    payloads = [*of_spec, *(revision.without_spelled_out_defaults(one) for one in of_spec)]
    found = (revision.restore(owner.name, name, payloads) for name in lost)
    return {one.name: one for one in found if one is not None}


def _update_revision(observed: Observed, lost: tuple[Revision, ...]) -> Revision:
    """Worked out once for a spec and what revisions there are: it costs a decoding of both.

    lost: those that somebody has deleted and that are known all the same.
    """
    owner = observed.owner
    taken = tuple(sorted(name for kind, name in observed.name_conflicts if kind == "ControllerRevision"))
    stored = (*observed.revisions, *lost)
    key = (owner.name, owner.spec_json, observed.gang_support, stored, taken)
    known: tuple[object, Revision] | None = observed.memory.update
    if known is None or known[0] != key:
        known = observed.memory.update = (key, _resolve_update(observed, stored, taken))
    resolved = known[1]
    cause = owner.metadata.annotations.get(well_known.CHANGE_CAUSE, "")
    return resolved if resolved.is_stored else replace(resolved, change_cause=cause)


def _resolve_update(observed: Observed, stored: Sequence[Revision], taken: Iterable[str]) -> Revision:
    owner = observed.owner
    scheduler = gang.choose_scheduler(owner, observed.gang_support, observed.revisions)
    counts = {role.name: role.replicas for role in owner.spec.template.roles}
    payload = revision.payload_of_spec(owner.spec_json, scheduler)
    resolved = revision.resolve(owner.name, payload, stored, taken, counts)
    if resolved.is_stored:
        return resolved
    newest = max((one.number for one in stored if one.name != resolved.name), default=0)
    resolved = replace(resolved, number=max(resolved.number, newest + 1))  # also of one that is worked out again
    if resolved.template.role_replicas:
        return resolved
    # One that somebody has deleted and that is worked out again: how many instances it had is not in its hash.
    return replace(resolved, template=resolved.template.model_copy(update={"role_replicas": counts}))


def _current_revision(observed: Observed, update: Revision) -> Revision:
    """The status remembers it; where it does not, it is the oldest that pods still run."""
    stored = observed.revision_by_name.get(observed.owner.status.current_revision)
    if stored is not None and stored.is_usable:
        return stored
    running = observed.revision_by_name.keys() & set(observed.pod_revisions)
    usable = (one for name in running if (one := observed.revision_by_name[name]).is_usable)
    oldest = sorted(usable, key=lambda one: one.number)
    return oldest[0] if oldest else update
