"""The group's pods: those that go, those that are put right, and those that are made."""

from collections.abc import Iterator, Mapping
from datetime import datetime

from modelinfer_controller.api import names, well_known
from modelinfer_controller.planning.actions import CreatePod, DeletePod, PatchPodMetadata
from modelinfer_controller.planning.group import Group
from modelinfer_controller.planning.hand_over import is_drained_first
from modelinfer_controller.planning.manifests import pod_labels
from modelinfer_controller.planning.needs.removal import Removal, delete, remove, undo_drain
from modelinfer_controller.planning.pod_identity import InstanceKey, PodIdentity
from modelinfer_controller.planning.pod_view import PodView
from modelinfer_controller.planning.recovery import incarnation_of_new
from modelinfer_controller.planning.recovery_types import scopes_of
from modelinfer_controller.planning.replacement import reason_text


def deletions(group: Group) -> Iterator[DeletePod]:
    """Pods that go at once: of another revision, or condemned by a recreation. All of a recreated scope goes."""
    causes = {one.scope: f"{one.trigger.pod} {one.trigger.why}" for one in group.recovery.recreations}
    for pod in group.live_pods:
        if pod.revision not in ("", group.revision.name):
            yield delete(pod, f"is of revision {pod.revision}, its group of {group.revision.name}")
        elif pod.uid in group.condemned:
            yield delete(pod, _why_condemned(pod, group, causes))


def _why_condemned(pod: PodView, group: Group, causes: Mapping[str, str]) -> str:
    scopes = scopes_of(pod.identity)
    if group.move is not None and group.move.scope in scopes:
        return reason_text(group.move)
    if any(scope in group.record.recreations and group.record.recreations[scope].moved_from for scope in scopes):
        return "moves off a node that leaves"
    cause = next((causes[scope] for scope in scopes if scope in causes), "its siblings failed")
    return f"is recreated because {cause}"


def surplus_removals(group: Group, now: datetime) -> list[Removal]:
    """Role instances and workers beyond what the group is to have, each instance drained by itself."""
    if group.is_waiting:
        return []
    by_instance: dict[InstanceKey, list[PodView]] = {}
    for pod in group.own_pods:
        if pod not in group.shape and pod.uid not in group.condemned:
            by_instance.setdefault(pod.instance, []).append(pod)
    reason = "is not among the replicas of its role"
    return [remove(pods, reason, group.desired, now) for _, pods in sorted(by_instance.items())]


def repairs(group: Group) -> Iterator[PatchPodMetadata]:
    """Labels that somebody has changed, notes on failures, and drains that are not to be after all."""
    acknowledged = {pod.uid for pod in group.recovery.acknowledged}
    failure_times = {pod.uid: at for pod, at in group.recovery.failure_times}
    for pod in group.own_pods:
        if pod.is_terminating or pod not in group.shape or pod.uid in group.condemned:
            continue
        if is_drained_first(pod.identity, group):
            continue
        wrong = _wrong_labels(pod, group)
        notes: dict[str, str | None] = {}
        if pod.uid in acknowledged:
            notes[well_known.ACKNOWLEDGED_RESTARTS] = str(pod.restart_count)
            notes |= {well_known.FAILED_AT: None} if pod.has_failure_note else {}
        elif pod.uid in failure_times:
            notes[well_known.FAILED_AT] = failure_times[pod.uid].isoformat()
        elif pod.has_stale_acknowledgement:
            notes[well_known.ACKNOWLEDGED_RESTARTS] = str(pod.restart_count)
        if pod.drain_deadline is not None:
            notes |= undo_drain(pod)
        if wrong or notes:
            yield PatchPodMetadata(pod.identity, pod.name, pod.uid, wrong, notes)


def _wrong_labels(pod: PodView, group: Group) -> dict[str, str | None]:
    desired = pod_labels(group.desired.identity, group.revision, pod.identity)
    if group.desired.drain_timeout is not None or pod.drain_deadline is not None:
        desired = {**desired, well_known.SERVING: "true"}
    wrong: dict[str, str | None] = {key: value for key, value in desired.items() if pod.labels.get(key) != value}
    for key in (well_known.GROUP_INDEX, well_known.WORKER_INDEX):
        wrong.pop(key, None)  # new pods alone have these: an upgrade patches nothing
    return wrong | dict.fromkeys({well_known.ENTRY, well_known.GROUP_LEADER} & (pod.labels.keys() - desired.keys()))


def creation(identity: PodIdentity, group: Group) -> CreatePod:
    return CreatePod(
        identity,
        names.pod_name(group.owner_name, *identity),
        group.revision,
        incarnation_of_new(identity, group),
        is_serving=group.desired.drain_timeout is not None,
    )
