"""What the cluster shows of one ModelInfer, frozen: the only thing, with the time, that decisions are made from."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from operator import is_
from typing import NamedTuple, TypeVar

from modelinfer_controller.api.core import ObjectMeta, PodDisruptionBudget, PodGroup, Service
from modelinfer_controller.api.modelinfer import ModelInferSpec
from modelinfer_controller.api.status import GroupRecord, ModelInferStatus
from modelinfer_controller.planning.memo import Memory
from modelinfer_controller.planning.nodes import UNKNOWN_NODES, Nodes
from modelinfer_controller.planning.pod_identity import parse_pod_name
from modelinfer_controller.planning.pod_view import PodView
from modelinfer_controller.planning.records import unpacked
from modelinfer_controller.planning.revision import GangScheduler, Revision


class PodGroupKey(NamedTuple):
    """Which PodGroup: two APIs have objects of that kind."""

    scheduler: GangScheduler
    name: str


@dataclass(frozen=True, slots=True)
class GangSupport:
    """Which PodGroup APIs can be used. problems: why one that may well be served cannot, for people; "" for none."""

    volcano: bool = False
    kubernetes: bool = False
    volcano_problem: str = ""
    kubernetes_problem: str = ""

    def serves(self, scheduler: GangScheduler) -> bool:
        return self.volcano if scheduler is GangScheduler.VOLCANO else self.kubernetes

    def problem(self, scheduler: GangScheduler) -> str:
        return self.volcano_problem if scheduler is GangScheduler.VOLCANO else self.kubernetes_problem


@dataclass(frozen=True)
class Owner:
    """The ModelInfer itself. spec_json is the stored spec, byte for byte; status what was last written."""

    metadata: ObjectMeta
    spec: ModelInferSpec
    spec_json: bytes
    status: ModelInferStatus

    @property
    def name(self) -> str:
        return self.metadata.name

    @property
    def namespace(self) -> str:
        return self.metadata.namespace

    @cached_property
    def records(self) -> Mapping[int, GroupRecord]:
        """What the status says of each group, by ordinal."""
        return unpacked(self.status.groups)

    @property
    def recorded_revisions(self) -> set[str]:
        return {record.revision for record in self.status.groups.values()}

    def record(self, group: int) -> GroupRecord:
        return self.records.get(group, NO_RECORD)


NO_RECORD = GroupRecord()


@dataclass(frozen=True, slots=True, eq=False)
class GroupChildren:
    """What there is of one group: pods by identity, Services and PodGroups by name; those that terminate, too.

    The same object for as long as its elements are.
    """

    pods: tuple[PodView, ...] = ()
    services: tuple[Service, ...] = ()
    pod_groups: tuple[tuple[PodGroupKey, PodGroup], ...] = ()

    def is_same(self, other: "GroupChildren") -> bool:
        return (
            _are_same(self.pods, other.pods)
            and _are_same(self.services, other.services)
            and _are_same([one for _, one in self.pod_groups], [one for _, one in other.pod_groups])
        )


def _are_same(some: Sequence[object], others: Sequence[object]) -> bool:
    return len(some) == len(others) and all(map(is_, some, others))


NO_CHILDREN = GroupChildren()


@dataclass(frozen=True)
class Observed:
    """One snapshot of a ModelInfer's world: children that it controls, and whose names others have taken.

    children: by ordinal. pod_revisions: names of the revisions that pods are labelled with.
    name_conflicts maps a Kubernetes kind and object name to a few words on who has it: an object that another owner
    controls, or nobody. vanished_revisions: ControllerRevisions that were there and that somebody has deleted.
    deferred_groups: ordinals of which a request was refused, in the order of their next turns; others come first.
    waits_for_quota: a quota of the namespace is full. disruption_budgets: by name. memory: what earlier passes
    concluded; it changes no result.
    """

    owner: Owner
    children: Mapping[int, GroupChildren] = field(default_factory=dict)
    pod_revisions: Collection[str] = ()
    revisions: tuple[Revision, ...] = ()
    name_conflicts: Mapping[tuple[str, str], str] = field(default_factory=dict)
    gang_support: GangSupport = GangSupport()
    vanished_revisions: tuple[Revision, ...] = ()
    deferred_groups: tuple[int, ...] = ()
    waits_for_quota: bool = False
    nodes: Nodes = UNKNOWN_NODES
    disruption_budgets: Mapping[str, PodDisruptionBudget] = field(default_factory=dict)
    can_write_budgets: bool = False
    budget_problem: str = ""
    memory: Memory = field(default_factory=Memory, compare=False, repr=False)

    @cached_property
    def pods(self) -> tuple[PodView, ...]:
        """All of them, group by group."""
        return tuple(pod for ordinal in sorted(self.children) for pod in self.children[ordinal].pods)

    def pod_groups_of(self, group: int) -> list[tuple[PodGroupKey, PodGroup]]:
        """The group's PodGroups of either kind that are not going away."""
        stored = self.children.get(group, NO_CHILDREN).pod_groups
        return [(key, one) for key, one in stored if not one.metadata.is_terminating]

    @cached_property
    def revision_by_name(self) -> Mapping[str, Revision]:
        return {revision.name: revision for revision in self.revisions}


def children_by_group(
    owner: str,
    pods: Iterable[PodView],
    services: Iterable[Service],
    pod_groups: Mapping[PodGroupKey, PodGroup],
    memory: Memory | None = None,
) -> Mapping[int, GroupChildren]:
    """Children by the ordinal that their names say; others are left out. memory: where it keeps what is the same."""
    pods_of = _by_ordinal((pod.identity.group, pod) for pod in pods)
    services_of = _by_ordinal((service_ordinal(owner, one.metadata.name), one) for one in services)
    pod_groups_of = _by_ordinal((pod_group_ordinal(owner, key.name), (key, one)) for key, one in pod_groups.items())
    known: Mapping[int, GroupChildren] = (memory.children or {}) if memory is not None else {}
    children = {}
    for ordinal in {*pods_of, *services_of, *pod_groups_of}:
        made = group_children(pods_of.get(ordinal, ()), services_of.get(ordinal, ()), pod_groups_of.get(ordinal, ()))
        before = known.get(ordinal)
        children[ordinal] = before if before is not None and before.is_same(made) else made
    if memory is not None:
        memory.children = children
    return children


def group_children(
    pods: Iterable[PodView], services: Iterable[Service], pod_groups: Iterable[tuple[PodGroupKey, PodGroup]]
) -> GroupChildren:
    return GroupChildren(
        tuple(sorted(pods, key=lambda pod: pod.identity)),
        tuple(sorted(services, key=lambda service: service.metadata.name)),
        tuple(sorted(pod_groups, key=lambda pair: pair[0])),
    )


def service_ordinal(owner: str, name: str) -> int | None:
    """Of the group whose Service has the name, or None."""
    identity = parse_pod_name(owner, name)
    return identity.group if identity is not None else None


def pod_group_ordinal(owner: str, name: str) -> int | None:
    """Of the group whose PodGroup has the name, or None."""
    prefix = f"{owner}-"
    text = name.removeprefix(prefix)
    is_one = text.isdecimal() and len(text) < 10 and name == f"{prefix}{int(text)}"
    return int(text) if is_one else None


E = TypeVar("E")


def _by_ordinal(found: Iterable[tuple[int | None, E]]) -> Mapping[int, list[E]]:
    by_ordinal: dict[int, list[E]] = {}
    for ordinal, one in found:
        if ordinal is not None:
            by_ordinal.setdefault(ordinal, []).append(one)
    return by_ordinal
