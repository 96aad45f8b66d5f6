"""ModelInfer, workload.volcano.sh/v1alpha1: every field of the API, frozen, with its defaults.

The docstrings and descriptions here become the CRD's. Field names are the API's in snake_case; JSON is read and
written by the API's own camelCase names. Decoding is lenient on purpose: rules that admission enforces (see
`manifests/crd`) are not checked here, so that an object stored before a rule existed still decodes; `rules.py` says
what such an object breaks.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

GROUP = "workload.volcano.sh"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"
KIND = "ModelInfer"
PLURAL = "modelinfers"

Json = Mapping[str, Any]
IntOrString = int | str

MAX_ROLES = 4
MAX_ROLE_NAME_LENGTH = 12
ROLE_NAME_PATTERN = "^[a-zA-Z0-9]([-a-zA-Z0-9]*[a-zA-Z0-9])?$"


class ApiModel(BaseModel):
    """Base of the API's types."""

    model_config = ConfigDict(frozen=True, alias_generator=to_camel, populate_by_name=True, extra="ignore")


class RecoveryPolicy(StrEnum):
    """What is rebuilt when a pod fails."""

    INFER_GROUP_RECREATE = "InferGroupRecreate"
    ROLE_RECREATE = "RoleRecreate"
    NONE = "None"


class RolloutStrategyType(StrEnum):
    """How replicas are updated."""

    INFER_GROUP_ROLLING_UPDATE = "InferGroupRollingUpdate"


class Metadata(ApiModel):
    """Labels and annotations of the pods made from a template."""

    labels: Mapping[str, str] = {}
    annotations: Mapping[str, str] = {}


class PodTemplateSpec(ApiModel):
    """The pods of a role: metadata and the PodSpec as plain JSON, exactly as it was stored."""

    metadata: Metadata = Metadata()
    spec: Json = {}


class Role(ApiModel):
    """Role defines the specific pod instance role that performs the inference task."""

    name: str
    replicas: int = 1
    entry_template: PodTemplateSpec
    worker_replicas: int = 0
    worker_template: PodTemplateSpec | None = None


class NetworkTopologySpec(ApiModel):
    """Volcano's networkTopology, passed on as given."""

    mode: str | None = None
    highest_tier_allowed: int | None = None
    highest_tier_name: str | None = None


class GangSchedule(ApiModel):
    """GangSchedule defines the gang scheduling configuration."""

    network_topology: NetworkTopologySpec | None = None
    min_role_replicas: Mapping[str, int] | None = None


class InferGroup(ApiModel):
    """InferGroup is the smallest unit to complete the inference task."""

    restart_grace_period_seconds: int = 0
    gang_schedule: GangSchedule | None = None
    roles: tuple[Role, ...]


class RollingUpdateConfiguration(ApiModel):
    """Budgets of a rolling update: integers, or percentages of spec.replicas such as "25%"."""

    max_unavailable: IntOrString = 1
    max_surge: IntOrString = 0
    partition: int = 0


class RolloutStrategy(ApiModel):
    """RolloutStrategy defines the strategy that the ModelInfer controller will use to perform replica updates."""

    type: RolloutStrategyType = RolloutStrategyType.INFER_GROUP_ROLLING_UPDATE
    rolling_update_configuration: RollingUpdateConfiguration = RollingUpdateConfiguration()


class LabelSelectorRequirement(ApiModel):
    """One expression of a label selector."""

    key: str
    operator: str
    values: tuple[str, ...] = ()


class LabelSelector(ApiModel):
    """Kubernetes' label selector."""

    match_labels: Mapping[str, str] | None = None
    match_expressions: tuple[LabelSelectorRequirement, ...] | None = None


class TopologySpreadConstraint(ApiModel):
    """TopologySpreadConstraint defines the topology spread constraint of InferGroups."""

    max_skew: int = 1
    topology_key: str
    when_unsatisfiable: str = "DoNotSchedule"
    label_selector: LabelSelector | None = None


class ModelInferSpec(ApiModel):
    """ModelInferSpec defines the specification of the ModelInfer resource."""

    replicas: int = 1
    scheduler_name: str | None = None
    template: InferGroup
    rollout_strategy: RolloutStrategy = RolloutStrategy()
    recovery_policy: RecoveryPolicy = RecoveryPolicy.ROLE_RECREATE
    topology_spread_constraints: tuple[TopologySpreadConstraint, ...] = Field(default=())
