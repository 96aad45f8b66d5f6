"""One process's metrics, and how a scrape gets them."""

import asyncio
from collections.abc import Callable

from prometheus_client import GCCollector, PlatformCollector, ProcessCollector, disable_created_metrics
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import CollectorRegistry


class Metrics:
    """Gauges that are only worth reading when somebody asks are set by refreshers, just before."""

    def __init__(self) -> None:
        # Of the whole process: such series double what counts, and nobody asks for them.
        disable_created_metrics()  # type: ignore[no-untyped-call] # the library declares no types for it
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        GCCollector(registry=self.registry)
        self._refreshers: list[Callable[[], None]] = []

    def refresh_by(self, refresher: Callable[[], None]) -> None:
        """Called in the loop before each scrape. Must not block or raise."""
        self._refreshers.append(refresher)

    def refresh(self) -> None:
        """In the loop; `expose` does it too."""
        for refresher in self._refreshers:
            refresher()

    async def expose(self, accept: str) -> tuple[bytes, str]:
        """The exposition and its content type; rendered in a thread, since it may have many thousand lines."""
        self.refresh()
        encode, content_type = choose_encoder(accept)
        return await asyncio.to_thread(encode, self.registry), content_type
