"""The in-process transport: the same seam as HTTP, without a socket."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace

from modelinfer_controller.kube.transport import Request, Response, StreamResponse, TransportError
from modelinfer_controller.simulator.apiserver.api_server import ApiServer, error_response, is_watch
from modelinfer_controller.simulator.apiserver.status_errors import StatusError
from modelinfer_controller.simulator.apiserver.watching import Watch


@dataclass(frozen=True, slots=True)
class WatchResponse:
    """An open watch as a stream."""

    watch: Watch
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=lambda: {"content-type": "application/json"})

    def lines(self) -> AsyncIterator[bytes]:
        return self.watch.lines()


@dataclass(frozen=True, slots=True)
class WholeResponse:
    """A response that ends, as a stream of its lines."""

    response: Response

    @property
    def status(self) -> int:
        return self.response.status

    @property
    def headers(self) -> Mapping[str, str]:
        return self.response.headers

    async def lines(self) -> AsyncIterator[bytes]:
        for line in self.response.body.splitlines():
            yield line


class InProcessTransport:
    """One client's way to the server. Every exchange lets other tasks run first, as a network would."""

    def __init__(self, api: ApiServer, *, user_agent: str = "") -> None:
        self._api = api
        self._user_agent = user_agent

    async def request(self, request: Request) -> Response:
        signed = self._signed(request)
        await self._reach_server(signed)
        return self._api.handle(signed)

    async def _reach_server(self, request: Request) -> None:
        """Waits for webhooks that hang. Raises TransportError where the client does not wait for so long."""
        delay, longest = self._api.admission_delay(request), request.timeout
        if longest is not None and delay >= longest:
            await asyncio.sleep(longest)
            raise TransportError(f"{request.method} {request.path}: timed out")
        await asyncio.sleep(delay)

    @asynccontextmanager
    async def stream(self, request: Request) -> AsyncIterator[StreamResponse]:
        await asyncio.sleep(0)
        signed = self._signed(request)
        if not is_watch(signed):
            yield WholeResponse(self._api.handle(signed))
            return
        try:
            watch = self._api.watch(signed)
        except StatusError as error:
            yield WholeResponse(error_response(error))
            return
        try:
            yield WatchResponse(watch)
        finally:
            self._api.close(watch)

    async def close(self) -> None:
        """Nothing is held between exchanges."""

    def _signed(self, request: Request) -> Request:
        headers = {name.lower(): value for name, value in request.headers.items()}
        return replace(request, headers={"user-agent": self._user_agent, **headers})
