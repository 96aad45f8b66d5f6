"""The CustomResourceDefinition around the schemas: names, columns, subresources, and the rules that need the name."""

from typing import Final

from crd.kubernetes_schemas import Schema
from crd.spec_schema import spec_schema
from crd.status_schema import status_schema
from modelinfer_controller.api.markers import rule
from modelinfer_controller.api.modelinfer import API_VERSION, GROUP, KIND, PERCENTAGE_PATTERN, PLURAL, VERSION
from modelinfer_controller.api.names import MAX_LABEL_LENGTH
from modelinfer_controller.api.validation import LONGEST_NAME_MESSAGE, NAME_MESSAGE, NAME_PATTERN

_UPDATE: Final = "self.spec.rolloutStrategy.rollingUpdateConfiguration"

# In groups, of which there are never more than groups to be updated. A malformed maxSurge, which has a rule of its own,
# counts as 0 instead of ending in an evaluation error.
_SURGE: Final = f"""(!has(self.spec.rolloutStrategy) || !has({_UPDATE}) ? 0
    : type({_UPDATE}.maxSurge) == int
      ? (int({_UPDATE}.maxSurge) < self.spec.replicas ? int({_UPDATE}.maxSurge) : self.spec.replicas)
    : {_UPDATE}.maxSurge.matches('{PERCENTAGE_PATTERN}')
      ? (int({_UPDATE}.maxSurge.replace('%', '')) * self.spec.replicas + 99) / 100
    : 0)"""


def digits(number: str) -> str:
    """CEL: how many decimal digits the number has; -1, the highest ordinal of none, counts as 0."""
    return f"({number} < 0 ? 1 : size(string({number})))"


LONGEST_NAME: Final = f"""size(self.metadata.name) + 4 + {digits(f"(self.spec.replicas + {_SURGE} - 1)")} +
    ([0] + self.spec.template.roles.map(r,
      size(r.name) + {digits("(r.replicas - 1)")} + size(string(r.workerReplicas)))).max()"""

# An object that was stored before a rule existed must stay deletable and its status writable. A rule on the whole
# object is asked at each of these writes, unlike one on a field that did not change: so it lets pass a spec that
# was there before.
ROOT_RULES: Final = (
    rule(
        f"oldSelf.hasValue() || self.metadata.name.matches('{NAME_PATTERN}')",
        f"metadata.name {NAME_MESSAGE}",
        optionalOldSelf=True,
    ),
    rule(
        f"{LONGEST_NAME} <= {MAX_LABEL_LENGTH} || (oldSelf.hasValue() && oldSelf.value().spec == self.spec)",
        f"metadata.name {LONGEST_NAME_MESSAGE}",
        optionalOldSelf=True,
    ),
)

COLUMNS: Final = (
    {"name": "Replicas", "type": "integer", "jsonPath": ".spec.replicas", "description": "Groups asked for"},
    {
        "name": "Available",
        "type": "integer",
        "jsonPath": ".status.availableReplicas",
        "description": "Available groups",
    },
    {
        "name": "Updated",
        "type": "integer",
        "jsonPath": ".status.updatedReplicas",
        "description": "Groups at the update revision",
    },
    {
        "name": "Revision",
        "type": "string",
        "jsonPath": ".status.updateRevision",
        "description": "The update revision",
        "priority": 1,
    },
    {
        "name": "Reason",
        "type": "string",
        "jsonPath": '.status.conditions[?(@.type=="Available")].reason',
        "description": "Why the ModelInfer is or is not available",
    },
    {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"},
)


def custom_resource_definition(kubernetes: dict[str, Schema]) -> Schema:
    """The whole manifest as plain JSON; `kubernetes` as `kubernetes_schemas.load` gives it."""
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{PLURAL}.{GROUP}"},
        "spec": {
            "group": GROUP,
            "scope": "Namespaced",
            "names": {
                "kind": KIND,
                "listKind": f"{KIND}List",
                "plural": PLURAL,
                "singular": KIND.lower(),
                "shortNames": ["mi"],
            },
            "versions": [
                {
                    "name": VERSION,
                    "served": True,
                    "storage": True,
                    "additionalPrinterColumns": list(COLUMNS),
                    "subresources": {
                        "status": {},
                        "scale": {
                            "specReplicasPath": ".spec.replicas",
                            "statusReplicasPath": ".status.replicas",
                            "labelSelectorPath": ".status.labelSelector",
                        },
                    },
                    "schema": {"openAPIV3Schema": root_schema(kubernetes)},
                }
            ],
        },
    }


def root_schema(kubernetes: dict[str, Schema]) -> Schema:
    return {
        "description": f"{KIND} is the Schema for the LLM infer API ({API_VERSION}): a number of InferGroups, each "
        "one complete serving instance made of roles.",
        "type": "object",
        "required": ["spec"],
        "properties": {
            "apiVersion": {
                "description": "APIVersion defines the versioned schema of this representation of an object. More "
                "info: https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#resources",
                "type": "string",
            },
            "kind": {
                "description": "Kind is a string value representing the REST resource this object represents. More "
                "info: https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#types-kinds",
                "type": "string",
            },
            "metadata": {"type": "object"},
            "spec": spec_schema(kubernetes),
            "status": status_schema(kubernetes),
        },
        "x-kubernetes-validations": list(ROOT_RULES),
    }
