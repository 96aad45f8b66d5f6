"""No write without leadership."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import replace

from modelinfer_controller.kube.transport import Request, Response, StreamResponse, Transport, TransportError


class NotLeading(TransportError):
    """The request was not sent: this process does not hold the lease (any more)."""


class LeaderOnlyTransport:
    """Implements `transport.Transport`; refuses writes at the last moment before they are sent.

    A process that was stopped for longer than its lease goes on, when it wakes up, in the middle of whatever it was at;
    `may_write` is asked here, by the clock, before any task can have noticed. And once more as the body leaves: the
    process may have been stopped while it connected.
    """

    def __init__(self, transport: Transport, may_write: Callable[[], bool]) -> None:
        self._transport = transport
        self._may_write = may_write

    async def request(self, request: Request) -> Response:
        if request.method == "GET":
            return await self._transport.request(request)
        if not self._may_write():
            raise NotLeading(f"{request.method} {request.path}: not sent, since the lease is not held")
        return await self._transport.request(replace(request, may_send=self._may_write))

    def stream(self, request: Request) -> AbstractAsyncContextManager[StreamResponse]:
        return self._transport.stream(request)

    async def close(self) -> None:
        await self._transport.close()
