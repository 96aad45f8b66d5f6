"""Faults on the way between a client and the server, drawn from a seed: a transport around another one."""

import asyncio
import random
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

from modelinfer_controller.kube.transport import Request, Response, StreamResponse, Transport, TransportError
from modelinfer_controller.simulator.apiserver import status_errors
from modelinfer_controller.simulator.apiserver.api_server import error_response, is_watch
from modelinfer_controller.simulator.apiserver.status_errors import StatusError
from modelinfer_controller.simulator.objects import decode, encode

_WRITES = frozenset({"POST", "PUT", "PATCH", "DELETE"})


@dataclass(frozen=True, slots=True)
class Rates:
    """How likely each fault is: of a request or a watch line, 0 to 1.

    conflict is of writes; timeout_after: the server has acted, the answer is lost; stale_list: a list at "0" is of an
    older version; watch_delay seconds at most; watch_repeat: the line comes twice; watch_cut: the stream breaks;
    watch_expire: the watch is refused as too old, as status or as event.
    """

    conflict: float = 0.0
    too_many_requests: float = 0.0
    internal_error: float = 0.0
    timeout_before: float = 0.0
    timeout_after: float = 0.0
    stale_list: float = 0.0
    watch_delay: float = 0.0
    watch_repeat: float = 0.0
    watch_cut: float = 0.0
    watch_expire: float = 0.0
    latency: float = 0.0
    """Seconds that an exchange takes at most."""
    longest_watch_delay: float = 5.0
    """Seconds."""


NO_FAULTS = Rates()
ROUGH = Rates(
    conflict=0.05,
    too_many_requests=0.03,
    internal_error=0.03,
    timeout_before=0.02,
    timeout_after=0.02,
    stale_list=0.2,
    watch_delay=0.05,
    watch_repeat=0.03,
    watch_cut=0.02,
    watch_expire=0.02,
    latency=0.02,
)


class Faults:
    """Draws the faults of any number of transports; `rates` may be changed, or set to NO_FAULTS, at any time."""

    def __init__(self, seed: int | str, rates: Rates = NO_FAULTS) -> None:
        self.rates = rates
        self.drawn_count = 0
        self._random = random.Random(f"faults-{seed}")

    def wrap(self, transport: Transport) -> "FaultyTransport":
        return FaultyTransport(transport, self)

    def strikes(self, rate: float) -> bool:
        if rate <= 0.0 or self._random.random() >= rate:
            return False
        self.drawn_count += 1
        return True

    def between(self, low: float, high: float) -> float:
        return self._random.uniform(low, high)

    def whole(self, low: int, high: int) -> int:
        return self._random.randint(low, high)


class FaultyTransport:
    """A client's way to the server, on which the drawn faults happen."""

    def __init__(self, inner: Transport, faults: Faults) -> None:
        self._inner = inner
        self._faults = faults
        self._first_version = 0

    async def request(self, request: Request) -> Response:
        faults, rates = self._faults, self._faults.rates
        if rates.latency:
            await asyncio.sleep(faults.between(0, rates.latency))
        if faults.strikes(rates.timeout_before):
            await self._time_out(request)
        if (error := self._refusal(request)) is not None:
            return error_response(error)
        response = await self._inner.request(self._aged(request))
        if response.status == 410 and self._aged(request) is not request:
            response = await self._inner.request(request)
        if faults.strikes(rates.timeout_after):
            await self._time_out(request)
        self._note_version(request, response)
        return response

    @asynccontextmanager
    async def stream(self, request: Request) -> AsyncIterator[StreamResponse]:
        faults, rates = self._faults, self._faults.rates
        if faults.strikes(rates.timeout_before):
            await self._time_out(request)
        if is_watch(request) and faults.strikes(rates.watch_expire):
            yield _Expired(is_event=faults.strikes(0.5))
            return
        if faults.strikes(rates.too_many_requests):
            yield _Refused(status_errors.too_many_requests(1))
            return
        async with self._inner.stream(request) as response:
            yield _FaultyStream(response, faults)

    async def close(self) -> None:
        await self._inner.close()

    async def _time_out(self, request: Request) -> None:
        await asyncio.sleep(request.timeout or 30.0)
        raise TransportError(f"{request.method} {request.path}: timed out")

    def _refusal(self, request: Request) -> StatusError | None:
        faults, rates = self._faults, self._faults.rates
        if faults.strikes(rates.too_many_requests):
            return status_errors.too_many_requests(faults.whole(1, 3))
        if faults.strikes(rates.internal_error):
            return status_errors.internal_error("etcdserver: leader changed")
        if request.method in _WRITES - {"POST"} and faults.strikes(rates.conflict):
            name = request.path.rsplit("/", 1)[-1]
            message = f'Operation cannot be fulfilled on "{name}": the object has been modified; please apply your '
            return StatusError(409, "Conflict", message + "changes to the latest version and try again", {"name": name})
        return None

    def _aged(self, request: Request) -> Request:
        """A list at "0" may be answered from a cache that lags: ask for an older version, where one is known."""
        query = request.query
        is_any_version = request.method == "GET" and query.get("resourceVersion") == "0" and "continue" not in query
        if not is_any_version or not self._first_version or not self._faults.strikes(self._faults.rates.stale_list):
            return request
        old = {**query, "resourceVersion": str(self._first_version), "resourceVersionMatch": "Exact"}
        return replace(request, query=old)

    def _note_version(self, request: Request, response: Response) -> None:
        """Remembers a version that a list was answered with, for a later list to go back to."""
        if request.method == "GET" and response.status == 200 and "resourceVersion" in request.query:
            version = (decode(response.body).get("metadata") or {}).get("resourceVersion", "")
            if version.isdigit():
                self._first_version = int(version)


class _FaultyStream:
    """A watch whose lines come late, twice, or stop coming."""

    def __init__(self, inner: StreamResponse, faults: Faults) -> None:
        self._inner = inner
        self._faults = faults

    @property
    def status(self) -> int:
        return self._inner.status

    @property
    def headers(self) -> Mapping[str, str]:
        return self._inner.headers

    async def lines(self) -> AsyncIterator[bytes]:
        faults = self._faults
        async for line in self._inner.lines():
            rates = faults.rates
            if faults.strikes(rates.watch_delay):
                await asyncio.sleep(faults.between(0, rates.longest_watch_delay))
            if faults.strikes(rates.watch_cut):
                raise TransportError("connection reset by peer")
            yield line
            if faults.strikes(rates.watch_repeat):
                yield line


class _Refused:
    """A stream that the server refuses."""

    def __init__(self, error: StatusError) -> None:
        self._response = error_response(error)

    @property
    def status(self) -> int:
        return self._response.status

    @property
    def headers(self) -> Mapping[str, str]:
        return self._response.headers

    async def lines(self) -> AsyncIterator[bytes]:
        yield self._response.body


class _Expired:
    """A watch from a version that is gone: said by the status, or by the first event."""

    def __init__(self, is_event: bool) -> None:
        self._expired = status_errors.expired("too old resource version: 1 (2)")
        self._is_event = is_event
        self.status = 200 if is_event else 410
        self.headers: Mapping[str, str] = {"content-type": "application/json"}

    async def lines(self) -> AsyncIterator[bytes]:
        status = encode(self._expired.status())
        yield b'{"type":"ERROR","object":%b}' % status if self._is_event else status
