"""Drawing: in place on a terminal, line by line elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from types import TracebackType
from typing import Protocol

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.text import Text

from demo.layout import fitted_lines
from modelinfer_controller.kubectl.model.tree import Tree
from modelinfer_controller.kubectl.render.terminal import terminal_of
from modelinfer_controller.kubectl.render.tree import tree_lines

# Synchronized output: a terminal that knows it shows what stands in between at once, any other ignores it.
_BEGIN, _END = "\x1b[?2026h", "\x1b[?2026l"
_MARGIN = 3  # lines below the tree: an empty one, the caption, and the cursor's


class Screen(Protocol):
    """Use it as a context: afterwards the terminal is as it was."""

    def __enter__(self) -> Screen: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def tell(self, line: RenderableType) -> None:
        """Something that stays."""

    def draw(self, tree: Tree, caption: str) -> None:
        """The tree as it is now, and what is going on."""

    def keep(self, tree: Tree) -> None:
        """The tree as it stays, at the end of a step."""


def screen_of(console: Console) -> Screen:
    return LiveScreen(console) if console.is_terminal and not console.is_dumb_terminal else PlainScreen(console)


class PlainScreen:
    """Each line once, and the tree only as each step leaves it."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def __enter__(self) -> PlainScreen:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def tell(self, line: RenderableType) -> None:
        self._console.print(line, soft_wrap=True)

    def draw(self, tree: Tree, caption: str) -> None: ...

    def keep(self, tree: Tree) -> None:
        for line in ["", *tree_lines(tree, terminal_of(sys.stdout)), ""]:
            self._console.print(Text(line), soft_wrap=True)


class LiveScreen:
    """What is told goes up; the tree stays below it, and is drawn again only where it has changed."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live = Live(
            console=console, auto_refresh=False, vertical_overflow="crop", redirect_stdout=False, redirect_stderr=False
        )
        self._before: Sequence[str] = ()

    def __enter__(self) -> LiveScreen:
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()

    def tell(self, line: RenderableType) -> None:
        self._console.print(line)

    def draw(self, tree: Tree, caption: str) -> None:
        terminal = terminal_of(sys.stdout)
        lines = ["", *fitted_lines(tree, terminal, terminal.height - _MARGIN - 1), "", caption]
        if lines != self._before:
            self._console.file.write(_BEGIN)
            self._live.update(_block(lines), refresh=True)
            self._console.file.write(_END)
            self._console.file.flush()
            self._before = lines

    def keep(self, tree: Tree) -> None: ...


def _block(lines: Sequence[str]) -> RenderableType:
    return Group(*(Text.from_ansi(line, no_wrap=True, overflow="ellipsis") for line in lines))
