"""StatefulSet (apps/v1) as a ModelInfer: each of its pods is a group, or all of them are one."""

from __future__ import annotations

from typing import Any

from modelinfer_controller.kubectl.convert.source import NO_EQUAL, Source
from modelinfer_controller.kubectl.convert.templates import take_template

ROLE = "server"
_ROLLING = "spec.updateStrategy.rollingUpdate"


def convert(source: Source) -> dict[str, Any]:
    """Independent servers: a pod is a group of its own."""
    _note_what_is_missing(source)
    template = take_template(source, "spec.template") or {"spec": {}}
    return {
        "replicas": source.take("spec.replicas", 1),
        "recoveryPolicy": "None",  # a StatefulSet leaves restarts to the kubelet
        "rolloutStrategy": {"rollingUpdateConfiguration": _rolling_update(source)},
        **_min_ready(source),
        "template": {"roles": [{"name": ROLE, "replicas": 1, "workerReplicas": 0, "entryTemplate": template}]},
    }


def convert_to_one_group(source: Source) -> dict[str, Any]:
    """Ranks of one server, which the ordinal tells apart: pod 0 is the entry pod, the others are its workers."""
    _note_what_is_missing(source)
    source.refuse("spec.updateStrategy", "a group is updated as a whole")
    template = take_template(source, "spec.template") or {"spec": {}}
    workers = source.take("spec.replicas", 1) - 1
    role = {"name": ROLE, "replicas": 1, "workerReplicas": workers, "entryTemplate": template}
    return {
        "replicas": 1,
        "recoveryPolicy": "InferGroupRecreate",
        **_min_ready(source),
        "template": {"roles": [{**role, **({"workerTemplate": template} if workers > 0 else {})}]},
    }


def _rolling_update(source: Source) -> dict[str, Any]:
    if source.take("spec.updateStrategy.type") == "OnDelete":
        source.note("spec.updateStrategy.type", f"OnDelete {NO_EQUAL}: spec.paused holds an update")
    return {
        "maxUnavailable": source.take(f"{_ROLLING}.maxUnavailable", 1),
        "partition": source.take(f"{_ROLLING}.partition", 0),
    }


def _min_ready(source: Source) -> dict[str, int]:
    seconds = source.take("spec.minReadySeconds", 0)
    return {"minReadySeconds": seconds} if seconds else {}


def _note_what_is_missing(source: Source) -> None:
    source.take("spec.selector")  # pods are found by owner
    source.take("spec.revisionHistoryLimit")  # revisions in use are kept, and 10 more
    source.refuse(
        "spec.volumeClaimTemplates", "mount a claim that exists, or an ephemeral volume (volumes[].ephemeral)"
    )
    source.refuse("spec.persistentVolumeClaimRetentionPolicy", "no claims are made")
    source.refuse(
        "spec.serviceName", "only entry pods of roles with workers have a DNS name; create a Service for clients"
    )
    if source.take("spec.podManagementPolicy") != "Parallel":
        source.note("spec.podManagementPolicy", f"OrderedReady {NO_EQUAL}: groups are created at once")
    source.refuse("spec.ordinals", "ordinals begin at 0")
