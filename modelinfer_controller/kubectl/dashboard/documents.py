"""What the page asks for: the documents of the verbs."""

import json
from collections.abc import Iterator, Mapping
from datetime import timedelta

from modelinfer_controller.kube.client import Client
from modelinfer_controller.kubectl.model.diagnostics import Diagnostics
from modelinfer_controller.kubectl.model.document import API_VERSION, Document
from modelinfer_controller.kubectl.model.event_timeline import EventTimeline, read_events, timeline_of
from modelinfer_controller.kubectl.model.explanation import explain
from modelinfer_controller.kubectl.model.rollout_history import history_of
from modelinfer_controller.kubectl.model.rollout_status import rollout_status
from modelinfer_controller.kubectl.model.snapshot import Snapshot
from modelinfer_controller.kubectl.model.tree import tree_of
from modelinfer_controller.kubectl.render.output import builtins_of

STUCK_AFTER = timedelta(seconds=30)  # the default of `rollout status --stuck-after`


def encoded(kind: str, document: Document) -> str:
    """In one line, as an event of a stream has it."""
    content = {"apiVersion": API_VERSION, "kind": kind, **builtins_of(document)}
    return json.dumps(content, ensure_ascii=False, separators=(",", ":"))


def without_time(text: str) -> Mapping[str, object]:
    """What two looks at the same state have in common."""
    content: dict[str, object] = json.loads(text)
    return {key: value for key, value in content.items() if key not in ("time", "seconds")}


def live_documents(snapshot: Snapshot, diagnostics: Diagnostics) -> Iterator[tuple[str, Document]]:
    """By kind: what an open page of one ModelInfer is kept up to date with."""
    yield "Tree", tree_of(snapshot)
    yield "Explanation", explain(snapshot, diagnostics)
    yield "RolloutStatus", rollout_status(snapshot, STUCK_AFTER)
    yield "History", history_of(snapshot)


async def timeline(client: Client, snapshot: Snapshot) -> EventTimeline:
    """Raises Exit where Events may not be read."""
    meta = snapshot.stored.metadata
    return timeline_of(snapshot, await read_events(client, meta.namespace, meta.name))
