"""A transport with what the command line says of every request: who is impersonated, how long it may take, -v."""

import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace

from modelinfer_controller.kube.transport import Request, Response, StreamResponse, Transport

LOGGED_FROM = 6  # the verbosity from which kubectl tells of each request


class AdjustedTransport:
    """Implements `kube.transport.Transport` over another one, which it closes."""

    def __init__(
        self, inner: Transport, *, headers: Sequence[tuple[str, str]], timeout: float | None = None, verbosity: int = 0
    ) -> None:
        self._inner = inner
        self._headers = headers
        self._timeout = timeout
        self._is_logged = verbosity >= LOGGED_FROM

    async def request(self, request: Request) -> Response:
        began = time.monotonic()
        response = await self._inner.request(self._adjusted(request))
        self._log(request, response.status, began)
        return response

    @asynccontextmanager
    async def _stream(self, request: Request) -> AsyncIterator[StreamResponse]:
        began = time.monotonic()
        async with self._inner.stream(self._adjusted(request)) as response:
            self._log(request, response.status, began)
            yield response

    def stream(self, request: Request) -> AbstractAsyncContextManager[StreamResponse]:
        return self._stream(request)

    async def close(self) -> None:
        await self._inner.close()

    def _adjusted(self, request: Request) -> Request:
        return replace(request, more_headers=self._headers, timeout=self._timeout or request.timeout)

    def _log(self, request: Request, status: int, began: float) -> None:
        if self._is_logged:
            took = (time.monotonic() - began) * 1000
            query = "&".join(f"{key}={value}" for key, value in request.query.items())
            path = f"{request.path}?{query}" if query else request.path
            print(f"{request.method} {path} {status} in {took:.0f} milliseconds", file=sys.stderr)
