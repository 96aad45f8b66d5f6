"""One shell for all commands of a page: its variables and its background processes live as long as it does."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import uuid
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

_TIME_LIMIT = 240.0


class CommandFailed(Exception):
    """A command of the page ended with an error, or did not end."""


class Shell:
    """A context manager: everything that was started in the shell ends with it."""

    def __init__(self, folder: Path, environ: Mapping[str, str]) -> None:
        self._process = subprocess.Popen(
            ["bash", "--noprofile", "--norc"],
            cwd=folder,
            env=dict(environ),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def __enter__(self) -> Shell:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._kill()
        with self._process:
            pass

    def run(self, command: str) -> tuple[str, ...]:
        """The lines that a command prints on both streams. Raises CommandFailed, with them, unless it succeeds."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        mark = uuid.uuid4().hex
        timer = threading.Timer(_TIME_LIMIT, self._kill)
        timer.start()
        self._process.stdin.write(f"{command}\nprintf '\\n%s %s\\n' {mark} $?\n")
        self._process.stdin.flush()
        lines: list[str] = []
        for line in self._process.stdout:
            if line.startswith(mark):
                timer.cancel()
                return _successful(command, lines, int(line.split()[1]))
            lines.append(line.rstrip())
        raise CommandFailed(_told(f"took longer than {_TIME_LIMIT:.0f} s", command, lines))

    def _kill(self) -> None:
        """The shell and all that it started: they are one session, and thus one process group."""
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)


def _successful(command: str, lines: list[str], code: int) -> tuple[str, ...]:
    while lines and not lines[-1]:
        lines.pop()
    if code != 0:
        raise CommandFailed(_told(f"failed with {code}", command, lines))
    return tuple(lines)


def _told(what: str, command: str, lines: list[str]) -> str:
    return "\n".join([f"this {what}: {command}", *lines])
