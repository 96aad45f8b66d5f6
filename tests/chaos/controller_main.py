"""The controller as a process whose wall clock can be set, and that says how many tasks it has.

    python controller_main.py CLOCK_FILE TASKS_FILE run ...

CLOCK_FILE holds the seconds by which the clock is wrong. At SIGUSR1 the names of all tasks go to TASKS_FILE.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path


def _use_clock(file: Path) -> None:
    from modelinfer_controller.kube import clock

    def now(self: clock.SystemClock) -> datetime:
        return datetime.now(UTC) + timedelta(seconds=float(file.read_text() or 0))

    clock.SystemClock.now = now  # type: ignore[method-assign] # of this process alone, whose clock is to be wrong


def _list_tasks_at_signal(file: Path) -> None:
    def at_signal(*_: object) -> None:
        with contextlib.suppress(RuntimeError):  # no loop yet
            write()

    def write() -> None:
        aside = file.with_suffix(".new")
        aside.write_text("\n".join(sorted(task.get_name() for task in asyncio.all_tasks())))
        os.replace(aside, file)

    signal.signal(signal.SIGUSR1, at_signal)


if __name__ == "__main__":
    _list_tasks_at_signal(Path(sys.argv[2]))
    _use_clock(Path(sys.argv[1]))
    del sys.argv[1:3]

    from modelinfer_controller.cli import main

    main()
