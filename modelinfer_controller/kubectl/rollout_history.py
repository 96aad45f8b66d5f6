"""`rollout history` and `rollout diff`: the revisions that are kept, and what differs between them."""

import json
from collections.abc import Iterator, Sequence
from datetime import datetime

from modelinfer_controller.kubectl.columns import Cell, Column, table
from modelinfer_controller.kubectl.difference import Change, revision_changes
from modelinfer_controller.kubectl.forecast_text import change_lines
from modelinfer_controller.kubectl.output import Document
from modelinfer_controller.kubectl.snapshot import Snapshot
from modelinfer_controller.kubectl.terminal import Terminal, Tone
from modelinfer_controller.kubectl.words import age, ordinals
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
    namespace: str
    name: str
    time: datetime
    revisions: tuple[HistoryEntry, ...]


class RevisionDiff(Document, frozen=True):
    namespace: str
    name: str
    before: str
    after: str
    changes: tuple[Change, ...]


def history_of(snapshot: Snapshot) -> History:
    """Oldest first."""
    found = snapshot.assessment
    revisions = sorted(snapshot.observed.revisions, key=lambda revision: revision.number)
    entries = tuple(
        HistoryEntry(
            number=revision.number,
            revision=revision.name,
            created_at=snapshot.made_at_by_revision.get(revision.name),
            change_cause=revision.change_cause,
            is_current=revision.name == found.update.name,
            groups=tuple(o for o, g in sorted(found.groups.items()) if g.pods and g.revision.name == revision.name),
            changes=changes_between(before, revision) if before is not None else (),
        )
        for before, revision in zip([None, *revisions], revisions, strict=False)
    )
    return History(snapshot.owner.namespace, snapshot.owner.name, snapshot.now, entries)


def changes_between(before: Revision, after: Revision) -> tuple[Change, ...]:
    return revision_changes(json.loads(before.payload), json.loads(after.payload))


def history_lines(history: History, terminal: Terminal) -> list[str]:
    if not history.revisions:
        return ["no revisions yet"]
    columns = (
        Column("", shortest=1),
        Column("NUMBER", right=True),
        Column("REVISION", shortest=12),
        Column("AGE", rank=1, right=True),
        Column("GROUPS", rank=2),
        Column("CHANGE-CAUSE", rank=0, shortest=12),
        Column("DIFFERS IN", shortest=16),
    )
    rows = [
        (
            Cell("*" if entry.is_current else "", Tone.GOOD),
            Cell(str(entry.number)),
            Cell(entry.revision),
            Cell(age(entry.created_at, history.time)),
            Cell(ordinals(entry.groups)),
            Cell(entry.change_cause),
            Cell(_in_short(entry.changes)),
        )
        for entry in history.revisions
    ]
    return table(columns, rows, terminal)


def _in_short(changes: Sequence[Change]) -> str:
    """The last word of each path, with what it became where that is short, and the roles that share it."""
    roles: dict[str, dict[str, None]] = {}
    for change in changes:
        roles.setdefault(_short(change), {})[change.role] = None
    return ", ".join(f"{text} ({', '.join(names)})" if any(names) else text for text, names in roles.items())


def _short(change: Change) -> str:
    if not change.path:
        return "role added" if change.before is None else "role removed"
    last = change.path.rpartition(".")[2]
    value = change.after if isinstance(change.after, str | int) and len(str(change.after)) <= 40 else None
    return last if value is None else f"{last}={value}"


def diff_lines(diff: RevisionDiff, terminal: Terminal) -> Iterator[str]:
    yield terminal.draw(f"{diff.namespace}/{diff.name}: {diff.before} → {diff.after}")
    yield from change_lines(diff.changes, terminal)
    if not diff.changes:
        yield "  no differences"
