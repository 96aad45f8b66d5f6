"""Tables that are never wider than the terminal: columns go, names are cut, and reasons move to a line of their own."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from modelinfer_controller.kubectl.render.terminal import Terminal, Tone
from modelinfer_controller.kubectl.render.text import cut, display_width, visible, wrapped

GAP = "  "
READABLE = 24  # columns of text that is broken into lines


@dataclass(frozen=True, slots=True)
class Cell:
    """A text of a table, and how it looks."""

    text: str = ""
    tone: Tone = Tone.PLAIN


@dataclass(frozen=True, slots=True)
class Column:
    """rank: columns of a higher rank are the first to go where there is no room; those of rank 0 stay.

    shortest: to how many characters a column of rank 0 may be cut. wraps: its text is broken into lines instead, and
    none of it is left out; where not even `shortest` has room, the text stands on a line below.
    """

    title: str
    rank: int = 0
    right: bool = False
    shortest: int = 8
    wraps: bool = False


def table(columns: Sequence[Column], rows: Sequence[Sequence[Cell]], terminal: Terminal) -> list[str]:
    """The lines of a table; columns in which nothing stands are left out."""
    rows = [list(map(_readable, row)) for row in rows]
    used = [i for i, column in enumerate(columns) if _is_always(column) or any(row[i].text for row in rows)]
    widths = {i: max([display_width(columns[i].title), *(display_width(row[i].text) for row in rows)]) for i in used}
    shown = _fitting(columns, widths, terminal.width)
    heads = [Cell(column.title, Tone.FAINT) for column in columns]
    return [line for row in (heads, *rows) for line in _lines(row, columns, shown, terminal)]


def _readable(cell: Cell) -> Cell:
    return cell if cell.text.isprintable() else replace(cell, text=visible(cell.text))


def _is_always(column: Column) -> bool:
    return column.rank == 0 and not column.wraps


def _fitting(columns: Sequence[Column], widths: dict[int, int], width: int | None) -> dict[int, int]:
    """The columns that are shown, in order, with their widths."""
    if width is None:
        return widths
    shown = dict(widths)
    for i in sorted(widths, key=lambda i: -columns[i].rank):
        if _total(_wrapped(columns, shown)) <= width or columns[i].rank == 0:
            break
        del shown[i]
    for may_shrink in (_wraps, _is_cut):
        excess = _total(shown) - width
        for i in sorted(shown, key=lambda i: -shown[i]):
            if excess > 0 and may_shrink(columns[i]):
                less = min(excess, max(shown[i] - columns[i].shortest, 0))
                shown[i] -= less
                excess -= less
    return shown


def _wrapped(columns: Sequence[Column], widths: dict[int, int]) -> dict[int, int]:
    """The widths with what wraps as narrow as it can still be read."""
    return {
        i: min(width, max(columns[i].shortest, READABLE)) if columns[i].wraps else width for i, width in widths.items()
    }


def _wraps(column: Column) -> bool:
    return column.wraps


def _is_cut(column: Column) -> bool:
    return not column.wraps and column.rank == 0


def _total(widths: dict[int, int]) -> int:
    return sum(widths.values()) + len(GAP) * (len(widths) - 1)


def _lines(row: Sequence[Cell], columns: Sequence[Column], widths: dict[int, int], terminal: Terminal) -> Iterator[str]:
    """The row, and below it what of its wrapping cells had no room beside the others."""
    beside: list[Cell] = list(row)
    below: list[list[tuple[int, Cell]]] = []
    for i, width in widths.items():
        if columns[i].wraps and display_width(row[i].text) > width:
            pieces = wrapped(row[i].text, width, breaks_words=False)
            if max(map(display_width, pieces)) > width:  # one word is longer than the column
                if terminal.width is None or display_width(row[i].text) <= terminal.width:
                    beside[i] = Cell("", row[i].tone)
                    below.append([(i, row[i])])
                    continue
                pieces = wrapped(row[i].text, width)
            beside[i] = Cell(pieces[0], row[i].tone)
            for at, piece in enumerate(pieces[1:]):
                below.extend([] for _ in range(at + 1 - len(below)))
                below[at].append((i, Cell(piece, row[i].tone)))
    yield _line(beside, columns, widths, terminal)
    for each in below:
        yield from _continuation(each, widths, terminal)


def _continuation(cells: Sequence[tuple[int, Cell]], widths: dict[int, int], terminal: Terminal) -> Iterator[str]:
    """Text under its column; a word that is longer than the column ends where the terminal does."""
    line, length = "", 0
    for i, cell in cells:
        start = sum(width + len(GAP) for other, width in widths.items() if other < i)
        room = display_width(cell.text)
        start = max(min(start, (terminal.width or start + room) - room), length and length + 1)
        text = cell.text if terminal.width is None else cut(cell.text, terminal.width)
        line += " " * (max(start, 0) - length) + terminal.paint(terminal.draw(text), cell.tone)
        length = max(start, 0) + display_width(text)
    yield line


def _line(row: Sequence[Cell], columns: Sequence[Column], widths: dict[int, int], terminal: Terminal) -> str:
    last = max(widths)
    parts = []
    for i, width in widths.items():
        text = terminal.draw(terminal.cut(row[i].text, width))
        padding = " " * (width - display_width(text))
        painted = terminal.paint(text, row[i].tone)
        parts.append(padding + painted if columns[i].right else painted + ("" if i == last else padding))
    return GAP.join(parts).rstrip()
