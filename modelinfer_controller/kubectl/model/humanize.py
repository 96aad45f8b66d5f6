"""Times, counts and lists as people read them."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta

MINUTE, HOUR, DAY = 60, 3600, 86400


def age(since: datetime | None, now: datetime) -> str:
    """As kubectl shows ages: 45s, 5m3s, 12m, 3h20m, 14h, 2d5h, 40d."""
    return "" if since is None else span(now - since)


def span(duration: timedelta) -> str:
    """Two units at most, and one where the larger says enough."""
    seconds = max(int(duration.total_seconds()), 0)
    if seconds < 2 * MINUTE:
        return f"{seconds}s"
    for unit, name, below, below_name, limit in (
        (MINUTE, "m", 1, "s", 10 * MINUTE),
        (MINUTE, "m", 0, "", 3 * HOUR),
        (HOUR, "h", MINUTE, "m", 8 * HOUR),
        (HOUR, "h", 0, "", 2 * DAY),
        (DAY, "d", HOUR, "h", 8 * DAY),
    ):
        if seconds < limit:
            rest = seconds % unit // below if below else 0
            return f"{seconds // unit}{name}" + (f"{rest}{below_name}" if rest else "")
    return f"{seconds // DAY}d"


def clock_time(moment: datetime) -> str:
    """RFC 3339 in UTC, to the second: as the API, logs and conditions write it."""
    return f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"


def counted(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"


def listed(parts: Sequence[str]) -> str:
    """a, b and c"""
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}" if parts else ""


def ordinals(numbers: Iterable[int]) -> str:
    """0-3, 5, 7-8"""
    runs: list[list[int]] = []
    for number in sorted(numbers):
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    return ", ".join(f"{run[0]}-{run[-1]}" if len(run) > 1 else str(run[0]) for run in runs)


def groups(numbers: Sequence[int]) -> str:
    """group 3; groups 0-3, 5"""
    return f"group{'' if len(numbers) == 1 else 's'} {ordinals(numbers)}"
