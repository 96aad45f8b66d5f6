"""The timeline of a ModelInfer as lines of text, and as a picture."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from xml.sax.saxutils import escape

from modelinfer_controller.kubectl.model.event_timeline import EventTimeline, TimelineEvent
from modelinfer_controller.kubectl.model.humanize import clock_time, span
from modelinfer_controller.kubectl.render.columns import Cell, Column, table
from modelinfer_controller.kubectl.render.terminal import Terminal, Tone

NARROW = 60
COLUMNS = (
    Column("TIME", shortest=9),
    Column("ABOUT", rank=1),
    Column("REASON", shortest=10, wraps=True),
    Column("MESSAGE", shortest=14, wraps=True),
)


def timeline_lines(timeline: EventTimeline, terminal: Terminal) -> list[str]:
    if not timeline.items:
        return ["nothing is known of it yet"]
    is_narrow = terminal.width is not None and terminal.width < 100
    rows = [_row(alike, timeline, is_narrow) for alike in _folded(timeline.items)]
    if terminal.width is not None and terminal.width < NARROW:
        return [line for row in rows for line in _list_lines(row, terminal)]
    return table(COLUMNS, rows, terminal)


def _list_lines(row: tuple[Cell, ...], terminal: Terminal) -> Iterator[str]:
    """An event as two lines or more, where there is no room for columns."""
    time, about, reason, message = row
    for line in terminal.wrap(f"{time.text}  {reason.text}"):
        yield terminal.paint(line, reason.tone)
    yield from (f"  {line}" for line in terminal.wrap(f"{about.text}: {message.text}", indent=2))


def _folded(items: Iterable[TimelineEvent]) -> list[list[TimelineEvent]]:
    """What happened to pods of one group within the same second, and is the same, stands in one line."""
    found: dict[object, list[TimelineEvent]] = {}
    for at, item in enumerate(items):
        is_alike = item.source == "pod" and item.kind == "Normal"
        key = (clock_time(item.time), item.reason, item.group) if is_alike else at
        found.setdefault(key, []).append(item)
    return list(found.values())


def _row(alike: Sequence[TimelineEvent], timeline: EventTimeline, is_narrow: bool) -> tuple[Cell, ...]:
    """On a narrow terminal times are ages, and pods go without the ModelInfer's name."""
    item = alike[0]
    tone = Tone.BUSY if item.kind == "Warning" else Tone.PLAIN
    time = f"{span(timeline.time - item.time)} ago" if is_narrow else clock_time(item.time)
    about = item.about.removeprefix(f"{timeline.name}-") if is_narrow else item.about
    if len(alike) > 1:
        about = f"group {item.group}, {len(alike)} pods"
    return Cell(time, Tone.FAINT), Cell(about), Cell(item.reason, tone), Cell(_message(alike))


def _message(alike: Sequence[TimelineEvent]) -> str:
    messages = list(dict.fromkeys(item.message for item in alike))
    if len(messages) > 1:
        starts = list(dict.fromkeys(message.rpartition(" ")[0] for message in messages))
        ends = ", ".join(message.rpartition(" ")[2] for message in messages)
        return f"{starts[0]} {ends}" if len(starts) == 1 else "; ".join(messages)
    often = f" (x{alike[0].count})" if alike[0].count > 1 else ""
    return f"{messages[0]}{often}"


LEFT, TOP, WIDTH, ROW = 110, 50, 900, 22
COLOURS = {"Warning": "#c94c4c", "Ready": "#2e8b57", "RevisionCreated": "#7fa8d9"}
INK, FAINT, PLAIN = "#24292f", "#d0d7de", "#8c959f"


def timeline_plot(timeline: EventTimeline) -> str:
    """SVG: a row for the ModelInfer and for each group, a dot for each event, its words on hovering."""
    groups = sorted({item.group for item in timeline.items if item.group is not None})
    rows: list[int | None] = [None, *groups]
    height = TOP + ROW * len(rows) + 60
    parts = [*_axis(timeline, len(rows)), *_rows(timeline, rows), *_legend(height)]
    size = f'width="{LEFT + WIDTH + 40}" height="{height}" viewBox="0 0 {LEFT + WIDTH + 40} {height}"'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="sans-serif" font-size="12">'
    title = _text(LEFT, 20, f"{timeline.namespace}/{timeline.name}, up to {clock_time(timeline.time)}")
    return "\n".join([head, '<rect width="100%" height="100%" fill="white"/>', title, *parts, "</svg>", ""])


def _text(x: float, y: float, text: str, anchor: str = "start") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{INK}">{escape(text)}</text>'


def _x(timeline: EventTimeline, moment: datetime) -> float:
    begin = timeline.items[0].time if timeline.items else timeline.time
    whole = max((timeline.time - begin).total_seconds(), 1.0)
    return LEFT + WIDTH * min(max((moment - begin).total_seconds() / whole, 0.0), 1.0)


def _axis(timeline: EventTimeline, rows: int) -> Iterator[str]:
    begin = timeline.items[0].time if timeline.items else timeline.time
    bottom = TOP + ROW * rows
    for tick in range(6):
        moment = begin + (timeline.time - begin) * tick / 5
        x = _x(timeline, moment)
        yield f'<line x1="{x:.1f}" y1="{TOP - 8}" x2="{x:.1f}" y2="{bottom}" stroke="{FAINT}"/>'
        ago = timeline.time - moment
        yield _text(x, bottom + 16, "now" if ago < timedelta(seconds=1) else f"{span(ago)} ago", "middle")


def _rows(timeline: EventTimeline, rows: list[int | None]) -> Iterator[str]:
    for at, group in enumerate(rows):
        y = TOP + ROW * at + ROW / 2
        yield _text(LEFT - 12, y + 4, timeline.name if group is None else f"group {group}", "end")
        yield f'<line x1="{LEFT}" y1="{y}" x2="{LEFT + WIDTH}" y2="{y}" stroke="{FAINT}"/>'
        for item in (one for one in timeline.items if one.group == group):
            words = escape(f"{clock_time(item.time)} {item.about} {item.reason}: {item.message}")
            dot = f'cx="{_x(timeline, item.time):.1f}" cy="{y}" r="5" fill="{_colour(item)}"'
            yield f"<circle {dot}><title>{words}</title></circle>"


def _colour(item: TimelineEvent) -> str:
    return COLOURS["Warning"] if item.kind == "Warning" else COLOURS.get(item.reason, PLAIN)


def _legend(height: int) -> Iterator[str]:
    named = (("warning", COLOURS["Warning"]), ("ready", COLOURS["Ready"]),
             ("revision", COLOURS["RevisionCreated"]), ("other", PLAIN))  # fmt: skip
    for at, (text, colour) in enumerate(named):
        x = LEFT + 110 * at
        yield f'<circle cx="{x}" cy="{height - 16}" r="5" fill="{colour}"/>'
        yield _text(x + 12, height - 12, text)
