"""How long to wait before trying again, for one thing that may fail."""

import asyncio
import math
from typing import Protocol


class Random(Protocol):
    """What `random.Random` offers of it: the source of jitter, an argument so that tests repeat."""

    def random(self) -> float:
        """At least 0, less than 1."""


def exponential(base: float, cap: float, failures: int, factor: float = 2.0) -> float:
    """Seconds after that many failures: base, base * factor, ... up to cap; never overflows."""
    if failures * math.log(factor) > math.log(cap / base):
        return cap
    return min(cap, base * factor**failures)


def jittered(seconds: float, jitter: float, random: Random) -> float:
    """Between seconds and seconds * (1 + jitter), so that many clients do not come back at once."""
    return seconds * (1 + jitter * random.random())


class Backoff:
    """Delays that grow with each call of `next_delay`, and start anew after `reset` or a quiet while.

    base, cap, reset_after in seconds; jitter as a share of the delay, added to it, thus the longest delay is
    cap * (1 + jitter). Needs a running loop, for its clock.
    """

    def __init__(
        self,
        base: float,
        cap: float,
        *,
        random: Random,
        factor: float = 2.0,
        jitter: float = 0.0,
        reset_after: float = math.inf,
    ) -> None:
        self._base = base
        self._cap = cap
        self._random = random
        self._factor = factor
        self._jitter = jitter
        self._reset_after = reset_after
        self._failures = 0
        self._last_failure = -math.inf

    def next_delay(self) -> float:
        """Counts one failure, now; returns the seconds to wait for it."""
        now = asyncio.get_running_loop().time()
        if now - self._last_failure > self._reset_after:
            self.reset()
        self._last_failure = now
        delay = exponential(self._base, self._cap, self._failures, self._factor)
        self._failures += 1
        return jittered(delay, self._jitter, self._random)

    def reset(self) -> None:
        self._failures = 0
