"""Keeps a sink the same as a resource on the server: list, then watch from there, for ever."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from logging import DEBUG, WARNING
from typing import Generic, NoReturn, Protocol, TypeVar, assert_never

import structlog

from modelinfer_controller.api.core import KubeObject
from modelinfer_controller.api.names import ObjectName
from modelinfer_controller.kube.backoff import Backoff, Random
from modelinfer_controller.kube.cache.source import ListerWatcher
from modelinfer_controller.kube.cache.version import is_older
from modelinfer_controller.kube.errors import (
    ApiError,
    Expired,
    Forbidden,
    NotFound,
    TooLargeResourceVersion,
    is_transient,
)
from modelinfer_controller.kube.transport import TransportError
from modelinfer_controller.kube.watch import Added, Bookmark, Deleted, Modified, WatchEvent

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)

T = TypeVar("T", bound=KubeObject)
T_contra = TypeVar("T_contra", bound=KubeObject, contravariant=True)

ANY_VERSION = "0"  # any state that a server has cached
NEWEST_VERSION = ""

MIN_WATCH_TIMEOUT = 300.0
WATCH_DEADLINE_MARGIN = 30.0  # what the server's own time-out is given to arrive
SHORT_WATCH = 1.0  # a stream that ends sooner, with no event, is an error
STREAMING_LIST_TIMEOUT = 120.0
FAILED_WATCHES_BEFORE_RELIST = 3

BACKOFF_BASE = 0.8
BACKOFF_CAP = 30.0
BACKOFF_JITTER = 1.0
BACKOFF_RESET_AFTER = 120.0
MAX_RETRY_AFTER = 120.0


class ResourceNotServed(Exception):
    """The server answers 404 to a list or a watch: it does not know the resource."""


class ReflectorSink(Protocol[T_contra]):
    """Where what was read goes. namespace is the scope of the reflector, None for all namespaces."""

    async def replace(self, objects: Sequence[T_contra], namespace: str | None) -> None:
        """A whole list: whatever else is in the scope is gone."""

    def put(self, obj: T_contra) -> None:
        """One object was added or modified."""

    def remove(self, obj: T_contra) -> None:
        """One object was deleted; obj is its final state."""

    def answered(self, verb: str, namespace: str | None, forbidden: Forbidden | None) -> None:
        """The server answered to a list or a watch (verb): it grants or forbids it."""


@dataclass(slots=True)
class ReflectorCounters:
    """What a reflector has done so far."""

    list_count: int = 0
    list_error_count: int = 0
    watch_count: int = 0
    watch_error_count: int = 0
    event_count: int = 0
    bookmark_count: int = 0


class Reflector(Generic[T]):
    """Owned by one task that calls `run` once.

    The resource version never goes back, except after a list at a version the server does not have (any more).
    """

    def __init__(
        self,
        name: str,
        source: ListerWatcher[T],
        sink: ReflectorSink[T],
        *,
        random: Random,
        use_streaming_list: bool = False,
        resource_version: str = "",
    ) -> None:
        """resource_version is what the sink has already, "" where it is empty: the first list is no older."""
        self.counters = ReflectorCounters()
        self.last_sync_resource_version = resource_version
        self._source = source
        self._sink = sink
        self._random = random
        self._streams_lists = use_streaming_list
        self._list_version = resource_version or ANY_VERSION
        self._last_contact: float | None = None
        self._last_report: tuple[str, str] | None = None  # what was logged last: the same again is not worth a line
        self._backoff = Backoff(
            BACKOFF_BASE, BACKOFF_CAP, random=random, jitter=BACKOFF_JITTER, reset_after=BACKOFF_RESET_AFTER
        )
        self._log = log.bind(resource=name, namespace=source.namespace or "")

    def seconds_since_contact(self) -> float | None:
        """Since the last list, event, bookmark or accepted watch; None before the first."""
        if self._last_contact is None:
            return None
        return asyncio.get_running_loop().time() - self._last_contact

    async def run(self) -> NoReturn:
        """Ends by cancellation. Raises ResourceNotServed on a 404."""
        while True:
            if not (self._streams_lists and await self._stream_list()):
                await self._list_until_done()
            await self._watch_until_relist()

    # List

    async def _list_until_done(self) -> None:
        while True:
            try:
                return await self._list()
            except NotFound as error:
                raise ResourceNotServed(str(error)) from error
            except (Expired, TooLargeResourceVersion) as error:
                self.counters.list_error_count += 1
                known_version, self._list_version = self._list_version, NEWEST_VERSION
                if known_version == NEWEST_VERSION:
                    await self._rest("list failed", error)
            except (ApiError, TransportError) as error:
                self.counters.list_error_count += 1
                self._note_refusal("list", error)
                await self._rest("list failed", error)

    async def _list(self) -> None:
        self.counters.list_count += 1
        found = await self._source.list(self._list_version)
        self._sink.answered("list", self._source.namespace, None)
        await self._sink.replace(found.items, self._source.namespace)
        self._listed(found.metadata.resource_version)

    # Watch

    async def _watch_until_relist(self) -> None:
        failures = 0
        while failures < FAILED_WATCHES_BEFORE_RELIST:
            try:
                event_count = await self._watch()
            except NotFound as error:
                raise ResourceNotServed(str(error)) from error
            except Expired:
                self.counters.watch_error_count += 1
                return
            except TransportError as error:  # the version is good still; a list would only add to the load
                self.counters.watch_error_count += 1
                await self._rest("watch failed", error)
            except ApiError as error:
                self.counters.watch_error_count += 1
                self._note_refusal("watch", error)
                await self._rest("watch failed", error)
                if not is_transient(error) or isinstance(error, TooLargeResourceVersion):
                    return
                failures += error.status >= 500  # an ERROR event that comes at each try
            else:
                failures = 0 if event_count else failures

    async def _watch(self) -> int:
        """One stream to its end; returns the number of its events and bookmarks. Rests after a short one."""
        started, before = self._now(), self._heard_count()
        timeout = MIN_WATCH_TIMEOUT * (1 + self._random.random())
        self.counters.watch_count += 1
        try:
            async with asyncio.timeout(timeout + WATCH_DEADLINE_MARGIN):
                async with self._source.watch(self.last_sync_resource_version, int(timeout)) as stream:
                    self._last_contact = self._now()
                    self._sink.answered("watch", self._source.namespace, None)
                    await self._consume(stream.events())
        except TimeoutError:
            self._log.info("watch went silent", seconds=timeout + WATCH_DEADLINE_MARGIN)
        heard_count = self._heard_count() - before
        if heard_count == 0 and self._now() - started < SHORT_WATCH:
            self.counters.watch_error_count += 1
            await self._rest("watch closed at once", None)
        return heard_count

    async def _consume(self, events: AsyncIterator[WatchEvent[T]]) -> None:
        async for event in events:
            self._accept(event)

    def _accept(self, event: WatchEvent[T]) -> None:
        if isinstance(event, Bookmark):
            self.counters.bookmark_count += 1
            self._seen(event.resource_version)
            return
        self.counters.event_count += 1
        version = event.obj.metadata.resource_version
        if is_older(version, self.last_sync_resource_version):  # said before: acting on it would go back in time
            return
        if isinstance(event, Deleted):
            self._sink.remove(event.obj)
        else:
            self._sink.put(event.obj)
        self._seen(version)

    # Streaming list

    async def _stream_list(self) -> bool:
        """A list that comes as events, and the watch that goes on in the same stream; returns when that ends.

        False if the list did not come to its end: nothing has changed then. What ends the watch after it is left for
        the next watch to meet again.
        """
        timeout = MIN_WATCH_TIMEOUT * (1 + self._random.random())
        listed = False
        self.counters.list_count += 1
        try:
            async with asyncio.timeout(STREAMING_LIST_TIMEOUT) as deadline:
                async with self._source.watch(self._list_version, int(timeout), send_initial_events=True) as stream:
                    events = stream.events()
                    objects, resource_version = await self._collect(events)
                    deadline.reschedule(self._now() + timeout + WATCH_DEADLINE_MARGIN)
                    await self._sink.replace(objects, self._source.namespace)
                    listed = True
                    self._listed(resource_version)
                    await self._consume(events)
        except (ApiError, TransportError, TimeoutError) as error:
            if not listed:
                self.counters.list_error_count += 1
                self._streams_lists = is_transient(error)  # a server that refuses it will do so again
                self._log.info("streaming list failed", error=str(error) or type(error).__name__)
        return listed

    async def _collect(self, events: AsyncIterator[WatchEvent[T]]) -> tuple[Sequence[T], str]:
        """The objects up to the bookmark that ends the list, and its version."""
        objects: dict[ObjectName, T] = {}
        async for event in events:
            match event:
                case Added(obj) | Modified(obj):
                    objects[obj.metadata.object_name] = obj
                case Deleted(obj):
                    objects.pop(obj.metadata.object_name, None)
                case Bookmark(resource_version, is_initial_events_end=True):
                    return tuple(objects.values()), resource_version
                case Bookmark():
                    pass
                case _:
                    assert_never(event)
        raise TransportError("the stream ended before the list did")

    # Bookkeeping

    def _listed(self, resource_version: str) -> None:
        """A list is the truth, even where its version is older: the server may have been restored from a backup."""
        self.last_sync_resource_version = self._list_version = resource_version
        self._last_contact = self._now()

    def _seen(self, resource_version: str) -> None:
        self._last_contact = self._now()
        if resource_version and not is_older(resource_version, self.last_sync_resource_version):
            self.last_sync_resource_version = self._list_version = resource_version

    def _heard_count(self) -> int:
        return self.counters.event_count + self.counters.bookmark_count

    def _note_refusal(self, verb: str, error: ApiError | TransportError) -> None:
        if isinstance(error, Forbidden):
            self._sink.answered(verb, self._source.namespace, error)

    async def _rest(self, message: str, error: ApiError | TransportError | None) -> None:
        delay = self._backoff.next_delay()
        if isinstance(error, ApiError) and error.retry_after is not None:
            delay = max(delay, min(error.retry_after, MAX_RETRY_AFTER))
        report = (message, str(error))
        self._log.log(
            DEBUG if report == self._last_report else WARNING,
            message,
            error=str(error) if error else None,
            retry_in=round(delay, 3),
        )
        self._last_report = report
        await asyncio.sleep(delay)

    def _now(self) -> float:
        return asyncio.get_running_loop().time()
