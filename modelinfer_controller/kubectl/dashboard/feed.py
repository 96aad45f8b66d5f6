"""One follower of the cluster for many open pages: each waits for the next change by itself."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import timedelta

from modelinfer_controller.api.names import ObjectName
from modelinfer_controller.kube.clock import Clock
from modelinfer_controller.kubectl.model.fleet import Fleet, fleet_of
from modelinfer_controller.kubectl.model.follow import Follower
from modelinfer_controller.kubectl.model.snapshot import Snapshot

TICK = 2.0  # seconds: times move on even where nothing changes
STALE = timedelta(seconds=1)  # a fleet is worked out no more often, however many pages ask


class Feed:
    """What pages read. `changed` is set and replaced at each change, so that no page misses one."""

    def __init__(self, follower: Follower, clock: Clock) -> None:
        self._follower = follower
        self._clock = clock
        self._changed = asyncio.Event()
        self._fleet: Fleet | None = None

    async def run(self) -> None:
        """Until it is cancelled."""
        while True:
            await self._follower.wait(TICK)
            self._fleet = None
            changed, self._changed = self._changed, asyncio.Event()
            changed.set()

    async def wait(self, seconds: float) -> bool:
        """Until the next change, or that long. Whether there was one."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._changed.wait()
                return True
        return False

    def fleet(self) -> Fleet:
        now = self._clock.now()
        if self._fleet is None or now - self._fleet.time > STALE:
            self._fleet = fleet_of(self._follower.snapshots(), now)
        return self._fleet

    def snapshot(self, key: ObjectName) -> Snapshot:
        """Raises Exit where there is none."""
        return self._follower.snapshot(key)


@asynccontextmanager
async def feeding(follower: Follower, clock: Clock) -> AsyncIterator[Feed]:
    feed = Feed(follower, clock)
    running = asyncio.create_task(feed.run(), name="feed of the dashboard")
    try:
        yield feed
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
