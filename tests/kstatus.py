"""The rules by which Flux, Helm 4, Argo CD and `kpt` tell from an object alone whether it has come to what it asks for.

source: kstatus (sigs.k8s.io/cli-utils, pkg/kstatus/status), `Compute` for a kind that it has no rules of its own for.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any


class Kstatus(StrEnum):
    IN_PROGRESS = "InProgress"
    CURRENT = "Current"
    FAILED = "Failed"
    TERMINATING = "Terminating"


def kstatus(obj: Mapping[str, Any]) -> Kstatus:
    """The first rule that applies decides: deletion, generation, Reconciling, Stalled, Ready; else it is current.

    >>> kstatus({"metadata": {"generation": 1}, "status": {"observedGeneration": -1}})
    <Kstatus.IN_PROGRESS: 'InProgress'>
    """
    metadata, status = obj["metadata"], obj.get("status") or {}
    if metadata.get("deletionTimestamp"):
        return Kstatus.TERMINATING
    if "observedGeneration" in status and status["observedGeneration"] != metadata.get("generation"):
        return Kstatus.IN_PROGRESS
    value_by_type = {condition["type"]: condition["status"] for condition in status.get("conditions") or ()}
    if value_by_type.get("Reconciling") == "True":
        return Kstatus.IN_PROGRESS
    if value_by_type.get("Stalled") == "True":
        return Kstatus.FAILED
    if value_by_type.get("Ready", "True") == "True":
        return Kstatus.CURRENT
    return Kstatus.IN_PROGRESS
