"""Who did what to the cluster: every request of the controller, and every change of the store with its author."""

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from modelinfer_controller.kube.transport import Request, Response
from modelinfer_controller.simulator.apiserver.api_server import ApiServer
from modelinfer_controller.simulator.apiserver.store import Change
from modelinfer_controller.simulator.apiserver.transport import InProcessTransport

READ = "GET"
CONTROLLER = "controller"


@dataclass(frozen=True)
class Entry:
    """One change of the store. time is the loop's; author "" is the cluster itself (garbage collection)."""

    time: float
    author: str
    request: Request | None
    change: Change


@dataclass(frozen=True)
class Exchange:
    """One answered request of the controller; body is its decoded JSON, {} where it has none."""

    time: float
    request: Request
    body: Any
    response: Response
    entries: tuple[Entry, ...]

    @property
    def is_write(self) -> bool:
        return self.request.method != READ

    def __str__(self) -> str:
        return f"{self.time:.3f} s: {self.request.method} {self.request.path} -> {self.response.status}"


class Journal:
    """Listens to the store; observers are told of each entry at once, and of each exchange right after its entries.

    An observer that raises fails the history: what it raised first is kept in `broken`, since it is raised in the
    middle of somebody's request.
    """

    def __init__(self, api: ApiServer) -> None:
        self._loop = asyncio.get_running_loop()
        self._author = ""
        self._request: Request | None = None
        self._entries: list[Entry] = []
        self.controller_writes: list[Exchange] = []
        self.broken: AssertionError | None = None
        self.on_entry: list[Callable[[Entry], None]] = []
        self.on_exchange: list[Callable[[Exchange], None]] = []
        api.store.listen(self._note)

    def check(self) -> None:
        """Raises what an observer found to be wrong."""
        if self.broken is not None:
            raise self.broken

    def perform(self, author: str, request: Request, handle: Callable[[Request], Response]) -> Response:
        self._author, self._request, self._entries = author, request, []
        try:
            response = handle(request)
        finally:
            self._author, self._request = "", None
        if author == CONTROLLER:
            body = json.loads(request.body) if request.body else {}
            exchange = Exchange(self._loop.time(), request, body, response, tuple(self._entries))
            if exchange.is_write:
                self.controller_writes.append(exchange)
            self._tell(self.on_exchange, exchange)
        return response

    def _note(self, change: Change) -> None:
        entry = Entry(self._loop.time(), self._author, self._request, change)
        self._entries.append(entry)
        self._tell(self.on_entry, entry)

    def _tell(self, observers: list[Callable[[Any], None]], what: Any) -> None:
        for observer in observers:
            try:
                observer(what)
            except AssertionError as error:
                self.broken = self.broken or error


class JournaledTransport(InProcessTransport):
    """A client's way to the server, on which all that it does is noted with its name."""

    def __init__(self, api: ApiServer, journal: Journal, author: str) -> None:
        super().__init__(api, user_agent=author)
        self._journal = journal
        self._name = author

    async def request(self, request: Request) -> Response:
        signed = self._signed(request)
        await self._reach_server(signed)
        return self._journal.perform(self._name, signed, self._api.handle)
