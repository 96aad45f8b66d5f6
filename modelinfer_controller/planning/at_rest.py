"""Groups at rest: as they are to be, with nothing to do and nothing to say. A pass looks at the others.

So a decision costs what has changed and what is under way, not how many groups there are.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from functools import cached_property

from modelinfer_controller.api.modelinfer import NodeDrainPolicy
from modelinfer_controller.api.status import GroupRecord
from modelinfer_controller.planning.desired import Desired
from modelinfer_controller.planning.group import Group
from modelinfer_controller.planning.needs.group_needs import Needs
from modelinfer_controller.planning.observed import NO_RECORD, GroupChildren, Observed
from modelinfer_controller.planning.records import unpacked


@dataclass(frozen=True, eq=False)
class AtRest:
    """Of one state of a ModelInfer.

    groups: by ordinal, each below spec.replicas, available, at the goal revision, and recorded as it is. children: what
    there is of each. A group is at rest while its children, its record, `desired` and `name_conflicts` are the same.
    """

    desired: Desired | None = None
    name_conflicts: object = None
    records: Mapping[int, GroupRecord] = field(default_factory=dict)
    groups: Mapping[int, Group] = field(default_factory=dict)
    children: Mapping[int, GroupChildren] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.groups)

    def __contains__(self, ordinal: int) -> bool:
        return ordinal in self.groups

    @cached_property
    def highest(self) -> int:
        return max(self.groups, default=-1)

    def count(self, among: range) -> int:
        """How many of them are among these ordinals."""
        if among.start <= 0 and self.highest < among.stop:
            return len(self.groups)
        return sum(ordinal in among for ordinal in self.groups)

    def without(self, ordinals: set[int]) -> "AtRest":
        groups, children = dict(self.groups), dict(self.children)
        for ordinal in ordinals:
            del groups[ordinal], children[ordinal]
        return AtRest(self.desired, self.name_conflicts, self.records, groups, children)

    def joined_by(self, come: Mapping[int, Group], children: Mapping[int, GroupChildren]) -> "AtRest":
        of_come = {ordinal: children[ordinal] for ordinal in come}
        groups = {**self.groups, **come}
        return AtRest(self.desired, self.name_conflicts, self.records, groups, {**self.children, **of_come})


NONE_AT_REST = AtRest()


def still_at_rest(observed: Observed, desired: Desired, replicas: int) -> AtRest:
    """Groups that were at rest after the last pass and of which nothing has changed since."""
    before: AtRest | None = observed.memory.at_rest
    if before is None or before.desired is not desired or before.name_conflicts != observed.name_conflicts:
        return AtRest(desired, observed.name_conflicts, known_records(observed))
    left = {ordinal for ordinal, children in before.children.items() if observed.children.get(ordinal) is not children}
    if before.highest >= replicas:
        left |= {ordinal for ordinal in before.groups if ordinal >= replicas}
    if observed.nodes.leaving and desired.spec.node_drain_policy is NodeDrainPolicy.HAND_OVER:
        left |= {ordinal for ordinal, group in before.groups.items() if _is_on(group, observed.nodes.leaving)}
    records = known_records(observed)
    if records is not before.records:
        left |= {ordinal for ordinal, group in before.groups.items() if records.get(ordinal) is not group.stored_record}
        before = AtRest(desired, observed.name_conflicts, records, before.groups, before.children)
    return before.without(left) if left else before


def _is_on(group: Group, nodes: Collection[str]) -> bool:
    return any(pod.node in nodes for pod in group.pods)


def known_records(observed: Observed) -> Mapping[int, GroupRecord]:
    """What the status says of each group; a record that was decoded anew is the object that it equals."""
    stored, memory = observed.owner.status.groups, observed.memory
    before: tuple[Mapping[str, GroupRecord], Mapping[int, GroupRecord]] | None = memory.records
    if before is not None and (before[0] is stored or before[0] == stored):
        return before[1]
    known = before[1] if before is not None else {}
    records = {o: one if (old := known.get(o)) != one else old or one for o, one in unpacked(stored).items()}
    memory.records = (stored, records)
    return records


def active_ordinals(observed: Observed, at_rest: AtRest) -> list[int]:
    """Every other ordinal of which there is anything: children or a record. In order."""
    children = observed.children
    found = [ordinal for ordinal in children if ordinal not in at_rest.groups]
    found += at_rest.records.keys() - children.keys()
    return sorted(found)


def remember_at_rest(
    observed: Observed, at_rest: AtRest, groups: Mapping[int, Group], needs: Mapping[int, Needs], replicas: int
) -> None:
    """Keep for the next pass what is at rest, those that came to rest in this one included, and forget what is gone."""
    come = {
        ordinal: group
        for ordinal, group in groups.items()
        if ordinal < replicas and ordinal in observed.children and is_at_rest(group, needs.get(ordinal))
    }
    observed.memory.keep_only(groups)
    observed.memory.at_rest = at_rest.joined_by(come, observed.children) if come else at_rest


def is_at_rest(group: Group, needs: Needs | None) -> bool:
    """Whether there is nothing to do for it, and nothing to say of it, until something changes."""
    return (
        needs is not None
        and group.is_available
        and bool(group.live_pods)  # a status counts it as one that has pods
        and group.is_final
        and needs.is_final
        and not needs.plan.steps
        and not needs.causes
        and group.revision.name == group.desired.revisions.goal.name
        and group.record == group.stored_record
        and group.stored_record != NO_RECORD
        and not group.stored_record.suspended
        and group.is_whole
    )
