"""The way to the API server, with faults: one proxy for each controller, all in one thread with a loop of its own."""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import ssl
import threading
import time
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

import aiohttp
from aiohttp import web
from yarl import URL

T = TypeVar("T")
Handler: TypeAlias = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]

_WRITES = {"POST", "PUT", "PATCH", "DELETE"}
_HOP_BY_HOP = {"connection", "transfer-encoding", "content-length", "host", "keep-alive"}
_HTML = "<html><body><h1>502 Bad Gateway</h1></body></html>"

# What the proxy can do to a request; each is drawn by its share. The first ones answer themselves.
STATUS_KINDS = ("409", "429", "500", "503")
KINDS = (*STATUS_KINDS, "410", "html", "reset", "lost-answer", "hang", "late", "twice")


@dataclass(frozen=True)
class Sent:
    """One request as the proxy received it. `at` is wall-clock seconds; `fault` what became of it, or ""."""

    at: float
    sender: str
    method: str
    path: str
    name: str
    fault: str

    @property
    def is_write(self) -> bool:
        """Of an object that users see."""
        resource = self.path.split("/")[-1] if self.method == "POST" else self.path.split("/")[-2]
        return self.method in _WRITES and resource not in ("leases", "selfsubjectaccessreviews", "events")


@dataclass
class KillPoint:
    """The sender of the nth write from now is killed: before it passes, or when the server has carried it out."""

    writes: int
    is_carried_out: bool


@dataclass
class Route:
    """What one controller passes on its way."""

    sender: str
    pid: Callable[[], int]
    port: int = 0
    kill_point: KillPoint | None = None
    renewals: list[float] = field(default_factory=list)  # when a claim of the Lease began that the server granted


@dataclass(frozen=True)
class Weather:
    """share: how much of all requests meets a fault of one of the kinds."""

    share: float = 0.0
    kinds: Sequence[str] = ()


@dataclass
class FaultProxy:
    """Terminates TLS with the API server's own certificate. Attributes may be set from any thread."""

    server: str
    authority: Path
    random: random.Random
    weather: Weather = Weather()
    refused_tokens: set[str] = field(default_factory=set)
    sent: list[Sent] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._streams: set[asyncio.Task[None]] = set()
        self._healed = asyncio.Event()
        self._session: aiohttp.ClientSession | None = None
        self._runners: list[web.ServerRunner] = []
        self._thread = threading.Thread(target=self._loop.run_forever, name="fault proxy", daemon=True)
        self._thread.start()

    def open(self, sender: str, pid: Callable[[], int]) -> Route:
        """A way for one more controller; `pid` gives its process as it is now."""
        route = Route(sender, pid)

        async def handle(request: web.BaseRequest) -> web.StreamResponse:
            return await self._handle(route, request)

        route.port = self.serve(handle)
        return route

    def serve(self, handle: Handler) -> int:
        """Serve this too, over TLS on a free port of loopback; the port."""
        return self._call(self._serve(handle))

    def close(self) -> None:
        self.heal()
        self._call(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    def heal(self) -> None:
        """No more faults; what hangs ends without an answer."""
        self.weather = Weather()
        self.refused_tokens = set()
        self._loop.call_soon_threadsafe(self._heal)

    def cut_watches(self) -> None:
        self._loop.call_soon_threadsafe(lambda: [task.cancel() for task in self._streams])

    def _call(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(30)

    async def _serve(self, handle: Handler) -> int:
        if self._session is None:
            tls = ssl.create_default_context(cafile=str(self.authority))
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0, ssl=tls),
                auto_decompress=False,
                timeout=aiohttp.ClientTimeout(total=None),
                read_bufsize=1 << 20,
            )
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(self.authority, self.authority.with_suffix(".key"))
        runner = web.ServerRunner(web.Server(handle, access_log=None), shutdown_timeout=0.5)
        await runner.setup()
        self._runners.append(runner)
        site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls)
        await site.start()
        return int(runner.addresses[0][1])

    async def _close(self) -> None:
        for runner in self._runners:
            await runner.cleanup()
        if self._session is not None:
            await self._session.close()
        left = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)

    def _heal(self) -> None:
        self._healed.set()
        self._healed = asyncio.Event()

    # -- one request ---------------------------------------------------------------------------------------------------

    async def _handle(self, route: Route, request: web.BaseRequest) -> web.StreamResponse:
        body = await request.read()
        is_watch = request.query.get("watch") in ("1", "true")
        fault = self._draw(request, is_watch)
        sent = Sent(time.time(), route.sender, request.method, request.path, _name_of(request, body), fault)
        self.sent.append(sent)
        if sent.is_write and self._is_kill_point(route, is_carried_out=False):
            return _cut(request)
        answer = await self._fail(request, fault)
        if answer is not None:
            return answer
        try:
            if is_watch:
                return await self._watch(request, is_doubled=fault == "twice")
            answer = await self._forward(request, body)
            if request.method in ("POST", "PUT") and "/leases" in request.path and answer.status < 300:
                route.renewals.append(sent.at)
        except (aiohttp.ClientError, OSError):
            return _cut(request)
        is_lost = fault == "lost-answer" or (sent.is_write and self._is_kill_point(route, is_carried_out=True))
        return _cut(request) if is_lost else answer

    def _draw(self, request: web.BaseRequest, is_watch: bool) -> str:
        if request.headers.get("Authorization", "").removeprefix("Bearer ") in self.refused_tokens:
            return "401"
        weather = self.weather
        if self.random.random() >= weather.share:
            return ""
        kind = self.random.choice(weather.kinds)
        is_read = request.method == "GET"
        fits = {"410": is_read, "409": request.method in ("PUT", "PATCH"), "twice": is_watch}
        return kind if fits.get(kind, True) else ""

    async def _fail(self, request: web.BaseRequest, fault: str) -> web.StreamResponse | None:
        """The answer where the request does not pass; it may take its time."""
        match fault:
            case "401" | "409" | "410" | "500" | "503":
                return _status(int(fault))
            case "429":
                return _status(429, {"Retry-After": "1"})
            case "html":
                return web.Response(status=self.random.choice((200, 502)), text=_HTML, content_type="text/html")
            case "reset":
                return _cut(request)
            case "hang":
                await self._healed.wait()
                return _cut(request)
            case "late":
                await asyncio.sleep(self.random.uniform(0.2, 2.0))
        return None

    def _is_kill_point(self, route: Route, *, is_carried_out: bool) -> bool:
        """Kills there, and says so."""
        point = route.kill_point
        if point is None or point.is_carried_out is not is_carried_out:
            return False
        point.writes -= 1
        if point.writes > 0:
            return False
        route.kill_point = None
        os.kill(route.pid(), signal.SIGKILL)
        return True

    async def _forward(self, request: web.BaseRequest, body: bytes) -> web.StreamResponse:
        async with self._upstream(request, body) as answer:
            headers = {name: value for name, value in answer.headers.items() if name.lower() not in _HOP_BY_HOP}
            return web.Response(status=answer.status, body=await answer.read(), headers=headers)

    async def _watch(self, request: web.BaseRequest, *, is_doubled: bool) -> web.StreamResponse:
        task = asyncio.current_task()
        assert task is not None
        self._streams.add(task)
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        try:
            async with self._upstream(request, b"") as answer:
                response.set_status(answer.status)
                await response.prepare(request)
                async for line in answer.content:
                    await response.write(line)
                    if is_doubled and self.random.random() < 0.3 and line.startswith(b'{"type":"MODIFIED"'):
                        await response.write(line)
        except asyncio.CancelledError:
            return _cut(request)
        finally:
            self._streams.discard(task)
        return response

    def _upstream(self, request: web.BaseRequest, body: bytes) -> aiohttp.client._RequestContextManager:
        assert self._session is not None
        headers = {name: value for name, value in request.headers.items() if name.lower() not in _HOP_BY_HOP}
        url = URL(f"{self.server}{request.raw_path}", encoded=True)
        return self._session.request(request.method, url, headers=headers, data=body or None, allow_redirects=False)


def _name_of(request: web.BaseRequest, body: bytes) -> str:
    if request.method != "POST":
        return request.path.split("/")[-2] if request.path.endswith("/status") else request.path.split("/")[-1]
    return str(json.loads(body).get("metadata", {}).get("name", ""))


def _status(code: int, headers: Mapping[str, str] | None = None) -> web.Response:
    reasons = {401: "Unauthorized", 409: "Conflict", 410: "Expired", 429: "TooManyRequests", 500: "InternalError"}
    body = {
        "kind": "Status",
        "apiVersion": "v1",
        "status": "Failure",
        "code": code,
        "reason": reasons.get(code, "ServiceUnavailable"),
        "message": "chaos",
    }
    return web.json_response(body, status=code, headers=headers)


def _cut(request: web.BaseRequest) -> web.Response:
    """As when the connection breaks: no answer arrives."""
    if request.transport is not None:
        request.transport.abort()
    return web.Response()
