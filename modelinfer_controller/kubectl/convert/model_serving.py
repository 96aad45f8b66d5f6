"""kthena's ModelServing (workload.serving.volcano.sh/v1alpha1), and ModelInfer, the name that it had before.

Source: pkg/apis/workload/v1alpha1 of kthena v1.0.0.
"""

from __future__ import annotations

from typing import Any

from modelinfer_controller.kubectl.convert.source import NO_EQUAL, Source
from modelinfer_controller.kubectl.convert.templates import take_template

_ROLLING = "spec.rolloutStrategy.rollingUpdateConfiguration"
_RECOVERY = {"ServingGroupRecreate": "InferGroupRecreate"}
# Fields that a ModelInfer has and a ModelServing has not.
_OF_MODEL_INFER = (
    "topologySpreadConstraints",
    "minReadySeconds",
    "paused",
    "suspend",
    "progressDeadlineSeconds",
    "nodeDrainPolicy",
)
_SCHEDULER = "volcano"  # kthena's default; a ModelInfer has the cluster's


def convert(source: Source) -> dict[str, Any]:
    """The spec of the ModelInfer."""
    policy = source.take("spec.recoveryPolicy", "RoleRecreate")
    spec: dict[str, Any] = {
        "replicas": source.take("spec.replicas", 1),
        **_scheduler(source),
        "recoveryPolicy": _RECOVERY.get(policy, policy),
        "rolloutStrategy": {"rollingUpdateConfiguration": _rolling_update(source)},
        "template": _group(source),
    }
    source.refuse("spec.plugins", "put what the plugin adds into the pod templates")
    return {**spec, **_present(source, "spec", _OF_MODEL_INFER)}


def _present(source: Source, path: str, names: tuple[str, ...]) -> dict[str, Any]:
    found = {name: source.take(f"{path}.{name}") for name in names}
    return {name: value for name, value in found.items() if value is not None}


def _scheduler(source: Source) -> dict[str, str]:
    name = source.take("spec.schedulerName", _SCHEDULER if source.kind == "ModelServing" else None)
    return {"schedulerName": name} if name else {}


def _rolling_update(source: Source) -> dict[str, Any]:
    if source.take("spec.rolloutStrategy.type") == "RoleRollingUpdate":
        source.note("spec.rolloutStrategy.type", f"RoleRollingUpdate {NO_EQUAL}: groups are updated as a whole")
    partition = source.take(f"{_ROLLING}.partition", 0)
    if isinstance(partition, str):
        source.note(f"{_ROLLING}.partition", f"a percentage {NO_EQUAL}: write the number of groups; it is 0 here")
        partition = 0
    return {
        "maxUnavailable": source.take(f"{_ROLLING}.maxUnavailable", 1),
        "maxSurge": source.take(f"{_ROLLING}.maxSurge", 0),
        "partition": partition,
        **_present(source, _ROLLING, ("onFailure",)),
    }


def _group(source: Source) -> dict[str, Any]:
    group: dict[str, Any] = {"restartGracePeriodSeconds": source.take("spec.template.restartGracePeriodSeconds", 0)}
    gang = _gang(source)
    if gang is not None:
        group["gangSchedule"] = gang
    group |= _present(source, "spec.template", ("drain", "startupPolicy"))
    roles = source.left.get("spec", {}).get("template", {}).get("roles") or []
    group["roles"] = [_role(source, f"spec.template.roles[{index}]") for index in range(len(roles))]
    return group


def _gang(source: Source) -> dict[str, Any] | None:
    """ModelServing's `gangPolicy` and `networkTopology`, ModelInfer's `gangSchedule`."""
    as_before = source.take("spec.template.gangSchedule")
    if as_before is not None:
        return dict(as_before)
    asked = source.left.get("spec", {}).get("template", {}).get("gangPolicy") is not None
    minimum = source.take("spec.template.gangPolicy.minRoleReplicas")
    topology = source.take("spec.template.networkTopology.groupPolicy")
    source.refuse("spec.template.networkTopology.rolePolicy", "a topology constrains whole groups")
    if not asked and topology is None:
        return None
    return {
        **({"minRoleReplicas": minimum} if minimum else {}),
        **({"networkTopology": topology} if topology else {}),
    }


def _role(source: Source, path: str) -> dict[str, Any]:
    role: dict[str, Any] = {
        "name": source.take(f"{path}.name", ""),
        "replicas": source.take(f"{path}.replicas", 1),
        "workerReplicas": source.take(f"{path}.workerReplicas", 0),
        "entryTemplate": take_template(source, f"{path}.entryTemplate") or {"spec": {}},
    }
    worker = take_template(source, f"{path}.workerTemplate")
    if worker is not None:
        role["workerTemplate"] = worker
    for name in ("maxUnavailable", "partition"):
        source.refuse(f"{path}.{name}", "groups are updated as a whole, by spec.rolloutStrategy")
    return role
