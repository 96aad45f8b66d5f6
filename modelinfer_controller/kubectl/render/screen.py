"""Drawing at every change: on a terminal in a screen of its own that scrolls, elsewhere one drawing after the other."""

import asyncio
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta

from modelinfer_controller.kubectl.model.humanize import span
from modelinfer_controller.kubectl.render.output import say
from modelinfer_controller.kubectl.render.terminal import Terminal, Tone

HOME, CLEAR_LINE, CLEAR_BELOW = "\x1b[H", "\x1b[K", "\x1b[J"
OWN_SCREEN, OLD_SCREEN = "\x1b[?1049h\x1b[?25l", "\x1b[?25h\x1b[?1049l"
KEYS = {
    "k": -1, "\x1b[A": -1, "j": 1, "\x1b[B": 1, "b": -10, "\x1b[5~": -10, " ": 10, "\x1b[6~": 10,
    "g": -(10**6), "\x1b[H": -(10**6), "G": 10**6, "\x1b[F": 10**6,
}  # fmt: skip


SILENT = 3.0  # seconds, from which on it is worth a line


def silence_lines(seconds: float, terminal: Terminal) -> list[str]:
    """Above what is shown: that the API server is not heard of, so that nobody takes old news for new."""
    if seconds < SILENT:
        return []
    text = f"the API server has not answered for {span(timedelta(seconds=seconds))}: this is the last that it said"
    return [terminal.paint(line, Tone.BAD) for line in terminal.wrap(text)]


class Screen:
    """What is shown last stays on the terminal when it ends. changed is set by a key that moves the view."""

    def __init__(self, terminal: Callable[[], Terminal], *, is_terminal: bool) -> None:
        self._terminal = terminal
        self._is_terminal = is_terminal
        self._last: Sequence[str] = ()
        self._top = 0
        self.changed = asyncio.Event()
        self.is_ended = False

    @property
    def room(self) -> int | None:
        """How many lines are seen at once; None where everything is."""
        return self._terminal().height - 1 if self._is_terminal else None

    def show(self, lines: Sequence[str]) -> None:
        """Draws the lines, or those of them that the view stands on."""
        if self._is_terminal:
            view = self._view(lines)
            say(HOME + "".join(f"{line}{CLEAR_LINE}\n" for line in view) + CLEAR_BELOW)
        elif lines != self._last:
            say(("\n" if self._last else "") + "\n".join(lines) + "\n")
        self._last = list(lines)

    @contextmanager
    def open(self) -> Iterator[None]:
        """Takes the terminal and gives it back, with the last picture left on it."""
        if not self._is_terminal:
            yield
            return
        say(OWN_SCREEN)
        try:
            with self._keys():
                yield
        finally:
            say(OLD_SCREEN + "".join(f"{line}\n" for line in self._last))

    def _view(self, lines: Sequence[str]) -> Sequence[str]:
        room = self.room or len(lines)
        if len(lines) <= room:
            self._top = 0
            return lines
        room -= 1  # the last line says where the view is
        self._top = max(min(self._top, len(lines) - room), 0)
        position = f"lines {self._top + 1}-{self._top + room} of {len(lines)}: ↑ ↓ space b scroll, q ends"
        terminal = self._terminal()
        last = terminal.paint(terminal.draw(terminal.cut(position, terminal.width or len(position))), Tone.FAINT)
        return [*lines[self._top : self._top + room], last]

    @contextmanager
    def _keys(self) -> Iterator[None]:
        """Single keys, where there is a keyboard."""
        if not sys.stdin.isatty():
            yield
            return
        import termios
        import tty

        descriptor, loop = sys.stdin.fileno(), asyncio.get_running_loop()
        before = termios.tcgetattr(descriptor)
        tty.setcbreak(descriptor)
        loop.add_reader(descriptor, self._read_key, descriptor)
        try:
            yield
        finally:
            loop.remove_reader(descriptor)
            termios.tcsetattr(descriptor, termios.TCSADRAIN, before)

    def _read_key(self, descriptor: int) -> None:
        self.press(os.read(descriptor, 16).decode(errors="replace"))

    def press(self, key: str) -> None:
        if key == "q":
            self.is_ended = True
        self._top = max(self._top + KEYS.get(key, 0), 0)
        self.changed.set()
