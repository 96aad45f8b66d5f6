"""The order in which the parts start and stop, in one place.

start   servers, caches, caches synced, lease, workers
stop    workers drain, events are sent, caches, servers, the lease last
"""

import asyncio
import gc
from collections.abc import Callable
from typing import NoReturn, Protocol

import structlog

from modelinfer_controller.controller.wiring import Components
from modelinfer_controller.kube.leaderelection import LeaderElector, LeadershipLost
from modelinfer_controller.kube.tasks import result_of

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)

FLUSH_TIMEOUT = 2.0
# Allocated since the last look at the young ones, before the collector looks again. Python's 700 is gone with every few
# requests; what holds a response and its task together is freed without the collector.
YOUNG_OBJECTS = 20_000
SYNC_REMINDER = 30.0  # seconds between two lines that say which caches are still waited for


class Runnable(Protocol):
    """Something that runs next to the work, such as a server."""

    async def start(self) -> None: ...

    async def stop(self) -> None:
        """May be called more than once."""


class Sender(Protocol):
    """Sends events to users, see `kube.events.EventRecorder`."""

    async def run(self) -> None: ...

    async def flush(self) -> None: ...


class Manager:
    """Runs the components, as leader where there is an elector. For one `run`.

    servers are up before everything else and until the end; events are sent while there is work;
    on_leadership_lost ends the process: nothing is cleaned up then.
    """

    def __init__(
        self,
        components: Components,
        *,
        elector: LeaderElector | None,
        servers: Runnable,
        events: Sender,
        drain_timeout: float,
        on_leadership_lost: Callable[[LeadershipLost], NoReturn],
    ) -> None:
        self._components = components
        self._elector = elector
        self._servers = servers
        self._events = events
        self._drain_timeout = drain_timeout
        self._on_leadership_lost = on_leadership_lost
        self._is_leading = False
        self._caches: asyncio.Task[None] | None = None
        self._has_stopped_caches = False

    async def run(self, stop: asyncio.Event) -> None:
        """Until `stop` is set. Raises what ended it before: ResourceNotServed, a fault of a part."""
        try:
            await self._servers.start()
            self._caches = asyncio.create_task(self._components.run_caches(), name="caches")
            await self._run_parts(self._caches, stop)
        finally:
            await self._stop_caches()
            await self._servers.stop()

    async def _run_parts(self, caches: "asyncio.Task[None]", stop: asyncio.Event) -> None:
        work = asyncio.create_task(self._work(), name="work")
        stopped = asyncio.create_task(stop.wait(), name="stop signal")
        try:
            await asyncio.wait((caches, work, stopped), return_when=asyncio.FIRST_COMPLETED)
            if stop.is_set():
                await self._drain(work)
            if caches.done() and not self._has_stopped_caches:
                result_of(caches)
            if work.done():
                result_of(work)
        finally:
            await _end(work)
            await _end(stopped)

    async def _work(self) -> None:
        await self._wait_for_sync()
        log.info("Caches synced", model_infers=len(self._components.caches.model_infers.store))
        if self._elector is None:
            await self._lead()
            return
        try:
            await self._elector.run(self._lead)
        except LeadershipLost as error:
            self._on_leadership_lost(error)

    async def _wait_for_sync(self) -> None:
        """Off during the initial lists, and blind to them afterwards: they are most of the heap, and live on."""
        gc.disable()
        try:
            while not self._components.caches.has_synced:
                try:
                    async with asyncio.timeout(SYNC_REMINDER):
                        await self._components.caches.wait_for_sync()
                except TimeoutError:
                    waiting = [
                        informer.name for informer in self._components.caches.informers if not informer.has_synced
                    ]
                    log.warning("Still waiting for caches", informers=waiting)
        finally:
            gc.enable()
        gc.freeze()
        gc.set_threshold(YOUNG_OBJECTS)

    async def _lead(self) -> None:
        """Ends after the queue was shut down, with everything else stopped, so that the lease goes last."""
        log.info("Workers started")
        self._is_leading = True
        workers = asyncio.create_task(self._components.run_workers(), name="workers")
        events = asyncio.create_task(self._events.run(), name="events")
        try:
            await asyncio.wait((workers, events), return_when=asyncio.FIRST_COMPLETED)
            if events.done():
                result_of(events)
            await asyncio.wait((workers,))
            result_of(workers)
            await self._flush_events()
        finally:
            await _end(workers)
            await _end(events)
        await self._stop_caches()
        await self._servers.stop()

    async def _flush_events(self) -> None:
        try:
            async with asyncio.timeout(FLUSH_TIMEOUT):
                await self._events.flush()
        except TimeoutError:
            log.warning("Not all events were sent", seconds=FLUSH_TIMEOUT)

    async def _drain(self, work: "asyncio.Task[None]") -> None:
        log.info("Stopping", queued=len(self._components.queue))
        self._components.queue.shut_down()
        if not self._is_leading:
            return
        await asyncio.wait((work,), timeout=self._drain_timeout)
        if not work.done():
            log.warning("Reconciles did not end in time and are cancelled", seconds=self._drain_timeout)

    async def _stop_caches(self) -> None:
        self._has_stopped_caches = True
        if self._caches is not None:
            await _end(self._caches)


async def _end(task: "asyncio.Task[object]") -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
