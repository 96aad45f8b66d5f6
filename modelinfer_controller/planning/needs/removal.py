"""Taking pods away: at once, or drained first where the ModelInfer says how long a pod may finish its requests."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from modelinfer_controller.api import well_known
from modelinfer_controller.planning.actions import Action, DeletePod, PatchPodMetadata
from modelinfer_controller.planning.desired import Desired
from modelinfer_controller.planning.pod_view import PodView


@dataclass(frozen=True, slots=True)
class Removal:
    """actions: patches that begin a drain, or deletions. wake_at: when a drain ends at the latest."""

    actions: tuple[Action, ...] = ()
    wake_at: datetime | None = None


def remove(pods: Sequence[PodView], reason: str, desired: Desired, now: datetime) -> Removal:
    """Take these pods away together. Those that terminate already are left alone.

    A drain ends at its deadline, or as soon as every entry pod among them says that it is drained. source: behaviour of
    `spec.template.drain`.
    """
    live = [pod for pod in pods if not pod.is_terminating]
    timeout = desired.drain_timeout
    begun = [pod.drain_deadline for pod in live if pod.drain_deadline is not None]
    if timeout is None and not begun:
        return Removal(tuple(delete(pod, reason) for pod in live))
    deadline = min(begun) if begun else now + (timeout or now - now)
    entries = [pod for pod in live if pod.identity.worker_index == 0]
    are_drained = bool(begun) and bool(entries) and all(pod.is_drained and pod.drain_deadline for pod in entries)
    if deadline <= now or are_drained:
        return Removal(tuple(delete(pod, reason) for pod in live))
    late = (pod for pod in live if pod.drain_deadline is None)
    return Removal(tuple(_drain(pod, deadline) for pod in late), deadline if live else None)


def delete(pod: PodView, reason: str) -> DeletePod:
    return DeletePod(pod.identity, pod.name, pod.uid, reason)


def _drain(pod: PodView, deadline: datetime) -> PatchPodMetadata:
    annotations: dict[str, str | None] = {well_known.DRAIN_DEADLINE: rfc3339(deadline)}
    if pod.is_drained:
        annotations[well_known.DRAINED] = None  # of an earlier drain: this one has not been answered yet
    return PatchPodMetadata(pod.identity, pod.name, pod.uid, {well_known.SERVING: None}, annotations)


def undo_drain(pod: PodView) -> Mapping[str, str | None]:
    """Annotations of a pod that is not to go after all."""
    return {well_known.DRAIN_DEADLINE: None, **({well_known.DRAINED: None} if pod.is_drained else {})}


def rfc3339(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%S.%fZ}"
