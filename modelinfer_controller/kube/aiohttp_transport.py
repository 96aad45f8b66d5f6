"""The transport to a real API server: one aiohttp session and one TLS context, built inside the loop."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlencode

import aiohttp
from aiohttp.abc import AbstractStreamWriter
from yarl import URL

from modelinfer_controller.kube.clock import Clock
from modelinfer_controller.kube.config import Access, ClusterConfig, load_config
from modelinfer_controller.kube.transport import Request, Response, TransportError

READ_BUFFER = 1 << 20
MAX_LINE = 64 << 20  # a single object is at most 3 MB; longer means that no API server is speaking
KEEPALIVE_TIMEOUT = 60.0  # below the 90 s and more after which servers and balancers close an idle connection

# A peer that vanished without a word is noticed in about a minute; a watch would otherwise wait for its deadline.
_TCP_OPTIONS = (("TCP_KEEPIDLE", 30), ("TCP_KEEPINTVL", 10), ("TCP_KEEPCNT", 3), ("TCP_USER_TIMEOUT", 60_000))


async def connect(
    *,
    environ: Mapping[str, str],
    clock: Clock,
    kubeconfig: str | None = None,
    context: str | None = None,
    in_cluster: bool = False,
    user_agent: str = "asyncio-kube-client",
) -> "AiohttpTransport":
    """A transport to the cluster that the configuration names; nothing is sent yet.

    kubeconfig is a path or several separated as in KUBECONFIG; None means environ's KUBECONFIG, else ~/.kube/config;
    in_cluster the pod's own service account. Raises ConfigError, with a message for people.
    """
    config = await load_config(
        environ=environ, clock=clock, kubeconfig=kubeconfig, context=context, in_cluster=in_cluster
    )
    return AiohttpTransport(config, user_agent=user_agent)


class AiohttpTransport:
    """Implements `transport.Transport`. Must be created inside the loop, and closed."""

    def __init__(self, config: ClusterConfig, *, user_agent: str) -> None:
        self._config = config
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                limit=0, keepalive_timeout=KEEPALIVE_TIMEOUT, socket_factory=_keepalive_socket
            ),
            headers={"Accept": "application/json", "Accept-Encoding": "identity", "User-Agent": user_agent},
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=None),  # Request.timeout bounds the exchange
            read_bufsize=READ_BUFFER,
            trust_env=False,
        )

    @property
    def server(self) -> str:
        """URL of the API server, without a trailing slash."""
        return self._config.server

    async def request(self, request: Request) -> Response:
        """See `Transport.request`; a 401 is answered by refreshed credentials once, then handed on."""
        try:
            async with asyncio.timeout(request.timeout):
                response = await self._send(request)
                try:
                    body = await response.read()
                finally:
                    response.release()
        except _BELOW_HTTP as error:
            raise _transport_error(request, error) from error
        return Response(response.status, body, _lower_case(response))

    @asynccontextmanager
    async def stream(self, request: Request) -> AsyncIterator["_AiohttpStream"]:
        """See `Transport.stream`."""
        try:
            async with asyncio.timeout(request.timeout):
                response = await self._send(request)
        except _BELOW_HTTP as error:
            raise _transport_error(request, error) from error
        try:
            yield _AiohttpStream(request, response)
        finally:
            response.close()

    async def close(self) -> None:
        await self._config.credentials.close()
        await self._session.close()

    async def _send(self, request: Request) -> aiohttp.ClientResponse:
        credentials = self._config.credentials
        access = await credentials.access()
        response = await self._send_once(request, access)
        if response.status != 401 or not await credentials.refresh(rejected=access):
            return response
        response.release()
        return await self._send_once(request, await credentials.access())

    async def _send_once(self, request: Request, access: Access) -> aiohttp.ClientResponse:
        headers = dict(request.headers)
        if access.authorization:
            headers["Authorization"] = access.authorization
        query = f"?{urlencode(request.query)}" if request.query else ""
        options: dict[str, Any] = {}
        if self._config.tls_server_name:
            options["server_hostname"] = self._config.tls_server_name
        if self._config.proxy:
            options["proxy"] = self._config.proxy
        return await self._session.request(
            request.method,
            URL(f"{self._config.server}{request.path}{query}", encoded=True),
            data=_body_of(request),
            headers=[*headers.items(), *request.more_headers],
            ssl=access.tls,
            allow_redirects=False,  # would send the token elsewhere
            **options,
        )


def _body_of(request: Request) -> "bytes | _GuardedBody | None":
    if request.body is None or request.may_send is None:
        return request.body
    return _GuardedBody(request.body, request.may_send)


class _GuardedBody(aiohttp.BytesPayload):
    """A body that leaves only while it may. Headers wait for it, and without it there is no request.

    aiohttp sends some requests a second time by itself, when a connection that it kept was closed meanwhile.
    """

    def __init__(self, body: bytes, may_send: Callable[[], bool]) -> None:
        super().__init__(body)
        self._may_send = may_send

    async def write_with_length(self, writer: AbstractStreamWriter, content_length: int | None) -> None:
        if not self._may_send():
            raise aiohttp.ClientConnectionError("not sent: it may not be any more")
        await super().write_with_length(writer, content_length)


class _AiohttpStream:
    def __init__(self, request: Request, response: aiohttp.ClientResponse) -> None:
        self._request = request
        self._response = response
        self.status = response.status
        self.headers = _lower_case(response)

    async def lines(self) -> AsyncIterator[bytes]:
        """Splits whole chunks: for small events far cheaper than a read for each line."""
        unfinished: list[bytes] = []
        length = 0
        try:
            async for chunk in self._response.content.iter_any():
                first, *others = chunk.split(b"\n")
                unfinished.append(first)
                length += len(first)
                if length > MAX_LINE:
                    raise TransportError(f"GET {self._request.path}: a line of more than {MAX_LINE} bytes")
                if others:
                    yield b"".join(unfinished)
                    for line in others[:-1]:
                        yield line
                    unfinished, length = [others[-1]], len(others[-1])
        except _BELOW_HTTP as error:
            raise _transport_error(self._request, error) from error
        if length:
            yield b"".join(unfinished)


_BELOW_HTTP = (aiohttp.ClientError, OSError)  # TimeoutError and ssl.SSLError are OSErrors


def _transport_error(request: Request, error: Exception) -> TransportError:
    reason = "timed out" if isinstance(error, TimeoutError) else str(error) or type(error).__name__
    return TransportError(f"{request.method} {request.path}: {reason}")


def _lower_case(response: aiohttp.ClientResponse) -> Mapping[str, str]:
    return {name.lower(): value for name, value in response.headers.items()}


def _keepalive_socket(address: Any) -> socket.socket:
    family, kind, protocol, _, _ = address
    connection = socket.socket(family, kind, protocol)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in _TCP_OPTIONS:
        if hasattr(socket, name):  # not every platform has every one
            connection.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
    return connection
