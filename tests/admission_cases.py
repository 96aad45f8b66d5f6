"""Specs at the boundary of each rule of the API and just beyond it.

The real kube-apiserver must accept the former and refuse the latter with the words given; `api/validation.py` must
agree.
"""

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

POD_TEMPLATE = {"spec": {"containers": [{"name": "main", "image": "image"}]}}
INT32_MAX = 2**31 - 1
MOST = 100_000


@dataclass(frozen=True)
class Case:
    """One spec. For a broken one `field` is where the rule is broken and `says` what the server says, else empty."""

    id: str
    spec: Mapping[str, Any]
    name: str
    field: str = ""
    says: str = ""
    only_at_admission: bool = False

    @property
    def is_valid(self) -> bool:
        return not self.field

    @property
    def manifest(self) -> dict[str, Any]:
        return {
            "apiVersion": "workload.volcano.sh/v1alpha1",
            "kind": "ModelInfer",
            "metadata": {"name": self.name},
            "spec": self.spec,
        }

    def check(self, status: int, body: Mapping[str, Any]) -> None:
        """That a server's answer to the creation is what it must be."""
        if self.is_valid:
            assert status == 201, body
            return
        assert status == 422, body
        assert body["message"].startswith(f'ModelInfer.workload.volcano.sh "{self.name}" is invalid: ')
        assert self.field in body["message"]
        assert self.says in body["message"]


def role(name: str = "decode", **fields: Any) -> dict[str, Any]:
    return {"name": name, "entryTemplate": POD_TEMPLATE, **fields}


def spec(*roles: Mapping[str, Any], template: Mapping[str, Any] | None = None, **fields: Any) -> dict[str, Any]:
    """A spec with these roles (one named decode by default); `template` holds the InferGroup's other fields."""
    return copy.deepcopy({**fields, "template": {"roles": list(roles) or [role()], **(template or {})}})


def update(**fields: Any) -> dict[str, Any]:
    return {"rolloutStrategy": {"rollingUpdateConfiguration": fields}}


def gang(**fields: Any) -> dict[str, Any]:
    return {"gangSchedule": fields}


def drain(seconds: int) -> dict[str, Any]:
    return {"drain": {"timeoutSeconds": seconds}}


def spread(*constraints: Mapping[str, Any]) -> dict[str, Any]:
    return {"topologySpreadConstraints": list(constraints)}


def selector(**expression: Any) -> dict[str, Any]:
    return spread({"topologyKey": "zone", "labelSelector": {"matchExpressions": [expression]}})


UPDATE = "spec.rolloutStrategy.rollingUpdateConfiguration"
ROLES = "spec.template.roles"
MINIMUMS = "spec.template.gangSchedule.minRoleReplicas"
SPREAD = "spec.topologySpreadConstraints"
EXPRESSION = f"{SPREAD}[0].labelSelector.matchExpressions[0]"
TOO_LONG = "the longest pod name"
PERCENTAGE = 'a percentage from "0%" to "100%"'
SELECTOR_VALUES = "values must be set for In and NotIn"

VALID: Mapping[str, Mapping[str, Any]] = {
    "least": spec(),
    "no-replicas": spec(replicas=0),
    "most-replicas": spec(replicas=MOST),
    "most-role-replicas": spec(role(replicas=MOST)),
    "most-pods-of-an-instance": spec(role(workerReplicas=MOST - 1, workerTemplate=POD_TEMPLATE)),
    "most-pods-of-two-roles": spec(role("a", replicas=3), role("b", replicas=2), replicas=20_000),
    "no-groups-of-many-pods": spec(role(replicas=MOST, workerReplicas=MOST, workerTemplate=POD_TEMPLATE), replicas=0),
    "no-grace-period": spec(template={"restartGracePeriodSeconds": 0}),
    "four-roles": spec(role("a"), role("b"), role("c"), role("d")),
    "role-name-of-12": spec(role("Abcdefghij-1")),
    "no-role-replicas": spec(role(replicas=0, workerReplicas=0)),
    "workers": spec(role(workerReplicas=1, workerTemplate=POD_TEMPLATE)),
    "template-without-workers": spec(role(workerReplicas=0, workerTemplate=POD_TEMPLATE)),
    "minimum-equals-replicas": spec(role(replicas=2), template=gang(minRoleReplicas={"decode": 2})),
    "minimum-of-none": spec(template=gang(minRoleReplicas={"decode": 0})),
    "no-minimums": spec(template=gang()),
    "soft-topology": spec(template=gang(networkTopology={"mode": "soft", "highestTierAllowed": 0})),
    "surge-only": spec(**update(maxUnavailable=0, maxSurge=1)),
    "unavailable-only": spec(**update(maxUnavailable=1, maxSurge=0)),
    "percentages-0-and-100": spec(**update(maxUnavailable="0%", maxSurge="100%")),
    "percentage-of-one-group": spec(replicas=4, **update(maxUnavailable="25%")),
    "percentage-of-no-group": spec(replicas=0, **update(maxUnavailable="25%")),
    "percentage-with-surge": spec(replicas=3, **update(maxUnavailable="25%", maxSurge="1%")),
    "partition-0": spec(**update(partition=0)),
    "partition-above-replicas": spec(replicas=1, **update(partition=9)),
    "skew-1": spec(**spread({"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "ScheduleAnyway"})),
    "skew-left-out": spec(**spread({"topologyKey": "zone"})),
    "key-with-both-actions": spec(
        **spread({"topologyKey": "zone"}, {"topologyKey": "zone", "whenUnsatisfiable": "ScheduleAnyway"})
    ),
    "selector-in": spec(**selector(key="a", operator="In", values=["b"])),
    "selector-exists": spec(**selector(key="a", operator="Exists")),
    "policy-none": spec(recoveryPolicy="None"),
    "ready-at-once": spec(minReadySeconds=0),
    "paused": spec(paused=True, suspend=False),
    "drain-of-1-second": spec(template=drain(1)),
    "entry-ready": spec(template={"startupPolicy": "EntryReady"}),
    "parallel-gang": spec(template={"startupPolicy": "Parallel", **gang()}),
    "deadline-of-1-second": spec(progressDeadlineSeconds=1),
    "deadline-above-ready-and-drain": spec(progressDeadlineSeconds=41, minReadySeconds=10, template=drain(30)),
    "rollback": spec(progressDeadlineSeconds=600, **update(onFailure="Rollback")),
    "hand-over": spec(nodeDrainPolicy="HandOver"),
    "duplicate-host-aliases": spec(
        role(
            entryTemplate={
                "spec": {
                    **POD_TEMPLATE["spec"],
                    "hostAliases": [{"ip": "10.0.0.1", "hostnames": ["a"]}, {"ip": "10.0.0.1", "hostnames": ["b"]}],
                }
            }
        )
    ),
}

BROKEN: Mapping[str, tuple[Mapping[str, Any], str, str]] = {
    "replicas-negative": (spec(replicas=-1), "spec.replicas", "greater than or equal to 0"),
    "replicas-above-most": (spec(role(replicas=0), replicas=MOST + 1), "spec.replicas", "less than or equal to 100000"),
    "role-replicas-above-most": (
        spec(role(replicas=MOST + 1), replicas=0),
        f"{ROLES}[0].replicas",
        "less than or equal to 100000",
    ),
    "worker-replicas-above-most": (
        spec(role(workerReplicas=MOST + 1, workerTemplate=POD_TEMPLATE), replicas=0),
        f"{ROLES}[0].workerReplicas",
        "less than or equal to 100000",
    ),
    "one-pod-too-many": (
        spec(role(workerReplicas=MOST, workerTemplate=POD_TEMPLATE)),
        "spec",
        "must not ask for more than 100000 pods",
    ),
    "pods-of-two-roles-too-many": (
        spec(role("a", replicas=3), role("b", replicas=2), replicas=20_001),
        "spec",
        "must not ask for more than 100000 pods",
    ),
    "grace-period-above-int32": (
        spec(template={"restartGracePeriodSeconds": INT32_MAX + 1}),
        "spec.template.restartGracePeriodSeconds",
        "less than or equal to 2147483647",
    ),
    "grace-period-negative": (
        spec(template={"restartGracePeriodSeconds": -1}),
        "spec.template.restartGracePeriodSeconds",
        "greater than or equal to 0",
    ),
    "five-roles": (spec(*(role(name) for name in "abcde")), ROLES, "at most 4 items"),
    "no-roles": (spec(template={"roles": []}), ROLES, "at least 1 item"),
    "role-name-of-13": (spec(role("abcdefghijklm")), f"{ROLES}[0].name", "may not be more than 12"),
    "role-name-with-a-dot": (spec(role("a.b")), f"{ROLES}[0].name", "should match"),
    "role-name-ends-in-a-dash": (spec(role("a-")), f"{ROLES}[0].name", "should match"),
    "role-name-empty": (spec(role("")), f"{ROLES}[0].name", "should match"),
    "role-names-equal-but-for-case": (
        spec(role("decode"), role("Decode")),
        ROLES,
        "role names must be unique, also when capitals are ignored: rename one of the roles",
    ),
    "role-names-equal": (spec(role("decode"), role("decode")), ROLES, "Duplicate value"),
    "role-replicas-negative": (spec(role(replicas=-1)), f"{ROLES}[0].replicas", "greater than or equal to 0"),
    "worker-replicas-negative": (
        spec(role(workerReplicas=-1)),
        f"{ROLES}[0].workerReplicas",
        "greater than or equal to 0",
    ),
    "workers-without-template": (
        spec(role(workerReplicas=1)),
        f"{ROLES}[0].workerTemplate",
        "must be set, with its spec, when workerReplicas is above 0",
    ),
    "minimum-of-unknown-role": (
        spec(template=gang(minRoleReplicas={"prefill": 1})),
        MINIMUMS,
        "must name roles of spec.template.roles",
    ),
    "minimum-in-wrong-case": (
        spec(template=gang(minRoleReplicas={"Decode": 1})),
        MINIMUMS,
        "must name roles of spec.template.roles",
    ),
    "minimum-above-replicas": (
        spec(role(replicas=2), template=gang(minRoleReplicas={"decode": 3})),
        MINIMUMS,
        "each with no more than that role's replicas",
    ),
    "minimum-negative": (
        spec(template=gang(minRoleReplicas={"decode": -1})),
        f"{MINIMUMS}.decode",
        "greater than or equal to 0",
    ),
    "topology-mode-unknown": (
        spec(template=gang(networkTopology={"mode": "firm"})),
        "spec.template.gangSchedule.networkTopology.mode",
        'supported values: "hard", "soft"',
    ),
    "topology-tier-negative": (
        spec(template=gang(networkTopology={"highestTierAllowed": -1})),
        "spec.template.gangSchedule.networkTopology.highestTierAllowed",
        "greater than or equal to 0",
    ),
    "percentage-above-100": (spec(**update(maxUnavailable="101%")), f"{UPDATE}.maxUnavailable", PERCENTAGE),
    "percentage-negative": (spec(**update(maxSurge="-1%")), f"{UPDATE}.maxSurge", PERCENTAGE),
    "percentage-without-sign": (spec(**update(maxSurge="10")), f"{UPDATE}.maxSurge", PERCENTAGE),
    "percentage-of-a-fraction": (spec(**update(maxUnavailable="2.5%")), f"{UPDATE}.maxUnavailable", PERCENTAGE),
    "percentage-of-words": (spec(**update(maxUnavailable="half")), f"{UPDATE}.maxUnavailable", PERCENTAGE),
    "unavailable-negative": (spec(**update(maxUnavailable=-1)), f"{UPDATE}.maxUnavailable", PERCENTAGE),
    "surge-negative": (spec(**update(maxSurge=-1)), f"{UPDATE}.maxSurge", PERCENTAGE),
    "both-zero": (spec(**update(maxUnavailable=0, maxSurge=0)), UPDATE, "must not both be 0: raise one of them"),
    "both-zero-percent": (
        spec(**update(maxUnavailable="0%", maxSurge="0%")),
        UPDATE,
        "must not both be 0: raise one of them",
    ),
    "zero-with-default-surge": (spec(**update(maxUnavailable=0)), UPDATE, "must not both be 0: raise one of them"),
    "partition-negative": (spec(**update(partition=-1)), f"{UPDATE}.partition", "greater than or equal to 0"),
    "skew-0": (
        spec(**spread({"maxSkew": 0, "topologyKey": "zone"})),
        f"{SPREAD}[0].maxSkew",
        "greater than or equal to 1",
    ),
    "topology-key-empty": (spec(**spread({"topologyKey": ""})), f"{SPREAD}[0].topologyKey", "at least 1 chars"),
    "unsatisfiable-unknown": (
        spec(**spread({"topologyKey": "zone", "whenUnsatisfiable": "Wait"})),
        f"{SPREAD}[0].whenUnsatisfiable",
        'supported values: "DoNotSchedule", "ScheduleAnyway"',
    ),
    "constraint-twice": (spec(**spread({"topologyKey": "zone"}, {"topologyKey": "zone"})), SPREAD, "Duplicate value"),
    "selector-in-nothing": (spec(**selector(key="a", operator="In")), EXPRESSION, SELECTOR_VALUES),
    "selector-exists-in": (
        spec(**selector(key="a", operator="Exists", values=["b"])),
        EXPRESSION,
        SELECTOR_VALUES,
    ),
    "selector-operator-unknown": (
        spec(**selector(key="a", operator="Gt")),
        f"{EXPRESSION}.operator",
        'supported values: "In", "NotIn", "Exists", "DoesNotExist"',
    ),
    "selector-key-empty": (spec(**selector(key="", operator="Exists")), f"{EXPRESSION}.key", "at least 1 chars"),
    "policy-unknown": (
        spec(recoveryPolicy="Restart"),
        "spec.recoveryPolicy",
        'supported values: "InferGroupRecreate", "RoleRecreate", "None"',
    ),
    "ready-seconds-negative": (spec(minReadySeconds=-1), "spec.minReadySeconds", "greater than or equal to 0"),
    "deadline-0": (
        spec(progressDeadlineSeconds=0),
        "spec.progressDeadlineSeconds",
        "greater than or equal to 1",
    ),
    "deadline-not-above-ready": (
        spec(progressDeadlineSeconds=10, minReadySeconds=10),
        "spec.progressDeadlineSeconds",
        "must be above minReadySeconds plus template.drain.timeoutSeconds",
    ),
    "deadline-not-above-drain": (
        spec(progressDeadlineSeconds=30, template=drain(30)),
        "spec.progressDeadlineSeconds",
        "must be above minReadySeconds plus template.drain.timeoutSeconds",
    ),
    "deadline-not-above-ready-and-drain": (
        spec(progressDeadlineSeconds=40, minReadySeconds=10, template=drain(30)),
        "spec.progressDeadlineSeconds",
        "must be above minReadySeconds plus template.drain.timeoutSeconds",
    ),
    "drain-of-0-seconds": (
        spec(template=drain(0)),
        "spec.template.drain.timeoutSeconds",
        "greater than or equal to 1",
    ),
    "startup-policy-unknown": (
        spec(template={"startupPolicy": "LeaderReady"}),
        "spec.template.startupPolicy",
        'supported values: "Parallel", "EntryReady"',
    ),
    "entry-ready-gang": (
        spec(template={"startupPolicy": "EntryReady", **gang()}),
        "spec.template.startupPolicy",
        "must not be EntryReady with gangSchedule",
    ),
    "on-failure-unknown": (
        spec(**update(onFailure="Retry")),
        f"{UPDATE}.onFailure",
        'supported values: "Halt", "Rollback"',
    ),
    "node-drain-policy-unknown": (
        spec(nodeDrainPolicy="Ignore"),
        "spec.nodeDrainPolicy",
        'supported values: "Evict", "HandOver"',
    ),
    "strategy-unknown": (
        spec(rolloutStrategy={"type": "OnDelete"}),
        "spec.rolloutStrategy.type",
        'supported values: "InferGroupRollingUpdate"',
    ),
}

WORKERS = {"workerReplicas": 1, "workerTemplate": POD_TEMPLATE}

# Name length, spec, and whether <name>-<g>-<role>-<r>-<k> still fits into 63 characters: with one digit each and the
# role "decode", 50 characters are left for the name.
LENGTHS: Mapping[str, tuple[int, Mapping[str, Any], bool]] = {
    "length-50": (50, spec(), True),
    "length-51": (51, spec(), False),
    "length-50-without-groups": (50, spec(replicas=0), True),
    "length-51-without-groups": (51, spec(replicas=0), False),
    "length-50-of-10-groups": (50, spec(replicas=10), True),
    "length-50-of-11-groups": (50, spec(replicas=11), False),
    "length-49-of-11-groups": (49, spec(replicas=11), True),
    "length-50-of-9-groups-and-1-more": (50, spec(replicas=9, **update(maxSurge=1)), True),
    "length-50-of-9-groups-and-2-more": (50, spec(replicas=9, **update(maxSurge=2)), False),
    "length-50-of-5-groups-and-a-surge-of-all": (50, spec(replicas=5, **update(maxSurge=INT32_MAX)), True),
    "length-50-of-6-groups-and-a-surge-of-all": (50, spec(replicas=6, **update(maxSurge=INT32_MAX)), False),
    "length-50-of-8-groups-and-25%": (50, spec(replicas=8, **update(maxSurge="25%")), True),
    "length-50-of-8-groups-and-26%": (50, spec(replicas=8, **update(maxSurge="26%")), False),
    "length-50-of-10-instances": (50, spec(role(replicas=10)), True),
    "length-50-of-11-instances": (50, spec(role(replicas=11)), False),
    "length-50-of-9-workers": (50, spec(role(**{**WORKERS, "workerReplicas": 9})), True),
    "length-50-of-10-workers": (50, spec(role(**{**WORKERS, "workerReplicas": 10})), False),
    "length-49-of-a-longer-second-role": (49, spec(role("a"), role("decoder")), True),
    "length-50-of-a-longer-second-role": (50, spec(role("a"), role("decoder")), False),
}


def name_of(id_: str, length: int = 0) -> str:
    """A valid name that no other case has, of `length` characters or as long as it comes."""
    name = id_.replace("%", "p")
    return name[:length].rstrip("-").ljust(length, "x") if length else name


# Length cases that differ in their ends only are told apart by their position.
CASES = (
    *(Case(id_, valid, name_of(id_)) for id_, valid in VALID.items()),
    *(Case(id_, broken, name_of(id_), field, says) for id_, (broken, field, says) in BROKEN.items()),
    *(
        Case(id_, sized, name_of(f"n{index}", length), *(() if fits else ("metadata.name", TOO_LONG)))
        for index, (id_, (length, sized, fits)) in enumerate(LENGTHS.items())
    ),
    Case("name-with-a-dot", spec(), "a.b", "metadata.name", "lower-case letters, digits and '-'"),
    Case("name-of-digits", spec(), "12", "", ""),
    Case(
        "percentage-rounded-to-0",
        spec(replicas=3, **update(maxUnavailable="25%")),
        "percentage-rounded-to-0",
        UPDATE,
        "maxUnavailable is rounded down to 0 and maxSurge is 0",
        only_at_admission=True,
    ),
)
