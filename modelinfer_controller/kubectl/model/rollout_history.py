"""`rollout history` and `rollout diff`: the revisions that are kept, and what differs between them."""

import json
from datetime import datetime
from typing import Any

from modelinfer_controller.kubectl.model.document import Document
from modelinfer_controller.kubectl.model.snapshot import Snapshot
from modelinfer_controller.kubectl.model.spec_diff import Change, revision_changes
from modelinfer_controller.planning.revision import Revision


class HistoryEntry(Document, frozen=True):
    """groups: ordinals that run it. changes: since the entry before; the oldest has none."""

    number: int
    revision: str
    created_at: datetime | None
    change_cause: str
    is_current: bool
    groups: tuple[int, ...]
    changes: tuple[Change, ...]


class History(Document, frozen=True):
    """The revisions of a ModelInfer, newest first."""

    namespace: str
    name: str
    time: datetime
    revisions: tuple[HistoryEntry, ...]


class RevisionDetail(Document, frozen=True):
    """One revision in full. template: the roles and what else shapes pods, as it is stored."""

    namespace: str
    name: str
    number: int
    revision: str
    created_at: datetime | None
    change_cause: str
    is_current: bool
    groups: tuple[int, ...]
    template: dict[str, Any]


class RevisionDiff(Document, frozen=True):
    """What differs between two revisions."""

    namespace: str
    name: str
    before: str
    after: str
    changes: tuple[Change, ...]


def history_of(snapshot: Snapshot) -> History:
    """Oldest first."""
    found = snapshot.decision
    revisions = sorted(snapshot.observed.revisions, key=lambda revision: revision.number)
    entries = tuple(
        HistoryEntry(
            number=revision.number,
            revision=revision.name,
            created_at=snapshot.made_at_by_revision.get(revision.name),
            change_cause=revision.change_cause,
            is_current=revision.name == found.revisions.update.name,
            groups=tuple(o for o, g in sorted(found.groups.items()) if g.pods and g.revision.name == revision.name),
            changes=changes_between(before, revision) if before is not None else (),
        )
        for before, revision in zip([None, *revisions], revisions, strict=False)
    )
    return History(snapshot.owner.namespace, snapshot.owner.name, snapshot.now, entries)


def detail_of(snapshot: Snapshot, revision: Revision) -> RevisionDetail:
    (entry,) = (one for one in history_of(snapshot).revisions if one.revision == revision.name)
    return RevisionDetail(
        namespace=snapshot.owner.namespace,
        name=snapshot.owner.name,
        number=entry.number,
        revision=entry.revision,
        created_at=entry.created_at,
        change_cause=entry.change_cause,
        is_current=entry.is_current,
        groups=entry.groups,
        template=json.loads(revision.payload),
    )


def changes_between(before: Revision, after: Revision) -> tuple[Change, ...]:
    return revision_changes(json.loads(before.payload), json.loads(after.payload))
