"""The seam between the client and a server: bytes in, bytes out.

aiohttp stands behind it in a cluster; the embedded control plane of `simulator` implements it in-process. Nothing
above this file can tell which.
"""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Request:
    """One HTTP request to the API server.

    path starts with "/api" or "/apis" (or /version, /openapi, ...); query is encoded by the transport. A body is JSON
    bytes. timeout is in seconds for the whole exchange, or for a stream until the response's headers. more_headers are
    sent too: a name may be among them more than once. may_send is asked as the body leaves, after whatever connecting
    took: where it says no, the exchange fails and the server has nothing to act on.
    """

    method: str
    path: str
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None
    timeout: float | None = None
    more_headers: Sequence[tuple[str, str]] = ()
    may_send: Callable[[], bool] | None = None


@dataclass(frozen=True, slots=True)
class Response:
    """headers have lower-case names."""

    status: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)


class StreamResponse(Protocol):
    """A response whose body is read line by line; for a status other than 200 the lines are the error's body."""

    @property
    def status(self) -> int: ...

    @property
    def headers(self) -> Mapping[str, str]: ...

    def lines(self) -> AsyncIterator[bytes]:
        """Lines without their newline. Ends when the server closes the stream; raises TransportError if it breaks."""


class TransportError(Exception):
    """The exchange failed below HTTP: refused, reset, timed out. Whether the server acted on it is unknown."""


class Transport(Protocol):
    """Exchanges with an API server, real or simulated."""

    async def request(self, request: Request) -> Response:
        """One exchange. Any HTTP status is a Response; raises TransportError when there was none."""

    def stream(self, request: Request) -> AbstractAsyncContextManager[StreamResponse]:
        """A long-lived GET. Leaving the context closes the connection. Raises TransportError like `request`."""

    async def close(self) -> None: ...
