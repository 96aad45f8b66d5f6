"""What makes a ModelInfer invalid: the CRD's rules once more, for objects that reached the cluster all the same.

An object may be older than a rule, or than the CRD. Such a one still decodes; what it breaks is said in a condition.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from pydantic import ValidationError

from modelinfer_controller.api.markers import INT32_MAX
from modelinfer_controller.api.modelinfer import (
    BOTH_ZERO_MESSAGE,
    MAX_ROLE_NAME_LENGTH,
    MAX_ROLES,
    MIN_ROLE_REPLICAS_MESSAGE,
    PERCENTAGE_MESSAGE,
    PERCENTAGE_PATTERN,
    PROGRESS_DEADLINE_MESSAGE,
    ROLE_NAME_PATTERN,
    ROLE_NAMES_MESSAGE,
    SELECTOR_VALUES_MESSAGE,
    STARTUP_POLICY_MESSAGE,
    WORKER_TEMPLATE_MESSAGE,
    GangSchedule,
    InferGroup,
    IntOrString,
    LabelSelector,
    ModelInferSpec,
    Role,
    RollingUpdateConfiguration,
    StartupPolicy,
    TopologySpreadConstraint,
)
from modelinfer_controller.api.names import MAX_LABEL_LENGTH, pod_name

NAME_PATTERN: Final = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"
NAME_MESSAGE: Final = (
    "must be made of lower-case letters, digits and '-', and begin and end with a letter or digit: "
    "the names of pods and Services are made from it"
)
LONGEST_NAME_MESSAGE: Final = (
    "is too long: the longest pod name, <name>-<group>-<role>-<instance>-<pod> at these numbers of replicas, must "
    "have at most 63 characters: shorten this name or the roles' names, or lower the numbers"
)
SELECTOR_OPERATORS: Final = ("In", "NotIn", "Exists", "DoesNotExist")
WHEN_UNSATISFIABLE: Final = ("DoNotSchedule", "ScheduleAnyway")
TOPOLOGY_MODES: Final = ("hard", "soft")


@dataclass(frozen=True, slots=True)
class Violation:
    """One broken rule: the field by its path in the API (`spec.template.roles[0].name`), and what to do about it."""

    field: str
    message: str

    def __str__(self) -> str:
        return f"{self.field}: {self.message}"


@dataclass(frozen=True, slots=True)
class InvalidSpec:
    """A spec that breaks rules (at least one). `spec` is there unless it could not be decoded at all."""

    violations: tuple[Violation, ...]
    spec: ModelInferSpec | None = None

    def __str__(self) -> str:
        return "; ".join(str(violation) for violation in self.violations)


def decode(spec: bytes | str, name: str) -> ModelInferSpec | InvalidSpec:
    """The spec of the ModelInfer called `name`, from its stored JSON; every rule that it breaks where it breaks any."""
    try:
        decoded = ModelInferSpec.model_validate_json(spec)
    except ValidationError as error:
        return InvalidSpec(tuple(_decoding_violations(error)))
    broken = violations(decoded, name)
    return InvalidSpec(broken, decoded) if broken else decoded


def violations(spec: ModelInferSpec, name: str) -> tuple[Violation, ...]:
    """Every rule that the spec of the ModelInfer called `name` breaks, in the order of the fields; () when valid.

    One rule of admission is missing here on purpose: maxUnavailable and maxSurge that only rounding makes 0 are
    refused when written, but count as maxUnavailable 1 at run time, since scaling can bring them about.
    """
    return (*_name(spec, name), *_spec(spec))


def _name(spec: ModelInferSpec, name: str) -> Iterator[Violation]:
    if not re.match(NAME_PATTERN, name):
        yield Violation("metadata.name", NAME_MESSAGE)
    if len(longest_pod_name(spec, name)) > MAX_LABEL_LENGTH:
        yield Violation("metadata.name", LONGEST_NAME_MESSAGE)


def longest_pod_name(spec: ModelInferSpec, name: str) -> str:
    """The longest name that a pod of the ModelInfer gets at its numbers of replicas, surge included."""
    group = max(0, spec.replicas + _surge(spec) - 1)
    names = (
        pod_name(name, group, role.name, max(0, role.replicas - 1), max(0, role.worker_replicas))
        for role in spec.template.roles
    )
    return max(names, key=len, default=name)


def _surge(spec: ModelInferSpec) -> int:
    """maxSurge in groups; a malformed one, which is reported on its own, counts as 0."""
    surge = spec.rollout_strategy.rolling_update_configuration.max_surge
    if isinstance(surge, int):
        return max(0, surge)
    percent = _percent(surge)
    return 0 if percent is None else -(-spec.replicas * percent // 100)


def _percent(value: str) -> int | None:
    return int(value[:-1]) if re.match(PERCENTAGE_PATTERN, value) else None


def _spec(spec: ModelInferSpec) -> Iterator[Violation]:
    yield from _whole_number("spec.replicas", spec.replicas)
    yield from _infer_group("spec.template", spec.template)
    yield from _rolling_update(
        "spec.rolloutStrategy.rollingUpdateConfiguration", spec.rollout_strategy.rolling_update_configuration
    )
    for index, constraint in enumerate(spec.topology_spread_constraints):
        yield from _constraint(f"spec.topologySpreadConstraints[{index}]", constraint)
    yield from _unique_constraints(spec.topology_spread_constraints)
    yield from _whole_number("spec.minReadySeconds", spec.min_ready_seconds)
    yield from _progress_deadline(spec)


def _progress_deadline(spec: ModelInferSpec) -> Iterator[Violation]:
    deadline, drain = spec.progress_deadline_seconds, spec.template.drain
    if deadline is None:
        return
    yield from _whole_number("spec.progressDeadlineSeconds", deadline, minimum=1)
    if 1 <= deadline <= spec.min_ready_seconds + (drain.timeout_seconds if drain is not None else 0):
        yield Violation("spec.progressDeadlineSeconds", PROGRESS_DEADLINE_MESSAGE)


def _infer_group(path: str, group: InferGroup) -> Iterator[Violation]:
    yield from _whole_number(f"{path}.restartGracePeriodSeconds", group.restart_grace_period_seconds)
    if not 1 <= len(group.roles) <= MAX_ROLES:
        yield Violation(f"{path}.roles", f"must be 1 to {MAX_ROLES} roles")
    names = [role.name.lower() for role in group.roles]
    if len(set(names)) < len(names):
        yield Violation(f"{path}.roles", ROLE_NAMES_MESSAGE)
    for index, role in enumerate(group.roles):
        yield from _role(f"{path}.roles[{index}]", role)
    if group.gang_schedule is not None:
        yield from _gang_schedule(f"{path}.gangSchedule", group.gang_schedule, group.roles)
    if group.drain is not None:
        yield from _whole_number(f"{path}.drain.timeoutSeconds", group.drain.timeout_seconds, minimum=1)
    if group.startup_policy is StartupPolicy.ENTRY_READY and group.gang_schedule is not None:
        yield Violation(f"{path}.startupPolicy", STARTUP_POLICY_MESSAGE)


def _role(path: str, role: Role) -> Iterator[Violation]:
    if len(role.name) > MAX_ROLE_NAME_LENGTH or not re.match(ROLE_NAME_PATTERN, role.name):
        yield Violation(
            f"{path}.name",
            f"must be 1 to {MAX_ROLE_NAME_LENGTH} letters, digits and '-', beginning and ending with a letter or digit",
        )
    yield from _whole_number(f"{path}.replicas", role.replicas)
    yield from _whole_number(f"{path}.workerReplicas", role.worker_replicas)
    if role.worker_replicas > 0 and role.worker_template is None:
        yield Violation(f"{path}.workerTemplate", WORKER_TEMPLATE_MESSAGE)


def _gang_schedule(path: str, gang: GangSchedule, roles: Iterable[Role]) -> Iterator[Violation]:
    topology = gang.network_topology
    if topology is not None:
        if topology.mode is not None:
            yield from _one_of(f"{path}.networkTopology.mode", topology.mode, TOPOLOGY_MODES)
        if topology.highest_tier_allowed is not None:
            yield from _whole_number(f"{path}.networkTopology.highestTierAllowed", topology.highest_tier_allowed)
    yield from _min_role_replicas(f"{path}.minRoleReplicas", gang.min_role_replicas or {}, roles)


def _min_role_replicas(path: str, minimums: Mapping[str, int], roles: Iterable[Role]) -> Iterator[Violation]:
    replicas_by_role = {role.name: role.replicas for role in roles}
    for name, minimum in minimums.items():
        yield from _whole_number(f"{path}.{name}", minimum)
    if any(minimum > replicas_by_role.get(name, -1) for name, minimum in minimums.items()):
        yield Violation(path, MIN_ROLE_REPLICAS_MESSAGE)


def _rolling_update(path: str, update: RollingUpdateConfiguration) -> Iterator[Violation]:
    yield from _budget(f"{path}.maxUnavailable", update.max_unavailable)
    yield from _budget(f"{path}.maxSurge", update.max_surge)
    if _is_zero(update.max_unavailable) and _is_zero(update.max_surge):
        yield Violation(path, BOTH_ZERO_MESSAGE)
    yield from _whole_number(f"{path}.partition", update.partition)


def _budget(path: str, value: IntOrString) -> Iterator[Violation]:
    is_valid = 0 <= value <= INT32_MAX if isinstance(value, int) else _percent(value) is not None
    if not is_valid:
        yield Violation(path, PERCENTAGE_MESSAGE)


def _is_zero(value: IntOrString) -> bool:
    return value == 0 if isinstance(value, int) else _percent(value) == 0


def _constraint(path: str, constraint: TopologySpreadConstraint) -> Iterator[Violation]:
    yield from _whole_number(f"{path}.maxSkew", constraint.max_skew, minimum=1)
    if not constraint.topology_key:
        yield Violation(f"{path}.topologyKey", "must be set to the key of a node label")
    yield from _one_of(f"{path}.whenUnsatisfiable", constraint.when_unsatisfiable, WHEN_UNSATISFIABLE)
    if constraint.label_selector is not None:
        yield from _label_selector(f"{path}.labelSelector", constraint.label_selector)


def _unique_constraints(constraints: Iterable[TopologySpreadConstraint]) -> Iterator[Violation]:
    keys = [(constraint.topology_key, constraint.when_unsatisfiable) for constraint in constraints]
    if len(set(keys)) < len(keys):
        yield Violation(
            "spec.topologySpreadConstraints", "must not repeat a pair of topologyKey and whenUnsatisfiable: merge them"
        )


def _label_selector(path: str, selector: LabelSelector) -> Iterator[Violation]:
    for index, requirement in enumerate(selector.match_expressions or ()):
        expression = f"{path}.matchExpressions[{index}]"
        if not requirement.key:
            yield Violation(f"{expression}.key", "must be set to a label key")
        yield from _one_of(f"{expression}.operator", requirement.operator, SELECTOR_OPERATORS)
        if (requirement.operator in ("In", "NotIn")) != bool(requirement.values):
            yield Violation(expression, SELECTOR_VALUES_MESSAGE)


def _whole_number(path: str, value: int, minimum: int = 0) -> Iterator[Violation]:
    if not minimum <= value <= INT32_MAX:
        yield Violation(path, f"must be a whole number from {minimum} to {INT32_MAX}")


def _one_of(path: str, value: str, allowed: tuple[str, ...]) -> Iterator[Violation]:
    if value not in allowed:
        yield Violation(path, f"must be one of {', '.join(allowed)}")


def _decoding_violations(error: ValidationError) -> Iterator[Violation]:
    """One violation for each field that has the wrong type or is missing; both arms of an int-or-string make one."""
    message_by_field: dict[str, str] = {}
    for detail in error.errors(include_url=False, include_context=False, include_input=False):
        location = detail["loc"]
        if location[-2:-1] in (("maxUnavailable",), ("maxSurge",)):
            message_by_field[_path(location[:-1])] = PERCENTAGE_MESSAGE
        else:
            message_by_field[_path(location)] = detail["msg"]
    for field, message in message_by_field.items():
        yield Violation(field, message)


def _path(location: tuple[int | str, ...]) -> str:
    return "spec" + "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in location)
