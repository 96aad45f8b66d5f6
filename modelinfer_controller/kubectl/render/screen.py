"""Drawing in place: the lines that there are now over those that were there before."""

from collections.abc import Sequence

from modelinfer_controller.kubectl.render.output import say
from modelinfer_controller.kubectl.render.terminal import Terminal

HOME, CLEAR_LINE, CLEAR_BELOW = "\x1b[H", "\x1b[K", "\x1b[J"


class Screen:
    """The whole screen of a terminal, drawn from its top; elsewhere each drawing follows the one before."""

    def __init__(self, terminal: Terminal, *, is_terminal: bool) -> None:
        self._terminal = terminal
        self._is_terminal = is_terminal
        self._before: Sequence[str] = ()

    def show(self, lines: Sequence[str]) -> None:
        if lines == self._before:
            return
        if self._is_terminal:
            say(HOME + "".join(f"{line}{CLEAR_LINE}\n" for line in self._cropped(lines)) + CLEAR_BELOW)
        else:
            say(("\n" if self._before else "") + "\n".join(lines) + "\n")
        self._before = list(lines)

    def _cropped(self, lines: Sequence[str]) -> Sequence[str]:
        room = self._terminal.height - 1
        if len(lines) <= room:
            return lines
        return [*lines[: room - 1], self._terminal.draw(f"… {len(lines) - room + 1} more lines")]
