"""Crash points: a client that stops for ever before or after any one of its calls, as a killed process does."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from modelinfer_controller.kube.transport import Request, Response, StreamResponse, Transport


@dataclass(frozen=True, slots=True)
class CrashPoint:
    """The call with this number, from 0, is the last. is_committed: the server has acted on it all the same."""

    call: int
    is_committed: bool


class CrashingTransport:
    """Serves until its crash point; from then on no call of it ever returns. The test then cancels the client."""

    def __init__(self, inner: Transport, point: CrashPoint | None = None) -> None:
        self.call_count = 0
        self.crashed = asyncio.Event()
        self._inner = inner
        self._point = point

    def crash_after(self, calls: int, *, is_committed: bool) -> None:
        """Sets the crash point at so many calls from now."""
        self._point = CrashPoint(self.call_count + calls, is_committed)

    async def request(self, request: Request) -> Response:
        number, point = self.call_count, self._point
        self.call_count += 1
        if self.crashed.is_set() or (point is not None and number >= point.call):
            if point is not None and number == point.call and point.is_committed:
                await self._inner.request(request)
            await self._hang()
        return await self._inner.request(request)

    @asynccontextmanager
    async def stream(self, request: Request) -> AsyncIterator[StreamResponse]:
        if self.crashed.is_set():
            await self._hang()
        async with self._inner.stream(request) as response:
            yield response

    async def close(self) -> None:
        await self._inner.close()

    async def _hang(self) -> None:
        self.crashed.set()
        await asyncio.get_running_loop().create_future()
