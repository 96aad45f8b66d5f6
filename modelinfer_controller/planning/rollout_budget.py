"""The rolling update's numbers, resolved: absolute counts of groups.

source: Deployment, pkg/controller/deployment/util
"""

from dataclasses import dataclass
from math import ceil, floor

from modelinfer_controller.api.modelinfer import IntOrString, ModelInferSpec


@dataclass(frozen=True, slots=True)
class RolloutBudget:
    """Counts of groups; partition is an ordinal. replicas: groups that are to exist, 0 while suspended."""

    replicas: int
    max_unavailable: int
    max_surge: int
    partition: int


def budget_of(spec: ModelInferSpec) -> RolloutBudget:
    """Percentages are of spec.replicas; maxUnavailable rounds down, maxSurge up; both 0 counts as maxUnavailable 1."""
    configuration = spec.rollout_strategy.rolling_update_configuration
    max_unavailable = floor(_absolute(configuration.max_unavailable, spec.replicas))
    max_surge = ceil(_absolute(configuration.max_surge, spec.replicas))
    if max_unavailable == 0 and max_surge == 0:
        max_unavailable = 1
    return RolloutBudget(0 if spec.suspend else spec.replicas, max_unavailable, max_surge, configuration.partition)


def _absolute(value: IntOrString, replicas: int) -> float:
    if isinstance(value, int):
        return value
    # Integer arithmetic first: 29 % of 100 must not become 28.999999999999996.
    return int(value.removesuffix("%")) * replicas / 100
