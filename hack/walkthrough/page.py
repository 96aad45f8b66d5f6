"""A page with console blocks: each line that begins with "$ " is a command, and what follows is what it printed.

A block below the comment VARIES prints something else each time: who checks the page looks at nothing but its success.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass

VARIES = "<!-- its output differs each time -->"
_OPEN, _CLOSE, _PROMPT = "```console", "```", "$ "


@dataclass(frozen=True)
class Step:
    """A command, what the page says it printed, and the heading that it stands below."""

    command: str
    output: tuple[str, ...]
    heading: str
    varies: bool


@dataclass(frozen=True)
class Page:
    """The page's lines, with its steps in their places."""

    parts: tuple[str | Step, ...]

    @property
    def steps(self) -> list[Step]:
        return [part for part in self.parts if isinstance(part, Step)]

    def with_outputs(self, output_of: Callable[[Step], tuple[str, ...]]) -> Page:
        """The same page with other outputs; asked for them in the order of the steps."""
        return Page(
            tuple(
                dataclasses.replace(part, output=output_of(part)) if isinstance(part, Step) else part
                for part in self.parts
            )
        )

    def __str__(self) -> str:
        lines: list[str] = []
        for part in self.parts:
            lines += [_PROMPT + part.command, *part.output] if isinstance(part, Step) else [part]
        return "\n".join(lines) + "\n"


def parse_page(text: str) -> Page:
    """`str()` of the result gives the text again."""
    parts: list[str | Step] = []
    heading, is_console, varies = "", False, False
    for line in text.splitlines():
        if is_console and line.startswith(_PROMPT):
            parts.append(Step(line.removeprefix(_PROMPT), (), heading, varies))
            continue
        if is_console and line != _CLOSE and isinstance(step := parts[-1], Step):
            parts[-1] = dataclasses.replace(step, output=(*step.output, line))
            continue
        if line.startswith("## "):
            heading = line.removeprefix("## ")
        if line == _OPEN:
            is_console, varies = True, parts[-1:] == [VARIES]
        elif line == _CLOSE:
            is_console = False
        parts.append(line)
    return Page(tuple(parts))
