"""The history of a rollout, and the difference of two revisions, as lines of text."""

from collections.abc import Iterator, Sequence

from modelinfer_controller.kubectl.model.humanize import age, clock_time, groups, ordinals
from modelinfer_controller.kubectl.model.rollout_history import History, HistoryEntry, RevisionDetail, RevisionDiff
from modelinfer_controller.kubectl.model.spec_diff import Change
from modelinfer_controller.kubectl.render.columns import Cell, Column, table
from modelinfer_controller.kubectl.render.output import as_yaml
from modelinfer_controller.kubectl.render.plan import change_lines
from modelinfer_controller.kubectl.render.terminal import Terminal, Tone

NARROW = 60


def history_lines(history: History, terminal: Terminal) -> list[str]:
    if not history.revisions:
        return ["no revisions yet"]
    if _is_narrow(history, terminal):
        return [line for entry in history.revisions for line in _list_lines(entry, history, terminal)]
    columns = (
        Column("", shortest=1),
        Column("NUMBER", right=True),
        Column("REVISION", shortest=10),
        Column("AGE", rank=1, right=True),
        Column("GROUPS", rank=2),
        Column("CHANGE-CAUSE", shortest=6, wraps=True),
        Column("DIFFERS IN", shortest=9, wraps=True),
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


def _is_narrow(history: History, terminal: Terminal) -> bool:
    """Whether a table would cut the revisions' names, at whose end their hashes are."""
    longest = max(len(entry.revision) for entry in history.revisions)
    return terminal.width is not None and (terminal.width < NARROW or longest > terminal.width // 3)


def _list_lines(entry: HistoryEntry, history: History, terminal: Terminal) -> Iterator[str]:
    """A revision as a few lines, where there is no room for columns."""
    mark = "*" if entry.is_current else " "
    since = age(entry.created_at, history.time)
    head, *rest = terminal.wrap(f"{entry.number}  {entry.revision}  {since}", indent=2)
    yield terminal.paint(f"{mark} {head}", Tone.GOOD if entry.is_current else Tone.PLAIN)
    held = groups(entry.groups) if entry.groups else ""
    for text in (*rest, held, entry.change_cause, _in_short(entry.changes)):
        if text:
            yield from (f"     {line}" for line in terminal.wrap(text, indent=5))


def _in_short(changes: Sequence[Change]) -> str:
    """The field of each path, with what it became where that is short, and the roles that share it."""
    roles: dict[str, dict[str, None]] = {}
    for change in changes:
        roles.setdefault(_short(change), {})[change.role] = None
    return ", ".join(f"{text} ({', '.join(names)})" if any(names) else text for text, names in roles.items())


def _short(change: Change) -> str:
    if not change.path:
        return "role added" if change.before is None else "role removed"
    last = change.field
    value = change.after if isinstance(change.after, str | int) and len(str(change.after)) <= 40 else None
    return last if value is None else f"{last}={value}"


def diff_lines(diff: RevisionDiff, terminal: Terminal) -> Iterator[str]:
    yield from terminal.wrap(terminal.draw(f"{diff.namespace}/{diff.name}: {diff.before} → {diff.after}"))
    yield from change_lines(diff.changes, terminal)
    if not diff.changes:
        yield "  no differences"


def detail_lines(detail: RevisionDetail, terminal: Terminal) -> Iterator[str]:
    current = " (current)" if detail.is_current else ""
    yield terminal.paint(f"{detail.namespace}/{detail.name} revision {detail.number}{current}", Tone.STRONG)
    for label, value in (
        ("name", detail.revision),
        ("created", detail.created_at and clock_time(detail.created_at)),
        ("change-cause", detail.change_cause),
        ("groups", ordinals(detail.groups)),
    ):
        if value:
            yield f"  {label:<14}{terminal.draw(value)}"
    yield ""
    yield from as_yaml(detail.template).splitlines()
