"""What a ModelInfer asks for: its spec, the revisions that groups can be at, and what the server serves."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import cached_property

from modelinfer_controller.api import well_known
from modelinfer_controller.api.modelinfer import ModelInferSpec, RecoveryPolicy
from modelinfer_controller.planning import gang, revision
from modelinfer_controller.planning.manifests import OwnerIdentity
from modelinfer_controller.planning.observed import GangSupport, Observed, Owner
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
    update = _update_revision(observed)
    current = _current_revision(observed, update)
    is_rolled_back = owner.status.failed_revision == update.name != current.name
    vanished = {one.name: replace(one, uid="") for one in observed.vanished_revisions}
    usable = {name: one for name, one in observed.revision_by_name.items() if one.is_usable}
    known = {**vanished, **usable, update.name: update, current.name: current}
    return Revisions(update, current, {**_restored(observed, known), **known}, is_rolled_back)


def _restored(observed: Observed, known: Mapping[str, Revision]) -> Mapping[str, Revision]:
    """Revisions in use that are lost and were made from this very spec, if with another gang scheduler."""
    in_use = {pod.revision for pod in observed.pods} | {record.revision for record in observed.owner.records.values()}
    lost = in_use - known.keys() - {""}
    if not lost:
        return {}
    owner = observed.owner
    payloads = [revision.payload_of_spec(owner.spec_json, one) for one in (None, *GangScheduler)]
    found = (revision.restore(owner.name, name, payloads) for name in lost)
    return {one.name: one for one in found if one is not None}


def _update_revision(observed: Observed) -> Revision:
    """Worked out once for a spec and what revisions there are: it costs a decoding of both."""
    owner = observed.owner
    taken = tuple(sorted(name for kind, name in observed.reserved if kind == "ControllerRevision"))
    key = (owner.name, owner.spec_json, observed.gang_support, observed.revisions, taken)
    known: tuple[object, Revision] | None = observed.memory.update
    if known is None or known[0] != key:
        known = observed.memory.update = (key, _resolve_update(observed, taken))
    resolved = known[1]
    cause = owner.metadata.annotations.get(well_known.CHANGE_CAUSE, "")
    return resolved if resolved.is_stored else replace(resolved, change_cause=cause)


def _resolve_update(observed: Observed, taken: Iterable[str]) -> Revision:
    owner = observed.owner
    scheduler = gang.choose_scheduler(owner, observed.gang_support, observed.revisions)
    return revision.resolve(
        owner.name,
        revision.payload_of_spec(owner.spec_json, scheduler),
        observed.revisions,
        taken,
        {role.name: role.replicas for role in owner.spec.template.roles},
    )


def _current_revision(observed: Observed, update: Revision) -> Revision:
    """The status remembers it; where it does not, it is the oldest that pods still run."""
    stored = observed.revision_by_name.get(observed.owner.status.current_revision)
    if stored is not None and stored.is_usable:
        return stored
    running = {pod.revision for pod in observed.pods} & observed.revision_by_name.keys()
    usable = (one for name in running if (one := observed.revision_by_name[name]).is_usable)
    oldest = sorted(usable, key=lambda one: one.number)
    return oldest[0] if oldest else update


@dataclass(frozen=True, eq=False)
class Desired:
    """What all groups of a ModelInfer have in common. The same object for as long as nothing of it changes.

    holds_updates: no group moves to another revision, since the update is paused or halted.
    """

    identity: OwnerIdentity
    spec: ModelInferSpec
    queue: str  # Volcano's, of the ModelInfer's annotation, or ""
    gang_support: GangSupport
    revisions: Revisions
    holds_updates: bool

    @property
    def policy(self) -> RecoveryPolicy:
        return self.spec.recovery_policy

    @cached_property
    def grace(self) -> timedelta:
        return timedelta(seconds=self.spec.template.restart_grace_period_seconds)

    @cached_property
    def min_ready(self) -> timedelta:
        return timedelta(seconds=self.spec.min_ready_seconds)

    @cached_property
    def drain_timeout(self) -> timedelta | None:
        """How long a pod that is taken away may finish its requests, or None where it is deleted at once."""
        drain = self.spec.template.drain
        return timedelta(seconds=drain.timeout_seconds) if drain is not None else None

    @property
    def partition(self) -> int:
        return self.spec.rollout_strategy.rolling_update_configuration.partition

    def is_held(self, ordinal: int) -> bool:
        """Whether the partition keeps the group at its revision."""
        return ordinal < self.partition

    def revision_for_new(self, ordinal: int) -> Revision:
        """What a group is made at that never was."""
        if self.is_held(ordinal) or self.holds_updates:
            return self.revisions.current
        return self.revisions.goal


def desired_of(observed: Observed, revisions: Revisions, *, holds_updates: bool) -> Desired:
    owner = observed.owner
    wanted = Desired(
        identity=identity_of(owner),
        spec=owner.spec,
        queue=owner.metadata.annotations.get(well_known.VOLCANO_QUEUE_NAME, ""),
        gang_support=observed.gang_support,
        revisions=revisions,
        holds_updates=holds_updates,
    )
    return _kept_while_equal(observed, wanted)


def identity_of(owner: Owner) -> OwnerIdentity:
    return OwnerIdentity(owner.namespace, owner.name, owner.metadata.uid)


def _kept_while_equal(observed: Observed, wanted: Desired) -> Desired:
    before: tuple[object, Desired] | None = observed.memory.desired
    revisions = wanted.revisions
    key = (
        wanted.identity,
        observed.owner.spec_json,
        wanted.queue,
        wanted.gang_support,
        wanted.holds_updates,
        revisions.is_rolled_back,
        revisions.update.name,
        revisions.current.name,
        frozenset((one.name, one.uid, one.number) for one in revisions.known.values()),
    )
    if before is not None and before[0] == key:
        return before[1]
    observed.memory.desired = (key, wanted)
    return wanted
