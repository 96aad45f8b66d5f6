"""Volcano's PodGroup kind, as far as its scheduler and ours speak it: a definition to be installed at run time."""

from modelinfer_controller.simulator.objects import Object

_COUNT: Object = {"type": "integer", "format": "int32"}
_TEXT: Object = {"type": "string"}
_AMOUNT: Object = {
    "anyOf": [{"type": "integer"}, {"type": "string"}],
    "x-kubernetes-int-or-string": True,
    "pattern": r"^[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([KMGTPE]i|[numkMGTPE]|[eE][+-]?[0-9]+)?$",
}
_SPEC: Object = {
    "type": "object",
    "properties": {
        "minMember": _COUNT,
        "minTaskMember": {"type": "object", "additionalProperties": _COUNT},
        "minResources": {"type": "object", "additionalProperties": _AMOUNT},
        "queue": {**_TEXT, "default": "default"},
        "priorityClassName": _TEXT,
        "networkTopology": {
            "type": "object",
            "properties": {
                "mode": {**_TEXT, "enum": ["hard", "soft"], "default": "hard"},
                "highestTierAllowed": {**_COUNT, "default": 1},
                "highestTierName": _TEXT,
            },
        },
    },
}
_STATUS: Object = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}

POD_GROUP_DEFINITION: Object = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": "podgroups.scheduling.volcano.sh"},
    "spec": {
        "group": "scheduling.volcano.sh",
        "scope": "Namespaced",
        "names": {"kind": "PodGroup", "plural": "podgroups", "singular": "podgroup", "shortNames": ["pg"]},
        "versions": [
            {
                "name": "v1beta1",
                "served": True,
                "storage": True,
                "subresources": {"status": {}},
                "schema": {
                    "openAPIV3Schema": {"type": "object", "properties": {"spec": _SPEC, "status": _STATUS}},
                },
            }
        ],
    },
}
