"""Kubernetes Events: what a user must know, said without flooding them or the server."""

import asyncio
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, NamedTuple, Protocol, TypeVar

import structlog

from modelinfer_controller.api.core import Event, KubeObject
from modelinfer_controller.kube.backoff import Random, exponential, jittered
from modelinfer_controller.kube.clock import Clock
from modelinfer_controller.kube.errors import ApiError, NotFound, is_transient
from modelinfer_controller.kube.flowcontrol import TokenBucket
from modelinfer_controller.kube.resource import CORE_EVENTS, Resource
from modelinfer_controller.kube.tasks import CancelledFromWithin, stray_cancellation_as_error
from modelinfer_controller.kube.transport import TransportError

MAX_MESSAGE_LENGTH = 1024
MAX_PENDING = 1000  # different events that wait to be sent; more are dropped
MAX_REMEMBERED = 4096  # series, and objects with a limit; the least recently used are forgotten
BURST = 25  # for each object, as client-go has it
SECONDS_PER_EVENT = 300.0  # for each object, once its burst is used up
MAX_ATTEMPTS = 5

K = TypeVar("K")
V = TypeVar("V")
T = TypeVar("T", bound=KubeObject)

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


class EventType(StrEnum):
    """How grave an Event is."""

    NORMAL = "Normal"
    WARNING = "Warning"


class ObjectReference(NamedTuple):
    """What an event is about."""

    api_version: str
    kind: str
    namespace: str
    name: str
    uid: str


def reference_to(obj: T, resource: Resource[T]) -> ObjectReference:
    """The resource says what lists leave out: apiVersion and kind."""
    metadata = obj.metadata
    return ObjectReference(resource.api_version, resource.kind, metadata.namespace, metadata.name, metadata.uid)


class EventsApi(Protocol):
    """What is needed of the client."""

    async def create(self, resource: Resource[Event], namespace: str | None, body: Mapping[str, Any]) -> Event: ...

    async def patch(
        self, resource: Resource[Event], namespace: str | None, name: str, body: Mapping[str, Any]
    ) -> Event: ...


class _Reported(NamedTuple):
    """What makes two events the same: sent again, it counts up."""

    regarding: ObjectReference
    type: EventType
    reason: str
    message: str


@dataclass(slots=True)
class _Occurrences:
    count: int
    first: datetime
    last: datetime


@dataclass(slots=True)
class _Series:
    """An event on the server."""

    name: str
    count: int


class EventRecorder:
    """Records events at once and sends them from `run`, one after the other, in the order of their first occurrence.

    The same event about the same object becomes one Event with a count; while it waits to be sent it is one request
    however often it occurs. For each object BURST events are sent, then one in SECONDS_PER_EVENT; what exceeds that
    or MAX_PENDING is dropped and counted. An event that the server refuses is logged and given up: events are a
    courtesy, nothing depends on them.
    """

    def __init__(self, api: EventsApi, component: str, *, instance: str = "", clock: Clock, random: Random) -> None:
        self.dropped_count = 0
        self._api = api
        self._component = component
        self._instance = instance
        self._clock = clock
        self._random = random
        self._pending: OrderedDict[_Reported, _Occurrences] = OrderedDict()
        self._series: OrderedDict[_Reported, _Series] = OrderedDict()
        self._limits: OrderedDict[ObjectReference, TokenBucket] = OrderedDict()
        self._wake = asyncio.Event()
        self._ended = asyncio.Event()
        self._is_running = False
        self._is_stopped = False
        self._last_stamp = 0

    def record(self, regarding: ObjectReference, type_: EventType, reason: str, message: str) -> None:
        """Never waits, never raises. reason is one CamelCase word; the message is cut at MAX_MESSAGE_LENGTH."""
        event = _Reported(regarding, type_, reason, _cut(message))
        now = self._clock.now()
        waiting = self._pending.get(event)
        if waiting is not None:
            waiting.count += 1
            waiting.last = now
        elif self._is_stopped or len(self._pending) >= MAX_PENDING or not self._limit_of(regarding).try_acquire():
            self.dropped_count += 1
        else:
            self._pending[event] = _Occurrences(1, now, now)
            self._wake.set()

    async def run(self) -> None:
        """Sends until `flush`, or cancellation, which drops what is pending."""
        self._is_running = True
        try:
            while self._pending or not self._is_stopped:
                if not self._pending:
                    self._wake.clear()
                    await self._wake.wait()
                    continue
                event, occurrences = self._pending.popitem(last=False)
                await self._deliver(event, occurrences)
        finally:
            self._is_running = False
            self._ended.set()

    async def flush(self) -> None:
        """Takes no more, and waits until `run` has sent what it can and ended. The caller bounds the time."""
        self._is_stopped = True
        self._wake.set()
        if self._is_running:
            await self._ended.wait()

    async def _deliver(self, event: _Reported, occurrences: _Occurrences) -> None:
        for failures in range(MAX_ATTEMPTS):
            try:
                with stray_cancellation_as_error("the event"):
                    return await self._send(event, occurrences)
            except (ApiError, TransportError, CancelledFromWithin) as error:
                if self._is_stopped or failures == MAX_ATTEMPTS - 1 or not is_transient(error):
                    self._give_up(event, error)
                    return None
            await asyncio.sleep(jittered(exponential(1.0, 10.0, failures), 0.5, self._random))
        return None

    def _give_up(self, event: _Reported, error: Exception) -> None:
        self.dropped_count += 1
        log.warning("Event not sent", reason=event.reason, object=event.regarding.name, error=repr(error))

    async def _send(self, event: _Reported, occurrences: _Occurrences) -> None:
        series = self._series.get(event)
        if series is not None:
            try:
                return await self._count_up(event, series, occurrences)
            except NotFound:  # events live for an hour
                del self._series[event]
        name = f"{event.regarding.name}.{self._next_stamp():x}"
        await self._api.create(CORE_EVENTS, _namespace(event), self._body(name, event, occurrences))
        _remember(self._series, event, _Series(name, occurrences.count))
        return None

    async def _count_up(self, event: _Reported, series: _Series, occurrences: _Occurrences) -> None:
        count = series.count + occurrences.count
        body = {"count": count, "lastTimestamp": _time(occurrences.last)}
        await self._api.patch(CORE_EVENTS, _namespace(event), series.name, body)
        series.count = count
        _remember(self._series, event, series)

    def _body(self, name: str, event: _Reported, occurrences: _Occurrences) -> Mapping[str, Any]:
        regarding = event.regarding
        return {
            "apiVersion": CORE_EVENTS.api_version,
            "kind": CORE_EVENTS.kind,
            "metadata": {"name": name, "namespace": _namespace(event)},
            "involvedObject": {
                "apiVersion": regarding.api_version,
                "kind": regarding.kind,
                "namespace": regarding.namespace,
                "name": regarding.name,
                "uid": regarding.uid,
            },
            "type": event.type,
            "reason": event.reason,
            "message": event.message,
            "count": occurrences.count,
            "firstTimestamp": _time(occurrences.first),
            "lastTimestamp": _time(occurrences.last),
            "source": {"component": self._component},
            "reportingComponent": self._component,
            "reportingInstance": self._instance,
        }

    def _limit_of(self, regarding: ObjectReference) -> TokenBucket:
        limit = self._limits.get(regarding) or TokenBucket(1 / SECONDS_PER_EVENT, BURST)
        _remember(self._limits, regarding, limit)
        return limit

    def _next_stamp(self) -> int:
        """Microseconds, never the same twice: it makes an event's name."""
        now = int(self._clock.now().timestamp() * 1e6)
        self._last_stamp = max(now, self._last_stamp + 1)
        return self._last_stamp


def _remember(remembered: OrderedDict[K, V], key: K, value: V) -> None:
    remembered[key] = value
    remembered.move_to_end(key)
    if len(remembered) > MAX_REMEMBERED:
        remembered.popitem(last=False)


def _namespace(event: _Reported) -> str:
    """Events about cluster-scoped objects live in the namespace default."""
    return event.regarding.namespace or "default"


def _cut(message: str) -> str:
    return message if len(message) <= MAX_MESSAGE_LENGTH else message[: MAX_MESSAGE_LENGTH - 1] + "…"


def _time(time: datetime) -> str:
    return time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
