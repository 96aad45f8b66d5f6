"""How many requests are in flight, shared fairly, so that what hangs for one tenant holds up no other."""

import asyncio
from collections import OrderedDict, deque
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from types import TracebackType

Flow = tuple[str, str]
"""Whose request it is: a namespace, and the object in it that the request is made for."""

MAX_IN_FLIGHT = 64  # writes under way by default, but for statuses
SLOW_AFTER = 0.5  # seconds: what a request may take on an idle server
MAX_SLOW_AFTER = 5.0
SLOW_FACTOR = 4.0  # times what requests usually take, on a busy one
USUAL_STEP = 1.05  # how far one request moves what is usual
SLOW_NAMESPACE_LIMIT = 8  # requests under way, while few namespaces are slow
FORGET_AFTER = 300.0  # seconds without a request


@dataclass(slots=True)
class _Share:
    """What a namespace or a flow has under way, and the most that it may: from 1 to the whole.

    The limit halves with each slow request and grows by one with each other: what hangs is soon tried one by one.
    """

    most: int
    limit: int
    under_way: int = 0

    @property
    def is_slow(self) -> bool:
        return self.limit < self.most

    def note_slow(self) -> None:
        self.limit = max(1, self.limit // 2)

    def note_fast(self) -> None:
        self.limit = min(self.most, self.limit + 1)


@dataclass(slots=True, eq=False)
class _Flow:
    name: Flow
    share: _Share
    waiting: "deque[asyncio.Future[_Request]]" = field(default_factory=deque)


@dataclass(slots=True, eq=False)
class _Namespace:
    """waiting: the flows with somebody waiting, the one whose turn is next in front."""

    share: _Share
    parked: int = 0
    flows: dict[Flow, _Flow] = field(default_factory=dict)
    waiting: "OrderedDict[Flow, _Flow]" = field(default_factory=OrderedDict)


@dataclass(slots=True, eq=False)
class _Request:
    """One that is under way."""

    flow: _Flow
    began: float
    timer: asyncio.TimerHandle | None = None
    is_slow: bool = False
    is_parked: bool = False


class FairLimiter:
    """At most `total` requests count as in flight; those that wait take turns.

    Turns go from namespace to namespace, and in each from flow to flow; a flow's own are served in their order.

    A request is *slow* once it takes SLOW_FACTOR times as long as requests usually take, and SLOW_AFTER seconds at
    least. A slow request shrinks what its flow and its namespace may have under way, until their requests are fast
    again. It is also *parked*: it no longer counts, and its slot is free for others. At most `max_parked` are parked,
    `total` where nothing is said, and of a namespace no more than there is room left after it. So no more than both
    together are ever under way.

    So a namespace waits for what hangs elsewhere until that is slow, and no longer. All that hangs together holds, once
    it is known, a quarter of the requests that may be under way, or one for each namespace that hangs.
    """

    def __init__(self, total: int, *, max_parked: int | None = None) -> None:
        self._total = total
        self._max_parked = total if max_parked is None else max_parked
        self._counted = 0  # under way and not parked
        self._parked = 0
        self._usual = SLOW_AFTER / SLOW_FACTOR  # seconds: about the median
        self._namespaces: dict[str, _Namespace] = {}
        self._slow: set[str] = set()  # the namespaces whose limit is not the whole
        self._waiting: OrderedDict[str, _Namespace] = OrderedDict()  # those with a flow that waits, the next in front
        self._idle: OrderedDict[Flow, float] = OrderedDict()  # shrunken flows without a request, since when

    def slot(self, flow: Flow) -> AbstractAsyncContextManager[None]:
        """Entered when a request of the flow may be sent; left when it has ended."""
        return _Slot(self, flow)

    @property
    def under_way_count(self) -> int:
        return self._counted + self._parked

    @property
    def flow_count(self) -> int:
        """Flows of which something is remembered."""
        return sum(len(namespace.flows) for namespace in self._namespaces.values())

    @property
    def slow_after(self) -> float:
        """Seconds after which a request is slow now."""
        return min(MAX_SLOW_AFTER, max(SLOW_AFTER, SLOW_FACTOR * self._usual))

    async def acquire(self, name: Flow) -> _Request:
        """The caller owes a `release`."""
        flow = self._flow(name)
        if not flow.waiting and self._counted < self._total and self._has_room(flow):
            return self._begin(flow)
        turn: asyncio.Future[_Request] = asyncio.get_running_loop().create_future()
        self._line_up(flow, turn)
        try:
            return await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self.release(turn.result(), is_fast=False)
            else:
                self._leave_line(flow, turn)
            raise

    def release(self, request: _Request, *, is_fast: bool = True) -> None:
        """The request has ended. is_fast: False where that says nothing about the server."""
        flow, seconds = request.flow, _time() - request.began
        namespace = self._namespaces[flow.name[0]]
        if request.timer is not None:
            request.timer.cancel()
        for share in (flow.share, namespace.share):
            share.under_way -= 1
            if is_fast and not request.is_slow:
                share.note_fast()
        if not namespace.share.is_slow:
            self._slow.discard(flow.name[0])
        if request.is_parked:
            self._parked -= 1
            namespace.parked -= 1
        else:
            self._counted -= 1
        self._usual = self._usual * USUAL_STEP if seconds > self._usual else self._usual / USUAL_STEP
        self._settle(flow, namespace)
        self._serve()

    def _begin(self, flow: _Flow) -> _Request:
        self._counted += 1
        flow.share.under_way += 1
        self._namespaces[flow.name[0]].share.under_way += 1
        request = _Request(flow, _time())
        request.timer = asyncio.get_running_loop().call_later(self.slow_after, self._note_slow, request)
        return request

    def _note_slow(self, request: _Request) -> None:
        flow, namespace = request.flow, self._namespaces[request.flow.name[0]]
        request.is_slow, request.timer = True, None
        flow.share.note_slow()
        namespace.share.note_slow()
        self._slow.add(flow.name[0])
        if namespace.parked < self._max_parked - self._parked:
            request.is_parked = True
            namespace.parked += 1
            self._parked += 1
            self._counted -= 1
            self._serve()

    # Whose turn it is

    def _serve(self) -> None:
        while self._counted < self._total and (flow := self._next()) is not None:
            turn = flow.waiting.popleft()
            self._update_line(flow)
            if not turn.done():
                turn.set_result(self._begin(flow))

    def _next(self) -> _Flow | None:
        """The flow whose turn it is, of those that may have one more under way; it goes to the end of the line."""
        for name, namespace in self._waiting.items():
            if namespace.share.under_way >= self._limit_of(namespace):
                continue
            for flow in namespace.waiting.values():
                if flow.share.under_way < flow.share.limit:
                    self._waiting.move_to_end(name)
                    namespace.waiting.move_to_end(flow.name)
                    return flow
        return None

    def _has_room(self, flow: _Flow) -> bool:
        namespace = self._namespaces[flow.name[0]]
        return flow.share.under_way < flow.share.limit and namespace.share.under_way < self._limit_of(namespace)

    def _limit_of(self, namespace: _Namespace) -> int:
        """A slow namespace keeps a few, since not all of it need be slow; the more are slow, the fewer for each."""
        if not namespace.share.is_slow:
            return self._total
        return max(namespace.share.limit, min(SLOW_NAMESPACE_LIMIT, self._total // (2 * len(self._slow))))

    def _line_up(self, flow: _Flow, turn: "asyncio.Future[_Request]") -> None:
        flow.waiting.append(turn)
        self._update_line(flow)

    def _leave_line(self, flow: _Flow, turn: "asyncio.Future[_Request]") -> None:
        if turn in flow.waiting:
            flow.waiting.remove(turn)
            self._update_line(flow)
            self._settle(flow, self._namespaces[flow.name[0]])

    def _update_line(self, flow: _Flow) -> None:
        namespace = self._namespaces[flow.name[0]]
        if flow.waiting:
            namespace.waiting.setdefault(flow.name, flow)
            self._waiting.setdefault(flow.name[0], namespace)
        else:
            namespace.waiting.pop(flow.name, None)
            if not namespace.waiting:
                self._waiting.pop(flow.name[0], None)

    # What is remembered

    def _flow(self, name: Flow) -> _Flow:
        namespace = self._namespaces.get(name[0])
        if namespace is None:
            namespace = self._namespaces[name[0]] = _Namespace(_Share(self._total, self._total))
        flow = namespace.flows.get(name)
        if flow is None:
            flow = namespace.flows[name] = _Flow(name, _Share(self._total, self._total))
        self._idle.pop(name, None)
        return flow

    def _settle(self, flow: _Flow, namespace: _Namespace) -> None:
        """Forgets a flow that has nothing under way: at once where it is as a new one, else after a while."""
        if not flow.share.under_way and not flow.waiting:
            if flow.share.is_slow:
                self._idle[flow.name] = _time()
            else:
                self._forget(flow.name)
        while self._idle and next(iter(self._idle.values())) < _time() - FORGET_AFTER:
            self._forget(next(iter(self._idle)))

    def _forget(self, name: Flow) -> None:
        self._idle.pop(name, None)
        namespace = self._namespaces[name[0]]
        namespace.flows.pop(name, None)
        if not namespace.flows:
            del self._namespaces[name[0]]
            self._slow.discard(name[0])


class _Slot(AbstractAsyncContextManager[None]):
    def __init__(self, limiter: FairLimiter, flow: Flow) -> None:
        self._limiter = limiter
        self._flow = flow
        self._request: _Request | None = None

    async def __aenter__(self) -> None:
        self._request = await self._limiter.acquire(self._flow)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._request is not None
        self._limiter.release(self._request, is_fast=kind is None or issubclass(kind, Exception))


def _time() -> float:
    return asyncio.get_running_loop().time()
