"""The structural schema of `status`, from the msgspec types of modelinfer_controller.api.status."""

from typing import Final

import msgspec

from crd.kubernetes_schemas import CONDITION, Schema
from crd.structural import structural
from modelinfer_controller.api.core import Condition
from modelinfer_controller.api.status import (
    NEVER_OBSERVED,
    ApiFailure,
    GroupRecord,
    ModelInferStatus,
    RecreationRecord,
    UpdateProgress,
)

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
        "groups": "What each InferGroup is meant to be, by ordinal (0) or by neighbours that are alike (3-17), and "
        "could not be read off its pods.",
        "updateProgress": "UpdateProgress is the clock of spec.progressDeadlineSeconds.",
        "apiFailures": "ApiFailures are requests that the API server refuses, the first for each of a few InferGroups.",
        "failedRevision": "FailedRevision is the revision that an update with onFailure: Rollback has given up. No "
        "group is moved to it until the template changes.",
    },
    GroupRecord: {
        "": "What is remembered of one InferGroup.",
        "revision": "The ControllerRevision that the group is created from.",
        "complete": "By role name: how many of its instances, lowest first, the group stands at. Each has had all of "
        "its pods at once, so a pod that is missing there was deleted.",
        "beyond": "Such instances above one that never had all of its pods, as decode-3.",
        "rebuilds": "The last recreation of each scope, while the back-off remembers it. A scope is the whole group "
        '("*"), a role instance or a pod.',
        "suspended": "By role name: how many instances the group had when the ModelInfer was suspended.",
    },
    RecreationRecord: {
        "": "One recreation.",
        "incarnation": "Pods of the scope with a lower incarnation annotation are replaced.",
        "attempt": "The number of the recreation in a row; the back-off grows with it.",
        "at": "When the recreation was decided.",
        "complete": "Whether every pod of the scope has existed since.",
        "movedFrom": "The leaving nodes that the scope was handed over from. It is not handed over from them again "
        "before they are schedulable again.",
    },
    UpdateProgress: {
        "": "The clock of spec.progressDeadlineSeconds.",
        "revision": "The revision that groups are moved to.",
        "updated": "Groups that were available at that revision when the clock last started.",
        "since": "When the clock started or went on; absent while it stands still.",
        "elapsed": "Seconds that it had run before.",
        "failed": "Whether the deadline is over: no more groups are replaced.",
        "deadlineSeconds": "The deadline that is over.",
    },
    ApiFailure: {
        "": "A request that the API server refuses, for one InferGroup. The controller tries it again within a minute.",
        "reason": "Why, in one CamelCase word.",
        "message": "The words of the API server.",
        "action": "What was refused, as: create pod m-1-decode-0-0.",
        "group": "The ordinal of the InferGroup; absent for what is of no group.",
        "since": "When it was refused first.",
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
