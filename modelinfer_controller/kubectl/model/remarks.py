"""What concerns a whole ModelInfer, whichever verb is asked: an invalid spec, its deletion, a missing kind, a pause."""

from collections.abc import Iterator

from modelinfer_controller.api import well_known
from modelinfer_controller.api.reasons import Cause, Reason
from modelinfer_controller.kubectl.model.snapshot import Snapshot
from modelinfer_controller.planning import gang
from modelinfer_controller.planning.conditions import hand_over_text

STALLED = "Stalled"  # the condition that says that a rollout has failed
# Somebody wants it so: by itself nothing is the matter.
CHOSEN = frozenset({Reason.PAUSED, Reason.SUSPENDED, Reason.HANDING_OVER})
NOT_SEEN = "NotSeenByController"
DELETING = "Deleting"


def remarks_of(snapshot: Snapshot) -> tuple[Cause, ...]:
    """The weightiest first. The messages are sentences without their reasons."""
    return tuple(_remarks(snapshot))


def _remarks(snapshot: Snapshot) -> Iterator[Cause]:
    meta, status = snapshot.stored.metadata, snapshot.stored.status
    if meta.is_terminating:
        kept = f"; its finalizers: {', '.join(meta.finalizers)}" if meta.finalizers else ""
        yield Cause(DELETING, f"it is being deleted, and gets no new pods{kept}")
    if snapshot.violations:
        violations = "; ".join(map(str, snapshot.violations))
        text = f"the spec is invalid, and the controller leaves everything as it is: {violations}"
        yield Cause(Reason.INVALID_SPEC, text)
    for condition in status.conditions:
        if condition.type == STALLED and condition.status == "True" and condition.reason != Reason.INVALID_SPEC:
            yield Cause(condition.reason, f"{condition.reason}: {condition.message}")
    if text := _missing_gang_kind(snapshot):
        yield Cause(Reason.POD_GROUP_KIND_MISSING, f"{Reason.POD_GROUP_KIND_MISSING}: {text}")
    if status.observed_generation < meta.generation and not meta.is_terminating:
        seen = f"generation {status.observed_generation}" if status.is_written else "nothing of it"
        yield Cause(
            NOT_SEEN,
            f"the controller has seen {seen}, and the spec is at generation {meta.generation}: "
            "is the controller running? (kubectl get leases --all-namespaces)",
        )
    if text := hand_over_text(snapshot.decision):
        yield Cause(Reason.HANDING_OVER, f"{Reason.HANDING_OVER}: {text}")
    if snapshot.owner.spec.suspend:
        count = snapshot.owner.spec.replicas
        text = f"it is suspended: it has no groups until spec.suspend is false; spec.replicas stays {count}"
        yield Cause(Reason.SUSPENDED, text)
    if is_paused(snapshot):
        yield Cause(Reason.PAUSED, f"its rollout is paused: `kubectl modelinfer rollout resume {meta.name}` goes on")


def _missing_gang_kind(snapshot: Snapshot) -> str:
    """Of what was read now: the condition may be older than the kind's removal, or than its installation."""
    template = snapshot.update.template
    if template.gang_scheduler is None:
        return ""
    name = snapshot.owner.spec.scheduler_name
    return gang.missing_api_message(template.gang_scheduler, name, snapshot.observed.gang_support)


def is_paused(snapshot: Snapshot) -> bool:
    """By spec.paused, or by the annotation that earlier releases of this plugin kept the partition in."""
    annotations = snapshot.stored.metadata.annotations
    return snapshot.owner.spec.paused or well_known.PAUSED_PARTITION in annotations
