"""The pods that a group is to have, described and never listed: a spec may ask for more than any cluster holds."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from modelinfer_controller.api.modelinfer import ModelInferSpec
from modelinfer_controller.api.status import GroupRecord
from modelinfer_controller.planning.pod_identity import InstanceKey, PodIdentity
from modelinfer_controller.planning.pod_view import PodView
from modelinfer_controller.planning.revision import RevisionTemplate


@dataclass(frozen=True, slots=True)
class RoleShape:
    """One role of a group. name: as the user wrote it; instances: how many; pods: of one instance."""

    name: str
    instances: int
    pods: int


@dataclass(frozen=True)
class Shape:
    """roles: by lower-case name, in the order of the spec."""

    roles: Mapping[str, RoleShape]

    @cached_property
    def pod_count(self) -> int:
        return sum(role.instances * role.pods for role in self.roles.values())

    def identities(self, group: int) -> Iterator[PodIdentity]:
        """Every pod of the group, in the order of the roles. Take no more of them than you need."""
        for name, role in self.roles.items():
            for instance in range(role.instances):
                for index in range(role.pods):
                    yield PodIdentity(group, name, instance, index)

    def instances(self) -> Iterator[InstanceKey]:
        for name, role in self.roles.items():
            for instance in range(role.instances):
                yield InstanceKey(name, instance)

    def has_instance(self, key: InstanceKey) -> bool:
        role = self.roles.get(key.role)
        return role is not None and key.instance < role.instances

    def __contains__(self, pod: PodView) -> bool:
        role = self.roles.get(pod.identity.role)
        return role is not None and pod.identity.instance < role.instances and pod.identity.worker_index < role.pods


def shape_of(
    spec: ModelInferSpec,
    template: RevisionTemplate,
    record: GroupRecord,
    pods: Sequence[PodView],
    *,
    follows_spec: bool,
) -> Shape:
    """How many instances of each role a group at this revision is to have.

    A group that waits to be replaced keeps what it has, and so does a role that the spec no longer knows.
    """
    wanted = {role.name.lower(): role.replicas for role in spec.template.roles} if follows_spec else {}
    return Shape(
        {
            name: RoleShape(
                role.name,
                wanted[name] if name in wanted else _kept(role.name, template, record, pods),
                role.pod_count,
            )
            for role in template.roles
            for name in (role.name.lower(),)
        }
    )


def _kept(role: str, template: RevisionTemplate, record: GroupRecord, pods: Sequence[PodView]) -> int:
    """What its record says, or more where more instances were made since."""
    if role in record.suspended:
        return record.suspended[role]
    seen = [pod.identity.instance + 1 for pod in pods if pod.identity.role == role.lower() and not pod.is_terminating]
    if role in record.instances:
        return max([record.instances[role], *seen])
    return max(seen) if seen else template.role_replicas.get(role, 1)
