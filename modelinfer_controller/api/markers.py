"""What the CRD says of a field beyond its type: bounds for the server to enforce, which decoding here ignores.

pydantic's own constraints (`ge`, `pattern`) would refuse an object that was stored before a rule existed; a marker
only reaches the JSON schema that `hack/update-crd` turns into the CRD. `validation.py` reads the same markers for
objects that reached the cluster all the same, so a bound is written once.
"""

from collections.abc import Mapping
from typing import Any, Final

from pydantic.config import JsonDict, JsonValue

INT32_MAX: Final = 2**31 - 1

POD_SPEC_MARKER: Final = "x-modelinfer-pod-spec"  # the generator puts Kubernetes' PodSpec in this field's place
NO_DEFAULT_MARKER: Final = "x-modelinfer-no-default"  # the server stores nothing where the user wrote nothing
ABSENT_BY_DEFAULT: Final[JsonDict] = {NO_DEFAULT_MARKER: True}


def marked(**constraints: JsonValue) -> JsonDict:
    """JSON schema keywords of a field; `list_type` and the like stand for `x-kubernetes-list-type`."""
    return {_keyword(name): value for name, value in constraints.items()}


def _keyword(name: str) -> str:
    return f"x-kubernetes-{name.replace('_', '-')}" if "_" in name else name


def whole_number(minimum: int = 0, maximum: int = INT32_MAX) -> JsonDict:
    """An int32 from `minimum` to `maximum`."""
    return marked(minimum=minimum, maximum=maximum)


def rule(expression: str, message: str, **more: JsonValue) -> JsonDict:
    """One CEL rule; `expression` may span lines. `more` are the rule's other fields: reason, fieldPath, ..."""
    return {"rule": " ".join(expression.split()), "message": message, **more}


def validated(*rules: JsonDict, **constraints: JsonValue) -> JsonDict:
    """Keywords with the CEL rules that a value must pass."""
    return {**marked(**constraints), "x-kubernetes-validations": list(rules)}


def without_markers(schema: Mapping[str, Any]) -> dict[str, Any]:
    """The schema less the keywords that are meant for our generator alone."""
    return {key: value for key, value in schema.items() if key not in (POD_SPEC_MARKER, NO_DEFAULT_MARKER)}
