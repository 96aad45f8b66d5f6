"""Ordinal sets: which groups there are to be, and which instances in each."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil, floor

from modelinfer_controller.api.modelinfer import IntOrString, ModelInferSpec
from modelinfer_controller.api.status import GroupRecord
from modelinfer_controller.planning.pod_view import PodView
from modelinfer_controller.planning.revision import RevisionTemplate


@dataclass(frozen=True, slots=True)
class Budget:
    """The rolling update's numbers, resolved: absolute counts of groups; partition is an ordinal."""

    replicas: int
    max_unavailable: int
    max_surge: int
    partition: int


def budget_of(spec: ModelInferSpec) -> Budget:
    """Percentages are of spec.replicas; maxUnavailable rounds down, maxSurge up; both 0 counts as maxUnavailable 1."""
    configuration = spec.rollout_strategy.rolling_update_configuration
    max_unavailable = floor(_absolute(configuration.max_unavailable, spec.replicas))
    max_surge = ceil(_absolute(configuration.max_surge, spec.replicas))
    if max_unavailable == 0 and max_surge == 0:
        max_unavailable = 1
    return Budget(spec.replicas, max_unavailable, max_surge, configuration.partition)


def _absolute(value: IntOrString, replicas: int) -> float:
    if isinstance(value, int):
        return value
    # Integer arithmetic first: 29 % of 100 must not become 28.999999999999996.
    return int(value.removesuffix("%")) * replicas / 100


def role_replicas(
    spec: ModelInferSpec,
    template: RevisionTemplate,
    record: GroupRecord,
    pods: Sequence[PodView],
    *,
    follows_spec: bool,
) -> Mapping[str, int]:
    """How many instances of each role (lower-case name) a group at this revision is to have.

    A group at the update revision, or held back by the partition, follows the spec. One that waits to be replaced
    keeps what it has, and so does a role that the spec no longer knows.
    """
    wanted = {role.name.lower(): role.replicas for role in spec.template.roles} if follows_spec else {}
    return {
        role.name.lower(): wanted[role.name.lower()]
        if role.name.lower() in wanted
        else _kept(role.name, template, record, pods)
        for role in template.roles
    }


def _kept(role: str, template: RevisionTemplate, record: GroupRecord, pods: Sequence[PodView]) -> int:
    if role in record.complete:
        return record.complete[role]
    seen = [pod.identity.instance + 1 for pod in pods if pod.identity.role == role.lower()]
    return max(seen) if seen else template.role_replicas.get(role, 1)
