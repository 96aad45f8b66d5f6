"""What the output can show: how wide it is, whether it has colours, and which lines it can draw."""

import os
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TextIO


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
    """width None: not a terminal, nothing is cut. Height is of use for redrawing alone."""

    width: int | None = None
    height: int = 24
    has_colours: bool = False
    has_unicode: bool = True

    def unlimited(self) -> "Terminal":
        """The same, with nothing cut: what -o wide asks for."""
        return replace(self, width=None)

    def paint(self, text: str, tone: Tone) -> str:
        return f"\x1b[{tone.value}m{text}\x1b[0m" if self.has_colours and tone is not Tone.PLAIN and text else text

    def draw(self, text: str) -> str:
        """Lines, arrows and the ellipsis in ASCII where the output has no others."""
        return text if self.has_unicode else text.translate(_ASCII)

    def cut(self, text: str, width: int) -> str:
        return text if len(text) <= width else text[: max(width - 1, 0)] + "…"


_ASCII = str.maketrans({"├": "|", "└": "`", "│": "|", "─": "-", "…": "~", "→": ">", "█": "#", "░": ".", "·": "-"})


def terminal_of(stream: TextIO = sys.stdout, environ: Mapping[str, str] = os.environ) -> Terminal:
    """COLUMNS wins over what the terminal says; NO_COLOR and TERM=dumb take the colours away."""
    is_terminal = stream.isatty()
    columns = environ.get("COLUMNS", "")
    size = shutil.get_terminal_size((80, 24))
    return Terminal(
        width=int(columns) if columns.isdecimal() and int(columns) > 0 else size.columns if is_terminal else None,
        height=size.lines,
        has_colours=is_terminal and not environ.get("NO_COLOR") and environ.get("TERM") != "dumb",
        has_unicode="utf" in (stream.encoding or "").lower(),
    )
