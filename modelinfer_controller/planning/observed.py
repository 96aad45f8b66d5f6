"""What the cluster shows of one ModelInfer, frozen: the only thing, with the time, that decisions are made from."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

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

    def record(self, group: int) -> GroupRecord:
        return self.records.get(group, NO_RECORD)


NO_RECORD = GroupRecord()


@dataclass(frozen=True)
class Observed:
    """One snapshot of a ModelInfer's world: children that it controls, and whose names others have taken.

    reserved maps a Kubernetes kind and object name to a few words on who has it: an object that another owner
    controls, or nobody. vanished_revisions: ControllerRevisions that were there and that somebody has deleted.
    deferred_groups: ordinals of which a request was refused, in the order of their next turns; others come first.
    waits_for_quota: a quota of the namespace is full. disruption_budgets: by name. memory: what earlier passes
    concluded; it changes no result.
    """

    owner: Owner
    pods: tuple[PodView, ...] = ()
    services: Mapping[str, Service] = field(default_factory=dict)
    pod_groups: Mapping[PodGroupKey, PodGroup] = field(default_factory=dict)
    revisions: tuple[Revision, ...] = ()
    reserved: Mapping[tuple[str, str], str] = field(default_factory=dict)
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
    def pods_by_group(self) -> Mapping[int, tuple[PodView, ...]]:
        by_group: dict[int, list[PodView]] = {}
        for pod in self.pods:
            by_group.setdefault(pod.identity.group, []).append(pod)
        return {group: tuple(sorted(pods, key=lambda pod: pod.identity)) for group, pods in by_group.items()}

    @cached_property
    def services_by_group(self) -> Mapping[int, tuple[Service, ...]]:
        """Services by the ordinal that their name says, in the order of their names; going away ones among them."""
        by_group: dict[int, list[Service]] = {}
        for name in sorted(self.services):
            identity = parse_pod_name(self.owner.name, name)
            if identity is not None:
                by_group.setdefault(identity.group, []).append(self.services[name])
        return {group: tuple(services) for group, services in by_group.items()}

    @cached_property
    def pod_groups_by_group(self) -> Mapping[int, tuple[tuple[PodGroupKey, PodGroup], ...]]:
        """PodGroups of either kind by ordinal, going away ones among them."""
        by_group: dict[int, list[tuple[PodGroupKey, PodGroup]]] = {}
        prefix = f"{self.owner.name}-"
        for key in sorted(self.pod_groups):
            ordinal = key.name.removeprefix(prefix)
            if ordinal.isdecimal() and len(ordinal) < 10 and key.name == f"{prefix}{int(ordinal)}":
                by_group.setdefault(int(ordinal), []).append((key, self.pod_groups[key]))
        return {group: tuple(stored) for group, stored in by_group.items()}

    def pod_groups_of(self, group: int) -> list[tuple[PodGroupKey, PodGroup]]:
        """The group's PodGroups of either kind that are not going away."""
        return [(key, stored) for key, stored in self.all_pod_groups_of(group) if not stored.metadata.is_terminating]

    def all_pod_groups_of(self, group: int) -> tuple[tuple[PodGroupKey, PodGroup], ...]:
        """The group's PodGroups of either kind, going away ones among them."""
        return self.pod_groups_by_group.get(group, ())

    @cached_property
    def revision_by_name(self) -> Mapping[str, Revision]:
        return {revision.name: revision for revision in self.revisions}
