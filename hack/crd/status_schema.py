"""The structural schema of `status`, from the msgspec types of modelinfer_controller.api.status."""

from typing import Final

import msgspec

from crd.kubernetes_schemas import CONDITION, Schema
from crd.structural import structural
from modelinfer_controller.api.core import Condition
from modelinfer_controller.api.status import NEVER_OBSERVED, GroupRecord, ModelInferStatus, RebuildRecord

DEFAULT: Final = {"observedGeneration": NEVER_OBSERVED}

DESCRIPTIONS: Final[dict[type, dict[str, str]]] = {
    ModelInferStatus: {
        "": "ModelInferStatus defines the observed state of ModelInfer.",
        "observedGeneration": "ObservedGeneration is the most recent generation that the controller observed; -1 "
        "while it has observed none.",
        "replicas": "Replicas is the number of InferGroups that have pods (updated or not, ready or not).",
        "currentReplicas": "CurrentReplicas is the number of InferGroups at currentRevision.",
        "updatedReplicas": "UpdatedReplicas is the number of InferGroups at updateRevision (ready or not).",
        "availableReplicas": "AvailableReplicas is the number of InferGroups that are available (updated or not): "
        "every role has its minimum of complete, ready instances.",
        "currentRevision": "CurrentRevision is the revision that the rollout started from.",
        "updateRevision": "UpdateRevision is the revision of the current spec.",
        "labelSelector": "LabelSelector matches exactly one pod of each InferGroup. The scale subresource, and so "
        "an autoscaler, reads it.",
        "conditions": "Conditions track the condition of the ModelInfer: Available, Progressing and UpdateInProgress "
        "are always there.",
        "groups": "What the controller must remember of each InferGroup, by ordinal, and could not read off its pods.",
        "failedRevision": "FailedRevision is the revision that an update with onFailure: Rollback has given up. No "
        "group is moved to it until the template changes.",
    },
    GroupRecord: {
        "": "What is remembered of one InferGroup.",
        "revision": "The ControllerRevision that the group was last built from.",
        "complete": "By role name: how many of its instances, lowest first, have had all of their pods at once.",
        "rebuilds": "The last rebuild of each scope, while the back-off remembers it. A scope is the whole group "
        '("*"), a role instance or a pod.',
    },
    RebuildRecord: {
        "": "One rebuild.",
        "incarnation": "Pods of the scope with a lower incarnation annotation are replaced.",
        "attempt": "The how manyth rebuild in a row this was; the back-off grows with it.",
        "at": "When the rebuild was decided.",
        "complete": "Whether every pod of the scope has existed since.",
        "cause": "Which pod made the rebuild necessary, and why.",
    },
}


def status_schema(kubernetes: dict[str, Schema]) -> Schema:
    """ModelInferStatus, every field described; conditions are Kubernetes' own."""
    return {**_struct(msgspec.inspect.type_info(ModelInferStatus), kubernetes), "default": DEFAULT}


def _struct(info: msgspec.inspect.Type, kubernetes: dict[str, Schema]) -> Schema:
    assert isinstance(info, msgspec.inspect.StructType), info
    if info.cls is Condition:
        return structural(kubernetes, CONDITION)
    descriptions = DESCRIPTIONS[info.cls]
    properties = {
        field.encode_name: {
            "description": descriptions[field.encode_name],
            **_node(field.type, kubernetes, "int64" if field.encode_name == "observedGeneration" else "int32"),
        }
        for field in info.fields
    }
    return {"description": descriptions[""], "type": "object", "properties": properties}


def _node(info: msgspec.inspect.Type, kubernetes: dict[str, Schema], integer_format: str = "int32") -> Schema:
    match info:
        case msgspec.inspect.BoolType():
            return {"type": "boolean"}
        case msgspec.inspect.IntType():
            return {"type": "integer", "format": integer_format}
        case msgspec.inspect.StrType():
            return {"type": "string"}
        case msgspec.inspect.DateTimeType():
            return {"type": "string", "format": "date-time"}
        case msgspec.inspect.StructType():
            return _struct(info, kubernetes)
        case msgspec.inspect.DictType(value_type=value):
            return {"type": "object", "additionalProperties": _node(value, kubernetes), **_map_type(value)}
        case msgspec.inspect.VarTupleType(item_type=item):
            return {"type": "array", "items": _node(item, kubernetes), **_list_type(item)}
        case msgspec.inspect.UnionType(types=types):
            (kept,) = (member for member in types if not isinstance(member, msgspec.inspect.NoneType))
            return _node(kept, kubernetes)
        case _:
            raise TypeError(f"no schema is known for {info}")


def _list_type(item: msgspec.inspect.Type) -> Schema:
    if isinstance(item, msgspec.inspect.StructType) and item.cls is Condition:
        return {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]}
    return {"x-kubernetes-list-type": "atomic"}


def _map_type(value: msgspec.inspect.Type) -> Schema:
    """One writer's records: to track who owns which field of each would cost the server most of a status write."""
    return {"x-kubernetes-map-type": "atomic"} if isinstance(value, msgspec.inspect.StructType) else {}
