"""How much work something is, counted and not timed: the same on every machine, however busy it is."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType


@dataclass
class Work:
    """calls: of functions of the product, and of what they call in C."""

    calls: int = 0


@contextmanager
def counted(*parts: str) -> Iterator[Work]:
    """Counts what runs inside of the context in these parts of the product, such as "planning", in this thread."""
    folders = tuple(f"/modelinfer_controller/{part}/" for part in parts)
    is_counted: dict[str, bool] = {}
    work = Work()

    def profile(frame: FrameType, event: str, argument: object) -> None:
        if event not in ("call", "c_call"):
            return
        name = frame.f_code.co_filename
        found = is_counted.get(name)
        if found is None:
            found = is_counted[name] = any(folder in name for folder in folders)
        work.calls += found

    before = sys.getprofile()
    sys.setprofile(profile)
    try:
        yield work
    finally:
        sys.setprofile(before)
