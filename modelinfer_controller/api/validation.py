"""What makes a ModelInfer invalid: the CRD's rules once more, for objects that reached the cluster all the same.

An object may be older than a rule, or than the CRD. Such a one still decodes; what it breaks is said in a condition.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, get_args

from pydantic import ValidationError
from pydantic.config import JsonDict
from pydantic.fields import FieldInfo

from modelinfer_controller.api.markers import INT32_MAX, POD_SPEC_MARKER
from modelinfer_controller.api.modelinfer import (
    BOTH_ZERO_MESSAGE,
    MAX_PODS,
    MIN_ROLE_REPLICAS_MESSAGE,
    PERCENTAGE_MESSAGE,
    PERCENTAGE_PATTERN,
    PROGRESS_DEADLINE_MESSAGE,
    ROLE_NAMES_MESSAGE,
    SELECTOR_VALUES_MESSAGE,
    STARTUP_POLICY_MESSAGE,
    TOO_MANY_PODS_MESSAGE,
    WORKER_TEMPLATE_MESSAGE,
    ApiModel,
    InferGroup,
    IntOrString,
    LabelSelectorRequirement,
    ModelInferSpec,
    Role,
    RollingUpdateConfiguration,
    StartupPolicy,
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


@dataclass(frozen=True, slots=True)
class Violation:
    """One broken rule: the field by its path in the API (`spec.template.roles[0].name`), and what to do about it."""

    field: str
    message: str

    def __str__(self) -> str:
        return f"{self.field}: {self.message}"


@dataclass(frozen=True, slots=True)
class InvalidSpec:
    """A spec that breaks rules (at least one). `spec` is there unless it could not be decoded at all.

    >>> str(decode(b'{"template": {"roles": []}, "replicas": -1}', "llama"))
    'spec.replicas: must be a whole number from 0 to 100000; spec.template.roles: must have 1 to 4 items'
    """

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
    return (*_name(spec, name), *_walk("spec", spec))


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
    """maxSurge in groups, of which there are never more than groups to be updated.

    A malformed one, which is reported on its own, counts as 0.
    """
    surge = spec.rollout_strategy.rolling_update_configuration.max_surge
    if isinstance(surge, int):
        return max(0, min(surge, spec.replicas))
    percent = _percent(surge)
    return 0 if percent is None else -(-spec.replicas * percent // 100)


def _percent(value: str) -> int | None:
    return int(value[:-1]) if re.match(PERCENTAGE_PATTERN, value) else None


def _walk(path: str, model: ApiModel) -> Iterator[Violation]:
    """What the model and everything below it break: its bounds, which are its fields' markers, and `RULES`."""
    broken = tuple(violation for rule_of in RULES.get(type(model), ()) for violation in rule_of(path, model))
    yield from (violation for violation in broken if violation.field == path)
    for name, field in type(model).model_fields.items():
        at = f"{path}.{field.alias}"
        yield from _value(at, getattr(model, name), _markers(field))
        yield from (violation for violation in broken if violation.field == at or violation.field.startswith(f"{at}."))
        yield from _below(at, getattr(model, name), field)


def _below(path: str, value: object, field: FieldInfo) -> Iterator[Violation]:
    match value:
        case ApiModel():
            yield from _walk(path, value)
        case tuple():
            for index, item in enumerate(value):
                if isinstance(item, ApiModel):
                    yield from _walk(f"{path}[{index}]", item)
        case Mapping() if POD_SPEC_MARKER not in _markers(field):
            for key, item in value.items():
                yield from _value(f"{path}.{key}", item, _markers_of_items(field))


def _markers(field: FieldInfo) -> JsonDict:
    return field.json_schema_extra if isinstance(field.json_schema_extra, dict) else {}


def _markers_of_items(field: FieldInfo) -> JsonDict:
    """The markers of a mapping's values: `Mapping[str, Annotated[int, Field(...)]] | None`."""
    for outer in (field.annotation, *get_args(field.annotation)):
        for inner in get_args(outer):
            for extra in getattr(inner, "__metadata__", ()):
                if isinstance(extra, FieldInfo):
                    return _markers(extra)
    return {}


def _value(path: str, value: object, markers: JsonDict) -> Iterator[Violation]:
    """The bounds of one value. A bound of another type than the value's does not concern it."""
    match value:
        case bool() | None:
            return
        case int():
            yield from _number(path, value, markers)
        case str():
            yield from _text(path, value, markers)
        case tuple():
            least, most = _bound(markers, "minItems", 0), _bound(markers, "maxItems", INT32_MAX)
            if not least <= len(value) <= most:
                yield Violation(path, f"must have {least} to {most} items")


def _number(path: str, value: int, markers: JsonDict) -> Iterator[Violation]:
    if "minimum" not in markers:
        return  # an int-or-string, which has a rule
    least, most = _bound(markers, "minimum", 0), _bound(markers, "maximum", INT32_MAX)
    if not least <= value <= most:
        yield Violation(path, f"must be a whole number from {least} to {most}")


def _text(path: str, value: str, markers: JsonDict) -> Iterator[Violation]:
    allowed, pattern = markers.get("enum"), markers.get("pattern")
    least, most = _bound(markers, "minLength", 0), _bound(markers, "maxLength", INT32_MAX)
    if isinstance(allowed, list) and value not in allowed:
        yield Violation(path, f"must be one of {', '.join(map(str, allowed))}")
    elif not least <= len(value) <= most:
        yield Violation(path, f"must have {least} to {most} characters" if least < most else "must be set")
    elif isinstance(pattern, str) and not re.search(pattern, value):
        yield Violation(path, f"must match {pattern}")


def _bound(markers: JsonDict, keyword: str, default: int) -> int:
    bound = markers.get(keyword)
    return bound if isinstance(bound, int) else default


def _pod_count(path: str, spec: ModelInferSpec) -> Iterator[Violation]:
    if spec.pod_count > MAX_PODS:
        yield Violation(path, TOO_MANY_PODS_MESSAGE)


def _progress_deadline(path: str, spec: ModelInferSpec) -> Iterator[Violation]:
    deadline, drain = spec.progress_deadline_seconds, spec.template.drain
    if deadline and deadline <= spec.min_ready_seconds + (drain.timeout_seconds if drain is not None else 0):
        yield Violation(f"{path}.progressDeadlineSeconds", PROGRESS_DEADLINE_MESSAGE)


def _unique_constraints(path: str, spec: ModelInferSpec) -> Iterator[Violation]:
    keys = [(constraint.topology_key, constraint.when_unsatisfiable) for constraint in spec.topology_spread_constraints]
    if len(set(keys)) < len(keys):
        yield Violation(
            f"{path}.topologySpreadConstraints",
            "must not repeat a pair of topologyKey and whenUnsatisfiable: merge them",
        )


def _role_names(path: str, group: InferGroup) -> Iterator[Violation]:
    names = [role.name.lower() for role in group.roles]
    if len(set(names)) < len(names):
        yield Violation(f"{path}.roles", ROLE_NAMES_MESSAGE)


def _min_role_replicas(path: str, group: InferGroup) -> Iterator[Violation]:
    replicas_by_role = {role.name: role.replicas for role in group.roles}
    minimums = (group.gang_schedule and group.gang_schedule.min_role_replicas) or {}
    if any(minimum > replicas_by_role.get(name, -1) for name, minimum in minimums.items()):
        yield Violation(f"{path}.gangSchedule.minRoleReplicas", MIN_ROLE_REPLICAS_MESSAGE)


def _startup_policy(path: str, group: InferGroup) -> Iterator[Violation]:
    if group.startup_policy is StartupPolicy.ENTRY_READY and group.gang_schedule is not None:
        yield Violation(f"{path}.startupPolicy", STARTUP_POLICY_MESSAGE)


def _worker_template(path: str, role: Role) -> Iterator[Violation]:
    if role.worker_replicas > 0 and role.worker_template is None:
        yield Violation(f"{path}.workerTemplate", WORKER_TEMPLATE_MESSAGE)


def _budgets(path: str, update: RollingUpdateConfiguration) -> Iterator[Violation]:
    for name, value in (("maxUnavailable", update.max_unavailable), ("maxSurge", update.max_surge)):
        if not (0 <= value <= INT32_MAX if isinstance(value, int) else _percent(value) is not None):
            yield Violation(f"{path}.{name}", PERCENTAGE_MESSAGE)
    if _is_zero(update.max_unavailable) and _is_zero(update.max_surge):
        yield Violation(path, BOTH_ZERO_MESSAGE)


def _is_zero(value: IntOrString) -> bool:
    return value == 0 if isinstance(value, int) else _percent(value) == 0


def _selector_values(path: str, requirement: LabelSelectorRequirement) -> Iterator[Violation]:
    if (requirement.operator in ("In", "NotIn")) != bool(requirement.values):
        yield Violation(path, SELECTOR_VALUES_MESSAGE)


# What no single field's marker can say: the CRD's CEL rules. A rule gives the path of the type that it is of.
RULES: Final[Mapping[type[ApiModel], tuple[Callable[[str, Any], Iterator[Violation]], ...]]] = {
    ModelInferSpec: (_pod_count, _unique_constraints, _progress_deadline),
    InferGroup: (_min_role_replicas, _startup_policy, _role_names),
    Role: (_worker_template,),
    RollingUpdateConfiguration: (_budgets,),
    LabelSelectorRequirement: (_selector_values,),
}


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
