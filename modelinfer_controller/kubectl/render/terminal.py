"""What the output can show: how wide it is, whether it has colours, and which lines it can draw."""

import os
import shutil
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TextIO

from modelinfer_controller.kubectl.render.text import cut, visible, wrapped


class Tone(StrEnum):
    """What a piece of text means; the value is the SGR parameter that shows it."""

    PLAIN = ""
    GOOD = "32"
    BUSY = "33"
    BAD = "31"
    FAINT = "2"
    STRONG = "1"


@dataclass(frozen=True, slots=True)
class Terminal:
    """width None: nothing is cut. height counts where is_paged: on a terminal, or where LINES is set."""

    width: int | None = None
    height: int = 24
    is_paged: bool = False
    has_colours: bool = False
    has_unicode: bool = True

    @property
    def room(self) -> int | None:
        """How many lines are seen at once beside the next prompt; None where everything is."""
        return self.height - 2 if self.is_paged else None

    def unlimited(self) -> "Terminal":
        """The same, with nothing cut: what -o wide asks for."""
        return replace(self, width=None, is_paged=False)

    def paint(self, text: str, tone: Tone) -> str:
        return f"\x1b[{tone.value}m{text}\x1b[0m" if self.has_colours and tone is not Tone.PLAIN and text else text

    def draw(self, text: str) -> str:
        """Lines, arrows and the ellipsis in ASCII where the output has no others."""
        shown = visible(text)
        return shown if self.has_unicode else shown.translate(_ASCII)

    def wrap(self, text: str, indent: int = 0) -> list[str]:
        """The text in lines that fit beside so many columns; a word that is too long is broken."""
        if self.width is None:
            return [visible(text)]
        return wrapped(visible(text), max(self.width - indent, 10)) or [""]

    def headline(self, name: str, text: str, tone: Tone) -> Iterator[str]:
        """name: text, in as many lines as it takes."""
        for at, line in enumerate(self.wrap(f"{name}: {text}")):
            if at == 0 and line.startswith(f"{name}:"):
                yield f"{self.paint(name, Tone.STRONG)}:{self.paint(line.removeprefix(f'{name}:'), tone)}"
            else:
                yield self.paint(line, tone)

    def cut(self, text: str, width: int) -> str:
        return cut(visible(text), width)


_ASCII = str.maketrans("├└│─…→█░·↑↓", "|`|-~>#.-^v")


def terminal_of(stream: TextIO | None = None, environ: Mapping[str, str] = os.environ) -> Terminal:
    """COLUMNS wins over what the terminal says; NO_COLOR and TERM=dumb take the colours away."""
    stream = stream or sys.stdout
    is_terminal = stream.isatty()
    columns = environ.get("COLUMNS", "")
    size = shutil.get_terminal_size((80, 24))
    return Terminal(
        width=int(columns) if columns.isdecimal() and int(columns) > 0 else size.columns if is_terminal else None,
        height=size.lines,
        is_paged=is_terminal or environ.get("LINES", "").isdecimal(),
        has_colours=is_terminal and not environ.get("NO_COLOR") and environ.get("TERM") != "dumb",
        has_unicode="utf" in (stream.encoding or "").lower(),
    )
