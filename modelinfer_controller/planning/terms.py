"""What all groups of a ModelInfer have in common, and what one group is judged by: the keys of what is remembered.

A reconcile's cost is to follow what changed, not how large the ModelInfer is. So what a group is judged to be is
remembered by everything that it was judged from: its pods, Services and PodGroups by identity, since caches keep an
object as long as it does not change, and the rest by value. That changes no result, only when it is worked out.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from functools import lru_cache

from modelinfer_controller.api import well_known
from modelinfer_controller.api.core import PodGroup, Service
from modelinfer_controller.api.modelinfer import ModelInferSpec, RecoveryPolicy
from modelinfer_controller.api.status import GroupRecord
from modelinfer_controller.planning.manifests import OwnerIdentity
from modelinfer_controller.planning.observed import GangSupport, Owner, PodGroupKey
from modelinfer_controller.planning.pod_view import PodView
from modelinfer_controller.planning.revision import Revision


@dataclass(frozen=True)
class Terms:
    """The spec, the revisions and what the server serves. `known` are the revisions that groups can be built from.

    Equal when the stored spec, the queue and the identities of the revisions are: a revision's data never changes.
    """

    identity: OwnerIdentity
    spec_json: bytes
    queue: str  # of the ModelInfer's annotation, or ""
    gang_support: GangSupport
    update_name: str
    current_name: str
    uid_by_revision: frozenset[tuple[str, str]]
    spec: ModelInferSpec = field(compare=False)
    known: Mapping[str, Revision] = field(compare=False)

    @property
    def update(self) -> Revision:
        return self.known[self.update_name]

    @property
    def current(self) -> Revision:
        return self.known[self.current_name]

    @property
    def policy(self) -> RecoveryPolicy:
        return self.spec.recovery_policy

    @property
    def grace(self) -> timedelta:
        return timedelta(seconds=self.spec.template.restart_grace_period_seconds)


def terms_of(owner: Owner, support: GangSupport, known: Mapping[str, Revision], update: str, current: str) -> Terms:
    """The same object for equal terms, so that what is remembered by it is found by identity."""
    return _interned(
        Terms(
            identity=OwnerIdentity(owner.namespace, owner.name, owner.metadata.uid),
            spec_json=owner.spec_json,
            queue=owner.metadata.annotations.get(well_known.VOLCANO_QUEUE_NAME, ""),
            gang_support=support,
            update_name=update,
            current_name=current,
            uid_by_revision=frozenset((revision.name, revision.uid) for revision in known.values()),
            spec=owner.spec,
            known=known,
        )
    )


@lru_cache(maxsize=16384)
def _interned(terms: Terms) -> Terms:
    return terms


@dataclass(frozen=True, slots=True, eq=False)
class Evidence:
    """What one group is judged by."""

    terms: Terms
    ordinal: int
    pods: tuple[PodView, ...]
    record: GroupRecord

    def __hash__(self) -> int:
        # Groups that are yet to be made differ in nothing but whose they are.
        return hash((id(self.terms), self.ordinal, *map(id, self.pods)))

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Evidence)
            and self.terms is other.terms
            and self.ordinal == other.ordinal
            and self.pods == other.pods  # views are equal when they are the same
            and self.record == other.record
        )


@dataclass(frozen=True, slots=True, eq=False)
class Belongings:
    """A group's Services, by name, and its PodGroups of either kind; going away ones among them."""

    services: tuple[Service, ...] = ()
    pod_groups: tuple[tuple[PodGroupKey, PodGroup], ...] = ()

    def __hash__(self) -> int:
        return hash(tuple(map(id, self._objects())))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Belongings):
            return NotImplemented
        ours, theirs = self._objects(), other._objects()
        return len(ours) == len(theirs) and all(one is another for one, another in zip(ours, theirs, strict=True))

    def _objects(self) -> tuple[Service | PodGroup, ...]:
        return (*self.services, *(stored for _, stored in self.pod_groups))


NOTHING = Belongings()
