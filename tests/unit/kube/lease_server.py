"""A server that holds one Lease, and connections to it that fail in every way."""

import asyncio
import re
from collections.abc import Callable, Mapping
from enum import Enum
from typing import Any

import msgspec

from modelinfer_controller.kube.errors import AlreadyExists, Conflict, InternalError, NotFound
from modelinfer_controller.kube.lease import Lease
from modelinfer_controller.kube.resource import Resource
from modelinfer_controller.kube.transport import TransportError

MICRO_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z")


class LeaseServer:
    """Stores with optimistic locking; an update that changes nothing makes no new version."""

    def __init__(self) -> None:
        self.stored: dict[str, Any] | None = None
        self.version = 0
        self.stored_at = 0.0
        self.holders: list[str] = []
        self.before_answer: Callable[[], None] = lambda: None

    def lease(self) -> Lease:
        if self.stored is None:
            raise NotFound(404, "NotFound", "no lease")
        return msgspec.convert(self.stored, Lease)

    def create(self, body: Mapping[str, Any]) -> Lease:
        if self.stored is not None:
            raise AlreadyExists(409, "AlreadyExists", "lease exists")
        return self.store(body)

    def update(self, body: Mapping[str, Any]) -> Lease:
        if body["metadata"]["resourceVersion"] != self.lease().metadata.resource_version:
            raise Conflict(409, "Conflict", "the lease has been modified")
        assert self.stored is not None
        return self.lease() if body["spec"] == self.stored["spec"] else self.store(body)

    def store(self, body: Mapping[str, Any]) -> Lease:
        spec = body["spec"]
        assert all(MICRO_TIME.fullmatch(spec[name]) for name in ("acquireTime", "renewTime"))
        assert spec["leaseDurationSeconds"] > 0
        self.version += 1
        self.stored_at = asyncio.get_running_loop().time()
        self.stored = {**body, "metadata": {**body["metadata"], "resourceVersion": str(self.version)}}
        if not self.holders or self.holders[-1] != spec["holderIdentity"]:
            self.holders.append(spec["holderIdentity"])
        self.before_answer()
        return self.lease()


class Link(Enum):
    """What becomes of a request."""

    UP = "answered"
    REFUSED = "not sent"
    SILENT = "lost on its way there"
    DEAF = "stored, and the answer lost"
    BROKEN = "stored, and answered with an error"
    STRAY = "broken off by a library below"
    LATE = "stored 4 s later, even if the sender has given up"


class Connection:
    """One candidate's way to the server; set `link` to break it."""

    def __init__(self, server: LeaseServer, latency: float = 0.01) -> None:
        self.server = server
        self.latency = latency
        self.link = Link.UP
        self.request_count = 0

    async def get(self, resource: Resource[Lease], namespace: str | None, name: str) -> Lease:
        return await self.send(self.server.lease)

    async def create(self, resource: Resource[Lease], namespace: str | None, body: Mapping[str, Any]) -> Lease:
        return await self.send(lambda: self.server.create(body))

    async def update(
        self, resource: Resource[Lease], namespace: str | None, name: str, body: Mapping[str, Any]
    ) -> Lease:
        return await self.send(lambda: self.server.update(body))

    async def send(self, act: Callable[[], Lease]) -> Lease:
        self.request_count += 1
        await asyncio.sleep(self.latency)
        match self.link:
            case Link.UP:
                lease = act()
            case Link.REFUSED:
                raise TransportError("connection refused")
            case Link.SILENT:
                await asyncio.Event().wait()
            case Link.DEAF:
                act()
                await asyncio.Event().wait()
            case Link.BROKEN:
                act()
                raise InternalError(500, "InternalError", "etcd timed out")
            case Link.STRAY:
                raise asyncio.CancelledError
            case Link.LATE:
                lease = await self.later(act)
        await asyncio.sleep(self.latency)
        return lease

    @staticmethod
    async def later(act: Callable[[], Lease]) -> Lease:
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Lease] = loop.create_future()

        def arrive() -> None:
            try:
                lease = act()
            except Exception as error:  # noqa: BLE001 # becomes the server's answer
                if not answer.done():
                    answer.set_exception(error)
            else:
                if not answer.done():
                    answer.set_result(lease)

        loop.call_later(4, arrive)
        return await answer
