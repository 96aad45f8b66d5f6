"""LeaderWorkerSet (leaderworkerset.x-k8s.io/v1) as a ModelInfer: one role, an instance of which is LWS's group.

Source: api/leaderworkerset/v1 of LWS v0.9.0.
"""

from __future__ import annotations

from typing import Any

from modelinfer_controller.kubectl.convert.source import NO_EQUAL, Source
from modelinfer_controller.kubectl.convert.templates import Template, annotate, take_template

ROLE = "server"
LWS_ENVIRONMENT = {"modelinfer.volcano.sh/lws-env": "true"}
_TEMPLATE = "spec.leaderWorkerTemplate"
_ROLLING = "spec.rolloutStrategy.rollingUpdateConfiguration"
_RECOVERY = {
    "RecreateGroupOnPodRestart": "InferGroupRecreate",
    "RecreateGroupAfterStart": "InferGroupRecreate",
    "None": "None",
    "Default": "None",
}
_EXCLUSIVE = "leaderworkerset.sigs.k8s.io/exclusive-topology"


def convert(source: Source) -> dict[str, Any]:
    """The spec of the ModelInfer."""
    startup = source.take("spec.startupPolicy", "LeaderCreated")
    policy = source.take(f"{_TEMPLATE}.restartPolicy", "RecreateGroupOnPodRestart")
    source.take("spec.rolloutStrategy.type")  # RollingUpdate is the only one
    _note_what_is_missing(source)
    return {
        "replicas": source.take("spec.replicas", 1),
        "recoveryPolicy": _RECOVERY.get(policy, "InferGroupRecreate"),
        "rolloutStrategy": {
            "rollingUpdateConfiguration": {
                "maxUnavailable": source.take(f"{_ROLLING}.maxUnavailable", 1),
                "maxSurge": source.take(f"{_ROLLING}.maxSurge", 0),
                "partition": source.take(f"{_ROLLING}.partition", 0),
            }
        },
        "template": {
            **({"startupPolicy": "EntryReady"} if startup == "LeaderReady" else {}),
            "roles": [_role(source)],
        },
    }


def _role(source: Source) -> dict[str, Any]:
    workers = source.take(f"{_TEMPLATE}.size", 1) - 1
    worker = take_template(source, f"{_TEMPLATE}.workerTemplate")
    # Without a template of its own the leader is made from the workers'.
    leader = take_template(source, f"{_TEMPLATE}.leaderTemplate") or worker or {"spec": {}}
    role: dict[str, Any] = {"name": ROLE, "replicas": 1, "workerReplicas": workers, "entryTemplate": _for_lws(leader)}
    if workers > 0 and worker is not None:
        role["workerTemplate"] = _for_lws(worker)
    return role


def _for_lws(template: Template) -> Template:
    """With the environment that images made for LWS read."""
    copied: Template = {**template, "metadata": dict(template.get("metadata", {}))}
    annotate(copied, LWS_ENVIRONMENT)
    return copied


def _note_what_is_missing(source: Source) -> None:
    source.refuse(
        f"{_TEMPLATE}.subGroupPolicy", "use more than one role, or several instances of a role, for parts of a group"
    )
    source.refuse(
        f"{_TEMPLATE}.volumeClaimTemplates", "mount a claim that exists, or an ephemeral volume (volumes[].ephemeral)"
    )
    source.refuse(f"{_TEMPLATE}.persistentVolumeClaimRetentionPolicy", "no claims are made")
    policy = source.take("spec.networkConfig.subdomainPolicy")
    if policy == "Shared":
        source.note("spec.networkConfig.subdomainPolicy", f"{NO_EQUAL}: only entry pods have a DNS name, ENTRY_ADDRESS")
    annotations = source.left.get("metadata", {}).get("annotations") or {}
    if annotations.pop(_EXCLUSIVE, None):
        source.note(
            f"metadata.annotations[{_EXCLUSIVE}]",
            f"{NO_EQUAL}: see topologySpreadConstraints, and gangSchedule.networkTopology with Volcano",
        )
