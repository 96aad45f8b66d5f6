"""The structural schema of `spec`, from the pydantic types of modelinfer_controller.api.modelinfer."""

from typing import Any, Final

from crd.kubernetes_schemas import POD_SPEC, Schema, referred
from crd.structural import structural
from modelinfer_controller.api.markers import NO_DEFAULT_MARKER, POD_SPEC_MARKER, without_markers
from modelinfer_controller.api.modelinfer import ModelInferSpec

DROPPED: Final = ("$defs", "title", "default")


def spec_schema(kubernetes: dict[str, Schema]) -> Schema:
    """ModelInferSpec with every own field described and PodSpecs in full, undescribed."""
    document = ModelInferSpec.model_json_schema(by_alias=True)
    return _Types(document["$defs"], structural(kubernetes, POD_SPEC)).node(document)


class _Types:
    """pydantic's JSON schema, rewritten node by node."""

    def __init__(self, definitions: dict[str, Schema], pod_spec: Schema) -> None:
        self._definitions = definitions
        self._pod_spec = pod_spec

    def node(self, schema: Schema) -> Schema:
        if POD_SPEC_MARKER in schema:
            return {"description": schema["description"], **self._pod_spec}
        if "anyOf" in schema:
            return self._union(schema)
        if "$ref" in schema:
            siblings = {keyword: value for keyword, value in schema.items() if keyword != "$ref"}
            return self.node({**self._definitions[referred(schema["$ref"])], **siblings})
        return self._plain(schema)

    def _union(self, schema: Schema) -> Schema:
        """`X | None` becomes X, `int | str` an int-or-string; the API has no other union."""
        rest = {keyword: value for keyword, value in schema.items() if keyword != "anyOf"}
        members = [member for member in schema["anyOf"] if member != {"type": "null"}]
        if len(members) == 1:
            return self.node({**members[0], **rest})
        assert [member["type"] for member in members] == ["integer", "string"], members
        return {**self._plain(rest), "anyOf": members, "x-kubernetes-int-or-string": True}

    def _plain(self, schema: Schema) -> Schema:
        result = {key: value for key, value in without_markers(schema).items() if key not in DROPPED}
        if "description" in result:
            result["description"] = " ".join(result["description"].split())
        if result.get("type") == "integer":
            result["format"] = "int32"
        if "properties" in schema:
            result["properties"] = {name: self.node(value) for name, value in schema["properties"].items()}
        for keyword in ("items", "additionalProperties"):
            if isinstance(schema.get(keyword), dict):
                result[keyword] = self.node(schema[keyword])
        if _is_scalar(schema.get("default")) and NO_DEFAULT_MARKER not in schema:
            result["default"] = schema["default"]
        return result


def _is_scalar(default: Any) -> bool:
    """Only scalars are defaulted by the server: an object's default would be stored where a user wrote nothing."""
    return isinstance(default, (int, str))
