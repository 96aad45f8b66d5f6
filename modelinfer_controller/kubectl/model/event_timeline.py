"""One timeline of a ModelInfer: its Events, conditions, revisions and pods, the newest last."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime

from modelinfer_controller.api.core import Pod
from modelinfer_controller.kube.client import Client
from modelinfer_controller.kubectl.model.access import allowed_to
from modelinfer_controller.kubectl.model.diagnostics import EVENTS, ClusterEvent
from modelinfer_controller.kubectl.model.document import Document
from modelinfer_controller.kubectl.model.snapshot import Snapshot
from modelinfer_controller.planning.pod_view import PodView


class TimelineEvent(Document, frozen=True):
    """One thing that happened.

    source: event, condition, revision, pod or model-infer. kind: Normal or Warning. count: how often an Event was seen,
    the last time at `time`. group: its ordinal, None for what is of the whole.
    """

    time: datetime
    source: str
    kind: str
    group: int | None
    about: str
    reason: str
    message: str
    count: int = 1


class EventTimeline(Document, frozen=True):
    """items: the newest last."""

    namespace: str
    name: str
    time: datetime
    items: tuple[TimelineEvent, ...]


async def read_events(client: Client, namespace: str, name: str) -> Sequence[ClusterEvent]:
    """Those of the ModelInfer and of pods with its name. Raises Exit where Events may not be read."""
    with allowed_to("list", EVENTS, namespace):
        found = (await client.list_all(EVENTS, namespace)).items
    pods = _pod_names(name)
    return [
        event
        for event in found
        if (event.involved_object.kind == "ModelInfer" and event.involved_object.name == name)
        or (event.involved_object.kind == "Pod" and pods.fullmatch(event.involved_object.name))
    ]


def timeline_of(snapshot: Snapshot, events: Iterable[ClusterEvent]) -> EventTimeline:
    meta = snapshot.stored.metadata
    items = [*_of_events(events, meta.name), *_of_conditions(snapshot), *_of_revisions(snapshot), *_of_pods(snapshot)]
    if meta.creation_timestamp is not None:
        items.append(_own(meta.creation_timestamp, "Created", f"ModelInfer {meta.name} was created", meta.name))
    if meta.deletion_timestamp is not None:
        items.append(_own(meta.deletion_timestamp, "Deleting", "its deletion was requested", meta.name))
    ordered = sorted(items, key=lambda item: (item.time, ORDER.index(item.source), item.about))
    return EventTimeline(meta.namespace, meta.name, snapshot.now, tuple(ordered))


ORDER = ("model-infer", "revision", "pod", "event", "condition")


def _own(time: datetime, reason: str, message: str, about: str) -> TimelineEvent:
    return TimelineEvent(time, "model-infer", "Normal", None, about, reason, message)


def _of_events(events: Iterable[ClusterEvent], name: str) -> Iterator[TimelineEvent]:
    for event in events:
        about = event.involved_object.name
        count = event.series.count if event.series is not None else event.count
        yield TimelineEvent(
            event.when, "event", event.type, _group(about, name), about, event.reason, event.message, max(count, 1)
        )


def _of_conditions(snapshot: Snapshot) -> Iterator[TimelineEvent]:
    for condition in snapshot.stored.status.conditions:
        if condition.last_transition_time is not None:
            is_bad = (condition.type in ("Available", "Ready")) == (condition.status == "False")
            kind = "Warning" if is_bad and condition.type in ("Available", "Ready", "Stalled") else "Normal"
            reason = f"{condition.type}={condition.status}"
            message = f"{condition.reason}: {condition.message}"
            name = snapshot.owner.name
            yield TimelineEvent(condition.last_transition_time, "condition", kind, None, name, reason, message)


def _of_revisions(snapshot: Snapshot) -> Iterator[TimelineEvent]:
    for revision in snapshot.observed.revisions:
        created = snapshot.made_at_by_revision.get(revision.name)
        if created is not None:
            cause = f": {revision.change_cause}" if revision.change_cause else ""
            text = f"revision {revision.number} ({revision.name}){cause}"
            yield TimelineEvent(created, "revision", "Normal", None, revision.name, "RevisionCreated", text)


def _of_pods(snapshot: Snapshot) -> Iterator[TimelineEvent]:
    for view in snapshot.observed.pods:
        yield from _of_pod(view, snapshot.pods[view.name])


CONDITION_WORDS: Mapping[str, tuple[str, str]] = {
    "PodScheduled": ("Scheduled", "scheduled"),
    "Ready": ("Ready", "ready"),
}


def _of_pod(view: PodView, pod: Pod) -> Iterator[TimelineEvent]:
    def entry(time: datetime, reason: str, message: str, kind: str = "Normal") -> TimelineEvent:
        return TimelineEvent(time, "pod", kind, view.identity.group, view.name, reason, message)

    yield entry(view.created_at, "PodCreated", f"created at revision {view.revision}")
    for condition in pod.status.conditions:
        words = CONDITION_WORDS.get(condition.type)
        if words is not None and condition.status == "True" and condition.last_transition_time is not None:
            where = f" on {pod.spec.node_name}" if condition.type == "PodScheduled" and pod.spec.node_name else ""
            yield entry(condition.last_transition_time, words[0], f"{words[1]}{where}")
    for status in (*pod.status.init_container_statuses, *pod.status.container_statuses):
        for ended in (status.last_state.terminated, status.state.terminated):
            if ended is not None and ended.finished_at is not None:
                why = f" ({ended.reason})" if ended.reason else ""
                text = f"container {status.name} exited with code {ended.exit_code}{why}"
                yield entry(ended.finished_at, "ContainerExited", text, "Warning" if ended.exit_code else "Normal")
    if pod.metadata.deletion_timestamp is not None:
        yield entry(pod.metadata.deletion_timestamp, "Terminating", "to be gone by then")


def _pod_names(name: str) -> re.Pattern[str]:
    return re.compile(rf"{re.escape(name)}-(\d+)-.+-\d+-\d+")


def _group(about: str, name: str) -> int | None:
    match = _pod_names(name).fullmatch(about)
    return int(match[1]) if match is not None else None
