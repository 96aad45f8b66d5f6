"""ModelInfer, workload.volcano.sh/v1alpha1: every field of the API, frozen, with its defaults.

The docstrings, descriptions, bounds and CEL rules here become the CRD (`hack/update-crd`). Field names are the API's in
snake_case; JSON is read and written by the API's own camelCase names. Decoding is lenient on purpose: what admission
enforces is not checked here, so that an object stored before a rule existed still decodes; `validation.py` says what
such an object breaks.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from modelinfer_controller.api.markers import (
    ABSENT_BY_DEFAULT,
    INT32_MAX,
    POD_SPEC_MARKER,
    marked,
    rule,
    validated,
    whole_number,
)

GROUP = "workload.volcano.sh"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"
KIND = "ModelInfer"
PLURAL = "modelinfers"

Json = Mapping[str, Any]
IntOrString = int | str

MAX_ROLES = 4
MAX_REPLICAS = 100_000  # of groups, of a role's instances, of an instance's workers
MAX_PODS = 100_000  # of one ModelInfer
MAX_ROLE_NAME_LENGTH = 12
ROLE_NAME_PATTERN = "^[a-zA-Z0-9]([-a-zA-Z0-9]*[a-zA-Z0-9])?$"
PERCENTAGE_PATTERN = "^(100|[0-9]{1,2})%$"

PERCENTAGE_MESSAGE = 'must be a number that is not negative, or a percentage from "0%" to "100%"'
BOTH_ZERO_MESSAGE = "maxUnavailable and maxSurge must not both be 0: raise one of them, or no group can be updated"
ROLE_NAMES_MESSAGE = "role names must be unique, also when capitals are ignored: rename one of the roles"
WORKER_TEMPLATE_MESSAGE = "must be set, with its spec, when workerReplicas is above 0"
MIN_ROLE_REPLICAS_MESSAGE = "must name roles of spec.template.roles, each with no more than that role's replicas"
TOO_MANY_PODS_MESSAGE = (
    f"must not ask for more than {MAX_PODS} pods, which are replicas times, summed over the roles, replicas times "
    "(workerReplicas + 1): lower one of these numbers"
)
STARTUP_POLICY_MESSAGE = "must not be EntryReady with gangSchedule: a gang's pods start together or not at all"
PROGRESS_DEADLINE_MESSAGE = (
    "must be above minReadySeconds plus template.drain.timeoutSeconds: an update spends that long on a group anyway"
)
SELECTOR_VALUES_MESSAGE = "values must be set for In and NotIn, and must be left out for Exists and DoesNotExist"


class ApiModel(BaseModel):
    """Base of the API's types."""

    model_config = ConfigDict(frozen=True, alias_generator=to_camel, populate_by_name=True, extra="ignore")


class RecoveryPolicy(StrEnum):
    """What is recreated when a pod fails."""

    INFER_GROUP_RECREATE = "InferGroupRecreate"
    ROLE_RECREATE = "RoleRecreate"
    NONE = "None"


class RolloutStrategyType(StrEnum):
    """How replicas are updated."""

    INFER_GROUP_ROLLING_UPDATE = "InferGroupRollingUpdate"


class OnFailure(StrEnum):
    """What becomes of an update that has failed."""

    HALT = "Halt"
    ROLLBACK = "Rollback"


class StartupPolicy(StrEnum):
    """In which order the pods of a role instance are created."""

    PARALLEL = "Parallel"
    ENTRY_READY = "EntryReady"


class NodeDrainPolicy(StrEnum):
    """What becomes of groups on nodes that are leaving."""

    EVICT = "Evict"
    HAND_OVER = "HandOver"


class Metadata(ApiModel):
    """Metadata is a simplified version of ObjectMeta in Kubernetes."""

    labels: Mapping[str, str] = Field(
        default={},
        description="Labels of the pods: keys and values to organize and select objects by. The labels that the "
        "controller sets itself (modelinfer.volcano.sh/...) win over these. "
        "More info: https://kubernetes.io/docs/concepts/overview/working-with-objects/labels",
    )
    annotations: Mapping[str, str] = Field(
        default={},
        description="Annotations of the pods: keys and values that tools store and read, not queryable. "
        "More info: https://kubernetes.io/docs/concepts/overview/working-with-objects/annotations",
    )


class PodTemplateSpec(ApiModel):
    """PodTemplateSpec describes the data a pod should have when created from a template."""

    metadata: Metadata = Field(default=Metadata(), description="Labels and annotations of the pods.")
    spec: Json = Field(
        default={},
        description="Specification of the desired behavior of the pod: its fields are those of `kubectl explain "
        "pod.spec`. The controller puts GROUP_SIZE, ENTRY_ADDRESS and WORKER_INDEX before the variables of every "
        "container and init container.",
        json_schema_extra={POD_SPEC_MARKER: True},
    )


class Role(ApiModel):
    """Role defines the specific pod instance role that performs the inference task."""

    model_config = ConfigDict(
        json_schema_extra=validated(
            rule("has(self.entryTemplate.spec)", "entryTemplate.spec must be set: it is the entry pod's spec"),
            rule(
                "self.workerReplicas <= 0 || (has(self.workerTemplate) && has(self.workerTemplate.spec))",
                f"workerTemplate {WORKER_TEMPLATE_MESSAGE}",
                reason="FieldValueRequired",
                fieldPath=".workerTemplate",
            ),
        )
    )

    name: str = Field(
        description="The name of a role. It must be unique within an InferGroup, also when capitals are ignored: "
        "object names use its lower-case form, labels keep it as written. At most 12 letters, digits and '-', which "
        "begin and end with a letter or digit.",
        json_schema_extra=marked(maxLength=MAX_ROLE_NAME_LENGTH, pattern=ROLE_NAME_PATTERN),
    )
    replicas: int = Field(
        default=1,
        description="The number of instances of the role in each InferGroup. For example, in disaggregated "
        "prefilling, setting it to 1 for both the P and the D role results in a 1P1D deployment; xPyD deployments "
        "are made likewise. Defaults to 1.",
        json_schema_extra=whole_number(maximum=MAX_REPLICAS),
    )
    entry_template: PodTemplateSpec = Field(
        description="EntryTemplate defines the template for the entry pod of a role. "
        "Required: every instance of a role has exactly one entry pod.",
    )
    worker_replicas: int = Field(
        default=0,
        description="WorkerReplicas defines the number of worker pods in addition to the entry pod of each role "
        "instance. Defaults to 0.",
        json_schema_extra=whole_number(maximum=MAX_REPLICAS),
    )
    worker_template: PodTemplateSpec | None = Field(
        default=None,
        description="WorkerTemplate defines the template for the worker pods of a role. "
        "Required when workerReplicas is above 0.",
    )


class NetworkTopologySpec(ApiModel):
    """NetworkTopologySpec says how close together in the network the pods of an InferGroup must run."""

    mode: str | None = Field(
        default=None,
        description='Mode of the constraint: "hard" is strict, "soft" is best effort. Volcano\'s default is "hard".',
        json_schema_extra=marked(enum=["hard", "soft"]),
    )
    highest_tier_allowed: int | None = Field(
        default=None,
        description="The highest tier of hyperNodes that the pods may span, by number.",
        json_schema_extra=whole_number(),
    )
    highest_tier_name: str | None = Field(
        default=None,
        description="The highest tier of hyperNodes that the pods may span, by name.",
    )


class GangSchedule(ApiModel):
    """GangSchedule defines the gang scheduling configuration."""

    network_topology: NetworkTopologySpec | None = Field(
        default=None,
        description="NetworkTopology is passed on to the group's PodGroup as given. It works in conjunction with "
        "Volcano's network topology feature and the hyperNode CRD.",
    )
    min_role_replicas: Mapping[str, Annotated[int, Field(json_schema_extra=whole_number())]] | None = Field(
        default=None,
        description="MinRoleReplicas defines the minimum number of instances of each role that must be "
        "schedulable together, and that make the group available. Key: role name. Value: minimum number of the "
        "role's instances, lowest first. A role that is not named needs all of its replicas.",
        json_schema_extra=marked(maxProperties=MAX_ROLES),
    )


class Drain(ApiModel):
    """Drain says how long a group that is removed may finish the requests that it has accepted."""

    timeout_seconds: int = Field(
        description="How long pods that are to be removed may go on after the label modelinfer.volcano.sh/serving is "
        "taken off them. They are deleted then, or as soon as every entry pod concerned has the annotation "
        'modelinfer.volcano.sh/drained: "true". 1 or more.',
        json_schema_extra=whole_number(minimum=1),
    )


class InferGroup(ApiModel):
    """InferGroup is the smallest unit to complete the inference task."""

    model_config = ConfigDict(
        json_schema_extra=validated(
            rule(
                "!has(self.startupPolicy) || self.startupPolicy != 'EntryReady' || !has(self.gangSchedule)",
                f"startupPolicy {STARTUP_POLICY_MESSAGE}",
                fieldPath=".startupPolicy",
            ),
            rule(
                """!has(self.gangSchedule) || !has(self.gangSchedule.minRoleReplicas) ||
                self.gangSchedule.minRoleReplicas.all(name,
                  self.roles.exists(r, r.name == name && self.gangSchedule.minRoleReplicas[name] <= r.replicas))""",
                MIN_ROLE_REPLICAS_MESSAGE,
                fieldPath=".gangSchedule.minRoleReplicas",
            ),
        )
    )

    restart_grace_period_seconds: int = Field(
        default=0,
        description="RestartGracePeriodSeconds defines how long a failed or restarted pod may take to be ready again "
        "before the controller recreates its role instance or its InferGroup. Defaults to 0: at once.",
        json_schema_extra=whole_number(),
    )
    gang_schedule: GangSchedule | None = Field(
        default=None,
        description="GangSchedule defines the gang scheduling configuration: where set, the pods of a group start "
        "all together or not at all.",
    )
    drain: Drain | None = Field(
        default=None,
        description="Drain lets groups finish their requests before they are removed on purpose: when the ModelInfer "
        "or a role is scaled down, at an update, at the end of a surge, when it is suspended or handed over to "
        'another node. While it is set, every pod has the label modelinfer.volcano.sh/serving: "true", which '
        "Services and InferencePools select on. Recovery and the deletion of the ModelInfer do not drain. Setting or "
        "changing it restarts no pod.",
    )
    startup_policy: StartupPolicy = Field(
        default=StartupPolicy.PARALLEL,
        description="StartupPolicy says when the workers of a role instance are created. Parallel: together with the "
        "entry pod. EntryReady: once the entry pod is Ready; it cannot be combined with gangSchedule. Where unset, "
        "Parallel. Setting or changing it restarts no pod.",
        json_schema_extra=ABSENT_BY_DEFAULT,
    )
    roles: tuple[Role, ...] = Field(
        description="Roles of the InferGroup, such as prefill and decode: 1 to 4 of them. Instance 0 of the first "
        "role is where the group's leader runs: put a role first that always has an instance, or an autoscaler and "
        "topologySpreadConstraints find no pod of the group.",
        json_schema_extra=validated(
            rule(
                "self.all(r, self.exists_one(s, s.name.lowerAscii() == r.name.lowerAscii()))",
                ROLE_NAMES_MESSAGE,
            ),
            minItems=1,
            maxItems=MAX_ROLES,
            list_type="map",
            list_map_keys=["name"],
        ),
    )


_PERCENTAGE_RULE = rule(f"type(self) == string ? self.matches('{PERCENTAGE_PATTERN}') : self >= 0", PERCENTAGE_MESSAGE)


class RollingUpdateConfiguration(ApiModel):
    """RollingUpdateConfiguration defines the parameters to be used for RollingUpdateStrategyType."""

    model_config = ConfigDict(
        json_schema_extra=validated(
            rule(
                "!(string(self.maxUnavailable) in ['0', '0%', '00%'] && string(self.maxSurge) in ['0', '0%', '00%'])",
                BOTH_ZERO_MESSAGE,
            )
        )
    )

    max_unavailable: IntOrString = Field(
        default=1,
        description="The maximum number of replicas that can be unavailable during the update. Value can be an "
        "absolute number (ex: 5) or a percentage of spec.replicas (ex: 10%); the absolute number is calculated from "
        "a percentage by rounding down. This can not be 0 if maxSurge is 0. Defaults to 1.",
        json_schema_extra=validated(_PERCENTAGE_RULE, maximum=INT32_MAX, maxLength=16),
    )
    max_surge: IntOrString = Field(
        default=0,
        description="The maximum number of replicas that can be created above spec.replicas during the update. Value "
        "can be an absolute number (ex: 5) or a percentage of spec.replicas (ex: 10%); the absolute number is "
        "calculated from a percentage by rounding up. Defaults to 0.",
        json_schema_extra=validated(_PERCENTAGE_RULE, maximum=INT32_MAX, maxLength=16),
    )
    partition: int = Field(
        default=0,
        description="Partition indicates the ordinal at which the ModelInfer should be partitioned for updates. "
        "During a rolling update, all InferGroups from ordinal replicas-1 down to partition are updated. All "
        "InferGroups from ordinal partition-1 down to 0 remain untouched. Defaults to 0.",
        json_schema_extra=whole_number(),
    )
    on_failure: OnFailure = Field(
        default=OnFailure.HALT,
        description="OnFailure says what happens when an update exceeds spec.progressDeadlineSeconds. Halt: nothing "
        "more is replaced until the template or the deadline changes. Rollback: groups return to the revision that "
        "the update started from, and status.failedRevision names the one that is refused until the template changes; "
        "the spec is not edited. Where unset, Halt.",
        json_schema_extra=ABSENT_BY_DEFAULT,
    )


class RolloutStrategy(ApiModel):
    """RolloutStrategy defines the strategy that the ModelInfer controller will use to perform replica updates."""

    type: RolloutStrategyType = Field(
        default=RolloutStrategyType.INFER_GROUP_ROLLING_UPDATE,
        description='Type defines the rollout strategy. It can only be "InferGroupRollingUpdate" for now: the '
        "InferGroups are updated one by one.",
    )
    rolling_update_configuration: RollingUpdateConfiguration = Field(
        default=RollingUpdateConfiguration(),
        description="RollingUpdateConfiguration defines the parameters to be used when type is "
        "InferGroupRollingUpdate.",
    )


class LabelSelectorRequirement(ApiModel):
    """One expression of a label selector: a key, an operator and the values that it relates them by."""

    model_config = ConfigDict(
        json_schema_extra=validated(
            rule(
                "self.operator in ['In', 'NotIn'] ? (has(self.values) && size(self.values) > 0)"
                " : (!has(self.values) || size(self.values) == 0)",
                SELECTOR_VALUES_MESSAGE,
            )
        )
    )

    key: str = Field(description="The label key that the expression applies to.", json_schema_extra=marked(minLength=1))
    operator: str = Field(
        description="The key's relationship to the values: In, NotIn, Exists or DoesNotExist.",
        json_schema_extra=marked(enum=["In", "NotIn", "Exists", "DoesNotExist"]),
    )
    values: tuple[str, ...] = Field(
        default=(),
        description="Values of the label: one or more for In and NotIn, none for Exists and DoesNotExist.",
        json_schema_extra=marked(list_type="atomic", maxItems=256),
    )


class LabelSelector(ApiModel):
    """A label selector: everything in matchLabels and matchExpressions must hold. An empty one matches all objects."""

    model_config = ConfigDict(json_schema_extra=marked(map_type="atomic"))

    match_labels: Mapping[str, str] | None = Field(
        default=None, description="Labels that must be there with exactly these values."
    )
    match_expressions: tuple[LabelSelectorRequirement, ...] | None = Field(
        default=None,
        description="Expressions that must hold.",
        json_schema_extra=marked(list_type="atomic", maxItems=64),
    )


class TopologySpreadConstraint(ApiModel):
    """TopologySpreadConstraint defines how InferGroups are spread over topology domains.

    A group counts once, in the domain where its leader runs.
    """

    max_skew: int = Field(
        default=1,
        description="MaxSkew describes the degree to which InferGroups may be unevenly distributed: by how many the "
        "domain with the most may exceed the one with the fewest. Defaults to 1.",
        json_schema_extra=whole_number(minimum=1),
    )
    topology_key: str = Field(
        description="TopologyKey is the key of node labels. Nodes that have a label with this key and identical "
        "values are considered to be in the same topology domain.",
        json_schema_extra=marked(minLength=1),
    )
    when_unsatisfiable: str = Field(
        default="DoNotSchedule",
        description="WhenUnsatisfiable indicates how to deal with an InferGroup that does not satisfy the spread "
        "constraint: DoNotSchedule holds it back, ScheduleAnyway prefers domains that lower the skew. Defaults to "
        "DoNotSchedule.",
        json_schema_extra=marked(enum=["DoNotSchedule", "ScheduleAnyway"]),
    )
    label_selector: LabelSelector | None = Field(
        default=None,
        description="LabelSelector is used to find matching InferGroups, by the labels of their leader pods. Where "
        "unset, the groups of this ModelInfer are counted.",
    )


_PODS = "self.replicas * self.template.roles.map(r, r.replicas * (r.workerReplicas + 1)).sum()"
_ROLLING_UPDATE = "self.rolloutStrategy.rollingUpdateConfiguration"
_OLD_ROLLING_UPDATE = "oldSelf.value().rolloutStrategy.rollingUpdateConfiguration"


class ModelInferSpec(ApiModel):
    """ModelInferSpec defines the specification of the ModelInfer resource."""

    # Scaling alone is let through: an autoscaler that goes from 10 to 3 groups must not be stopped by "25%", which
    # then counts as 1.
    model_config = ConfigDict(
        json_schema_extra=validated(
            rule(
                f"""!has(self.rolloutStrategy) || !has({_ROLLING_UPDATE}) || self.replicas == 0 ||
                type({_ROLLING_UPDATE}.maxUnavailable) != string ||
                {_ROLLING_UPDATE}.maxUnavailable in ['0%', '00%'] ||
                !{_ROLLING_UPDATE}.maxUnavailable.matches('{PERCENTAGE_PATTERN}') ||
                !(string({_ROLLING_UPDATE}.maxSurge) in ['0', '0%', '00%']) ||
                int({_ROLLING_UPDATE}.maxUnavailable.replace('%', '')) * self.replicas >= 100 ||
                (oldSelf.hasValue() && has(oldSelf.value().rolloutStrategy) && has({_OLD_ROLLING_UPDATE}) &&
                {_OLD_ROLLING_UPDATE}.maxUnavailable == {_ROLLING_UPDATE}.maxUnavailable &&
                {_OLD_ROLLING_UPDATE}.maxSurge == {_ROLLING_UPDATE}.maxSurge)""",
                "at these replicas maxUnavailable is rounded down to 0 and maxSurge is 0, so no group could be "
                "updated: raise one of them",
                fieldPath=".rolloutStrategy.rollingUpdateConfiguration",
                optionalOldSelf=True,
            ),
            # What was stored before the rule existed may be scaled down step by step. (The old roles cannot be summed:
            # their number has no bound to the server, which estimates the cost of each rule.)
            rule(
                f"""{_PODS} <= {MAX_PODS} ||
                (oldSelf.hasValue() && self.replicas < oldSelf.value().replicas)""",
                TOO_MANY_PODS_MESSAGE,
                optionalOldSelf=True,
            ),
            rule(
                """!has(self.progressDeadlineSeconds) || self.progressDeadlineSeconds >
                (has(self.minReadySeconds) ? self.minReadySeconds : 0) +
                (has(self.template.drain) ? self.template.drain.timeoutSeconds : 0)""",
                f"progressDeadlineSeconds {PROGRESS_DEADLINE_MESSAGE}",
                fieldPath=".progressDeadlineSeconds",
            ),
        )
    )

    replicas: int = Field(
        default=1,
        description="Number of InferGroups, that is the number of instances that run inference tasks. Defaults to 1.",
        json_schema_extra=whole_number(maximum=MAX_REPLICAS),
    )
    scheduler_name: str | None = Field(
        default=None,
        description="SchedulerName defines the name of the scheduler of every pod of the ModelInfer. Where set, it "
        "wins over the templates'.",
    )
    template: InferGroup = Field(description="Template defines the template for InferGroups.")
    rollout_strategy: RolloutStrategy = Field(
        default=RolloutStrategy(),
        description="RolloutStrategy defines the strategy that will be applied to update replicas: how many "
        "InferGroups may be unavailable or created in addition meanwhile, and which of them are held back.",
    )
    recovery_policy: RecoveryPolicy = Field(
        default=RecoveryPolicy.ROLE_RECREATE,
        description="RecoveryPolicy defines what is recreated when a pod failed, was deleted, or one of its containers "
        "or init containers restarted. InferGroupRecreate: all pods of the InferGroup, so that they start at the same "
        "time. RoleRecreate: all pods of the role instance. None: restarts are left to the kubelet, as with "
        "Deployments, and only missing or failed pods are replaced. Defaults to RoleRecreate.",
    )
    topology_spread_constraints: tuple[TopologySpreadConstraint, ...] = Field(
        default=(),
        description="TopologySpreadConstraints describe how InferGroups, not pods, are spread over topology domains.",
        json_schema_extra=marked(maxItems=16, list_type="map", list_map_keys=["topologyKey", "whenUnsatisfiable"]),
    )
    min_ready_seconds: int = Field(
        default=0,
        description="MinReadySeconds is how long every pod that a group needs must have been Ready without a break "
        "before the group counts as available. Where unset, 0: as soon as they are Ready.",
        json_schema_extra={**ABSENT_BY_DEFAULT, **whole_number()},
    )
    paused: bool = Field(
        default=False,
        description="Paused holds every update: while it is true no group is taken down for a new revision. Recovery "
        "and scaling go on; new groups are created at the current revision.",
        json_schema_extra=ABSENT_BY_DEFAULT,
    )
    suspend: bool = Field(
        default=False,
        description="Suspend removes all groups, their Services and PodGroups while it is true. Replicas and revisions "
        "are kept, and each group comes back at the revision that it had.",
        json_schema_extra=ABSENT_BY_DEFAULT,
    )
    progress_deadline_seconds: int | None = Field(
        default=None,
        description="ProgressDeadlineSeconds is how long an update may go on without a further group's becoming "
        "available at the new revision. After that it has failed: the condition Progressing is False with the reason "
        "ProgressDeadlineExceeded, and rolloutStrategy.rollingUpdateConfiguration.onFailure says what happens. It must "
        "be above minReadySeconds plus template.drain.timeoutSeconds. Where unset, an update may take any time.",
        json_schema_extra=whole_number(minimum=1),
    )
    node_drain_policy: NodeDrainPolicy = Field(
        default=NodeDrainPolicy.EVICT,
        description="NodeDrainPolicy says what happens to groups with pods on a node that is drained or about to "
        "leave. Evict: their pods are evicted one by one, and the groups recovered. HandOver: a PodDisruptionBudget "
        "holds evictions up while the controller replaces those groups at their own revision, within maxUnavailable "
        "and maxSurge. Where unset, Evict. Setting or changing it restarts no pod.",
        json_schema_extra=ABSENT_BY_DEFAULT,
    )

    @property
    def pod_count(self) -> int:
        """How many pods it asks for, surge left out.

        >>> role = {"name": "decode", "replicas": 2, "workerReplicas": 3, "entryTemplate": {}}
        >>> ModelInferSpec.model_validate({"replicas": 4, "template": {"roles": [role]}}).pod_count
        32
        """
        return self.replicas * sum(role.replicas * (role.worker_replicas + 1) for role in self.template.roles)
