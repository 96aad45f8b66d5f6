"""What a ModelInfer asks of each group: its spec as far as it shapes them, their revisions, what the server serves."""

from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property

from modelinfer_controller.api import well_known
from modelinfer_controller.api.modelinfer import (
    ModelInferSpec,
    RecoveryPolicy,
    RollingUpdateConfiguration,
    RolloutStrategy,
)
from modelinfer_controller.planning.manifests import OwnerIdentity
from modelinfer_controller.planning.observed import GangSupport, Observed, Owner
from modelinfer_controller.planning.resolve_revisions import Revisions
from modelinfer_controller.planning.revision import Revision
from modelinfer_controller.planning.update_rules import UpdateRules


@dataclass(frozen=True, eq=False)
class Desired:
    """What all groups of a ModelInfer have in common. The same object for as long as nothing of it changes.

    spec: as far as it shapes a group; of replicas, budgets and deadlines it may say what was true before.
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


def desired_of(observed: Observed, revisions: Revisions, rules: UpdateRules) -> Desired:
    owner = observed.owner
    wanted = Desired(
        identity=identity_of(owner),
        spec=owner.spec,
        queue=owner.metadata.annotations.get(well_known.VOLCANO_QUEUE_NAME, ""),
        gang_support=observed.gang_support,
        revisions=revisions,
        holds_updates=rules.hold is not None,
    )
    return _kept_while_equal(observed, wanted)


def identity_of(owner: Owner) -> OwnerIdentity:
    return OwnerIdentity(owner.namespace, owner.name, owner.metadata.uid)


def _kept_while_equal(observed: Observed, wanted: Desired) -> Desired:
    before: tuple[object, Desired] | None = observed.memory.desired
    revisions = wanted.revisions
    key = (
        wanted.identity,
        wanted.queue,
        wanted.gang_support,
        wanted.holds_updates,
        revisions.is_rolled_back,
        revisions.update.name,
        revisions.current.name,
        frozenset((one.name, one.uid, one.number) for one in revisions.known.values()),
    )
    if before is not None and before[0] == key and _shape_the_same(before[1].spec, wanted.spec):
        return before[1]
    observed.memory.desired = (key, wanted)
    return wanted


def _shape_the_same(one: ModelInferSpec, other: ModelInferSpec) -> bool:
    return one is other or _shaping(one) == _shaping(other)


def _shaping(spec: ModelInferSpec) -> ModelInferSpec:
    """Without what says how many groups there are, and when they are replaced."""
    partition = spec.rollout_strategy.rolling_update_configuration.partition
    strategy = RolloutStrategy(rolling_update_configuration=RollingUpdateConfiguration(partition=partition))
    unsaid = {"replicas": 0, "paused": False, "progress_deadline_seconds": None, "rollout_strategy": strategy}
    return spec.model_copy(update=unsaid)
