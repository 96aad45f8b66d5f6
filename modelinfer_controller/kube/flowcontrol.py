"""Client-side rate limit: off by default, since the server has flow control of its own."""

import asyncio
from typing import Protocol

ROUNDING = 1e-6  # seconds: a sum of intervals is not exact


class RateLimiter(Protocol):
    """Decides when the next request may be sent."""

    async def acquire(self) -> None:
        """Returns when one more request may be sent."""


class Unlimited:
    """Sends at once: the server alone decides how much it takes."""

    async def acquire(self) -> None:
        return


class TokenBucket:
    """At most `burst` requests at once and `qps` a second in the long run, in the order of their calls."""

    def __init__(self, qps: float, burst: int) -> None:
        if qps <= 0 or burst < 1:
            raise ValueError(f"qps must be positive and burst at least 1, not {qps} and {burst}")
        self._interval = 1 / qps
        self._slack = (burst - 1) / qps
        self._next_due = float("-inf")  # loop time at which the bucket, empty of tokens, may send the next request

    async def acquire(self) -> None:
        now = asyncio.get_running_loop().time()
        due = max(self._next_due, now - self._slack)
        self._next_due = due + self._interval
        if due > now:
            await asyncio.sleep(due - now)

    def try_acquire(self) -> bool:
        """Whether one more may be sent now, without a wait; then it counts as sent."""
        now = asyncio.get_running_loop().time()
        due = max(self._next_due, now - self._slack)
        if due > now + ROUNDING:
            return False
        self._next_due = due + self._interval
        return True
