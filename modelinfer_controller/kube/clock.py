"""Time as an argument: the composition root passes the real clocks, tests and the simulator virtual ones.

Sleeping is not here: code awaits `asyncio.sleep`, and virtual time is a property of the event loop it runs on. So is
the monotonic clock, `asyncio.get_running_loop().time()`.
"""

from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """The wall clock."""

    def now(self) -> datetime:
        """Wall-clock time, aware, in UTC."""


class SystemClock:
    """The machine's."""

    def now(self) -> datetime:
        return datetime.now(UTC)
