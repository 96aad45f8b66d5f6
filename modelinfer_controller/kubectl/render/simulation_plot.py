"""The timeline of a simulation as a picture: a row for each group, coloured by state, and the available ones below."""

from collections.abc import Iterator
from datetime import timedelta
from xml.sax.saxutils import escape

from modelinfer_controller.kubectl.model.humanize import span
from modelinfer_controller.kubectl.model.simulation import ABSENT, AVAILABLE, Timeline

LEFT, TOP, WIDTH, ROW, GRAPH, LEGEND = 80, 40, 860, 22, 110, 200
OLD, NEW, BUSY, BAD, INK, FAINT = "#7fa8d9", "#2e8b57", "#e3b341", "#c94c4c", "#24292f", "#d0d7de"
PASSING = {"Replacing", "Removing", "Draining", "CreatingPods", "WaitingForTermination", "Scheduling", "PodsNotReady"}


def plot(timeline: Timeline) -> str:
    """SVG. The newest revision's groups are green, those of others blue; busy ones amber, troubled ones red."""
    ordinals = sorted({ordinal for sample in timeline.samples for ordinal in sample.groups})
    height = TOP + ROW * len(ordinals) + 30 + GRAPH + 60
    parts = [*_frame(timeline, ordinals), *_rows(timeline, ordinals), *_availability(timeline, ordinals), *_legend()]
    size = f'width="{LEFT + WIDTH + LEGEND}" height="{height}"'
    style = 'font-family="sans-serif" font-size="12"'
    body = "\n".join(parts)
    background = '<rect width="100%" height="100%" fill="white"/>'
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size} {style}>\n{background}\n{body}\n</svg>\n'


def _end(timeline: Timeline) -> timedelta:
    last = max([timeline.ended_at, *(at for at, _, _ in timeline.marks)])
    return max(last * 1.03, timedelta(seconds=1))


def _x(timeline: Timeline, at: timedelta) -> float:
    return LEFT + WIDTH * min(at / _end(timeline), 1.0)


def _text(x: float, y: float, text: str, *, anchor: str = "start", fill: str = INK) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{fill}">{escape(text)}</text>'


def _frame(timeline: Timeline, ordinals: list[int]) -> Iterator[str]:
    bottom = TOP + ROW * len(ordinals) + 30 + GRAPH
    for tick in range(7):
        at = _end(timeline) * tick / 6
        x = _x(timeline, at)
        yield f'<line x1="{x:.1f}" y1="{TOP}" x2="{x:.1f}" y2="{bottom}" stroke="{FAINT}"/>'
        yield _text(x, bottom + 18, span(at), anchor="middle")
    for at, text, _ in timeline.marks:
        x = _x(timeline, at)
        yield f'<line x1="{x:.1f}" y1="{TOP - 6}" x2="{x:.1f}" y2="{bottom}" stroke="{INK}" stroke-dasharray="3 3"/>'
        yield _text(x + 3, TOP - 10, text)


def _rows(timeline: Timeline, ordinals: list[int]) -> Iterator[str]:
    for row, ordinal in enumerate(ordinals):
        y = TOP + ROW * row
        yield _text(LEFT - 8, y + 15, f"group {ordinal}", anchor="end")
        for (state, revision), start, end in _spells(timeline, ordinal):
            x = _x(timeline, start)
            box = f'x="{x:.1f}" y="{y + 2}" width="{max(_x(timeline, end) - x, 0.5):.1f}" height="{ROW - 4}"'
            title = f"<title>{escape(f'group {ordinal}: {state} at {revision}')}</title>"
            yield f'<rect {box} fill="{_colour(state, revision == _newest(timeline))}">{title}</rect>'


def _newest(timeline: Timeline) -> str:
    return next((revision for _, revision in timeline.samples[-1].groups.values()), "")


def _spells(timeline: Timeline, ordinal: int) -> Iterator[tuple[tuple[str, str], timedelta, timedelta]]:
    """Each state of a group while there are pods of it, with its beginning and end."""
    states = [(sample.groups.get(ordinal, (ABSENT, "")), sample.at) for sample in timeline.samples]
    begun = [each for at, each in enumerate(states) if at == 0 or states[at - 1][0] != each[0]]
    for (state, start), (_, end) in zip(begun, [*begun[1:], (None, _end(timeline))], strict=True):
        if state[0] != ABSENT and end > start:
            yield state, start, end


def _colour(state: str, is_newest: bool) -> str:
    if state == AVAILABLE:
        return NEW if is_newest else OLD
    return BUSY if state in PASSING else BAD


def _availability(timeline: Timeline, ordinals: list[int]) -> Iterator[str]:
    top = TOP + ROW * len(ordinals) + 30
    most = max([timeline.replicas, *(sample.available for sample in timeline.samples)]) or 1
    points: list[str] = []
    level = 0
    for sample in timeline.samples:
        x = _x(timeline, sample.at)
        points += [f"{x:.1f},{top + GRAPH * (1 - each / most):.1f}" for each in (level, sample.available)]
        level = sample.available
    points.append(f"{_x(timeline, _end(timeline)):.1f},{top + GRAPH * (1 - level / most):.1f}")
    wanted = top + GRAPH * (1 - timeline.replicas / most)
    across = f'x1="{LEFT}" x2="{LEFT + WIDTH}"'
    yield f'<line {across} y1="{wanted:.1f}" y2="{wanted:.1f}" stroke="{OLD}" stroke-dasharray="2 4"/>'
    yield f'<polyline points="{" ".join(points)}" fill="none" stroke="{NEW}" stroke-width="2"/>'
    yield f'<line x1="{LEFT}" y1="{top + GRAPH}" x2="{LEFT + WIDTH}" y2="{top + GRAPH}" stroke="{INK}"/>'
    yield _text(LEFT - 8, top + 8, f"{most} groups", anchor="end")
    yield _text(LEFT - 8, top + GRAPH, "0", anchor="end")
    yield _text(LEFT + WIDTH + 14, top + 12, f"available (lowest {timeline.lowest_available})")


def _legend() -> Iterator[str]:
    named = (
        (NEW, "available, newest revision"),
        (OLD, "available, older revision"),
        (BUSY, "on its way"),
        (BAD, "not well"),
    )
    for at, (colour, text) in enumerate(named):
        y = TOP + 22 * at
        yield f'<rect x="{LEFT + WIDTH + 14}" y="{y}" width="12" height="12" fill="{colour}"/>'
        yield _text(LEFT + WIDTH + 32, y + 11, text)
