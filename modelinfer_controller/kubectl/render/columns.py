"""Tables whose columns come and go with the width that there is."""

from collections.abc import Sequence
from dataclasses import dataclass

from modelinfer_controller.kubectl.render.terminal import Terminal, Tone

GAP = "  "


@dataclass(frozen=True, slots=True)
class Cell:
    text: str = ""
    tone: Tone = Tone.PLAIN


@dataclass(frozen=True, slots=True)
class Column:
    """rank: columns of a higher rank are the first to go where there is no room; those of rank 0 stay. shortest: to how
    many characters a column of rank 0 may be cut."""

    title: str
    rank: int = 0
    right: bool = False
    shortest: int = 8


def table(columns: Sequence[Column], rows: Sequence[Sequence[Cell]], terminal: Terminal) -> list[str]:
    """The lines of a table; columns in which nothing stands are left out."""
    used = [i for i, column in enumerate(columns) if column.rank == 0 or any(row[i].text for row in rows)]
    widths = {i: max([len(columns[i].title), *(len(row[i].text) for row in rows)]) for i in used}
    shown = _fitting(columns, widths, terminal.width)
    heads = [Cell(column.title, Tone.FAINT) for column in columns]
    return [_line(row, columns, shown, terminal) for row in (heads, *rows)]


def _fitting(columns: Sequence[Column], widths: dict[int, int], width: int | None) -> dict[int, int]:
    """The columns that are shown, in order, with their widths."""
    if width is None:
        return widths
    shown = dict(widths)
    for i in sorted(widths, key=lambda i: -columns[i].rank):
        if _total(shown) <= width or columns[i].rank == 0:
            break
        del shown[i]
    excess = _total(shown) - width
    for i in sorted(shown, key=lambda i: -shown[i]):
        if excess > 0 and columns[i].rank == 0:
            less = min(excess, max(shown[i] - columns[i].shortest, 0))
            shown[i] -= less
            excess -= less
    return shown


def _total(widths: dict[int, int]) -> int:
    return sum(widths.values()) + len(GAP) * (len(widths) - 1)


def _line(row: Sequence[Cell], columns: Sequence[Column], widths: dict[int, int], terminal: Terminal) -> str:
    last = max(widths)
    parts = []
    for i, width in widths.items():
        text = terminal.draw(terminal.cut(row[i].text, width))
        padding = " " * (width - len(text))
        painted = terminal.paint(text, row[i].tone)
        parts.append(padding + painted if columns[i].right else painted + ("" if i == last else padding))
    return GAP.join(parts).rstrip()
