"""Deletion as its caller asks for it: preconditions, grace period, what becomes of the dependents."""

from collections.abc import Mapping
from dataclasses import dataclass

from modelinfer_controller.simulator.apiserver.kinds import PODS, Kind
from modelinfer_controller.simulator.apiserver.pods import DEFAULT_GRACE, is_finished
from modelinfer_controller.simulator.apiserver.status_errors import Cause, StatusError, bad_request, shown
from modelinfer_controller.simulator.objects import Object

FOREGROUND_FINALIZER = "foregroundDeletion"
ORPHAN_FINALIZER = "orphan"
_POLICIES = ("Foreground", "Background", "Orphan")


@dataclass(frozen=True, slots=True)
class DeleteOptions:
    """propagation is None, "Background", "Foreground" or "Orphan"; None leaves what the object's finalizers say."""

    uid: str = ""
    resource_version: str = ""
    grace_period_seconds: int | None = None
    propagation: str | None = None
    dry_run: bool = False


def delete_options(query: Mapping[str, str], body: Object) -> DeleteOptions:
    """Options from the body, or else from the query. Raises StatusError on values that are none."""
    preconditions = body.get("preconditions") or {}
    grace = body.get("gracePeriodSeconds", query.get("gracePeriodSeconds"))
    propagation = body.get("propagationPolicy", query.get("propagationPolicy"))
    if propagation is not None and propagation not in _POLICIES:
        raise _invalid_policy(propagation)
    if body.get("orphanDependents") is not None:
        propagation = "Orphan" if body["orphanDependents"] else "Background"
    return DeleteOptions(
        uid=preconditions.get("uid") or "",
        resource_version=preconditions.get("resourceVersion") or "",
        grace_period_seconds=None if grace is None else _integer(grace),
        propagation=propagation,
        dry_run="All" in (body.get("dryRun") or []) or query.get("dryRun") == "All",
    )


def _integer(text: str | int) -> int:
    try:
        return max(int(text), 0)
    except ValueError:
        raise bad_request(f"invalid gracePeriodSeconds: {text}") from None


def _invalid_policy(value: str) -> StatusError:
    cause = Cause.not_supported("propagationPolicy", value, [*_POLICIES, "nil"])
    details: Object = {"group": "meta.k8s.io", "kind": "DeleteOptions"}
    details["causes"] = [{"reason": cause.reason, "message": cause.message, "field": cause.field}]
    message = f'DeleteOptions.meta.k8s.io "" is invalid: propagationPolicy: Unsupported value: {shown(value)}'
    return StatusError(422, "Invalid", message, details)


def deletion_finalizers(metadata: Object, options: DeleteOptions) -> list[str]:
    """The finalizers that the object has from now on."""
    finalizers: list[str] = metadata.get("finalizers") or []
    if options.propagation is None:
        return finalizers
    others = [one for one in finalizers if one not in (FOREGROUND_FINALIZER, ORPHAN_FINALIZER)]
    match options.propagation:
        case "Foreground":
            return [*others, FOREGROUND_FINALIZER]
        case "Orphan":
            return [*others, ORPHAN_FINALIZER]
        case _:
            return others


def grace_seconds(kind: Kind, obj: Object, options: DeleteOptions) -> int:
    """Only pods end gracefully: those that have a node, which must stop their containers first."""
    if kind.key != PODS.key:
        return 0
    if not obj["spec"].get("nodeName") or is_finished(obj):
        return 0
    if options.grace_period_seconds is not None:
        return options.grace_period_seconds
    seconds: int = obj["spec"].get("terminationGracePeriodSeconds", DEFAULT_GRACE)
    return seconds
