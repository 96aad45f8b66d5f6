"""An informer of a kind that the cluster may or may not have, and that may come and go while we run."""

import asyncio
from collections.abc import Callable
from typing import Generic, NoReturn, TypeVar

import msgspec
import structlog

from modelinfer_controller.api.core import KubeObject, WireStruct
from modelinfer_controller.kube.backoff import Backoff, Random
from modelinfer_controller.kube.cache.informer import SharedInformer
from modelinfer_controller.kube.cache.reflector import ResourceNotServed
from modelinfer_controller.kube.cache.store import Lister
from modelinfer_controller.kube.client import Client
from modelinfer_controller.kube.errors import ApiError, Forbidden, NotFound
from modelinfer_controller.kube.resource import Resource
from modelinfer_controller.kube.transport import TransportError

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)

T = TypeVar("T", bound=KubeObject)

POLL_INTERVAL = 10.0
MAX_PATIENCE = 10.0  # seconds without an answer, after which the resource counts as unavailable


class _ApiResource(WireStruct, frozen=True):
    name: str = ""


class _ApiResourceList(WireStruct, frozen=True):
    resources: tuple[_ApiResource, ...] | None = ()


async def is_resource_served(client: Client, resource: Resource[T]) -> bool:
    """What discovery says. Raises ApiError and TransportError."""
    try:
        body = await client.raw_get(resource.group_path)
    except NotFound:
        return False
    found = msgspec.json.decode(body, type=_ApiResourceList)
    return any(served.name == resource.plural for served in found.resources or ())


class DiscoveredInformer(Generic[T]):
    """Polls discovery until the resource is served, then keeps its cache until it is served no more.

    The informer that it wraps is only ever run by it; while the resource is not served its store is empty. A resource
    that is forbidden, or whose discovery or list fails for long, holds up nobody who waits for `has_synced`: it counts
    as not served, and `problem` says why.
    """

    def __init__(
        self,
        client: Client,
        resource: Resource[T],
        informer: SharedInformer[T],
        *,
        random: Random,
        poll_interval: float = POLL_INTERVAL,
        on_served_changed: Callable[[bool], None] | None = None,
    ) -> None:
        """on_served_changed(is_served): called when `is_served` or `problem` has changed."""
        self.name = informer.name
        self.informer = informer
        self._client = client
        self._resource = resource
        self._poll_interval = poll_interval
        self._on_served_changed = on_served_changed
        self._is_served = False
        self._problem = ""
        self._known = asyncio.Event()
        self._check = asyncio.Event()
        self._backoff = Backoff(0.8, poll_interval, random=random, jitter=1.0, reset_after=120.0)
        informer.on_access_changed(self._tell_access)

    @property
    def lister(self) -> Lister[T]:
        return self.informer.lister

    @property
    def is_served(self) -> bool:
        """Whether the resource is served, may be read, and the store has its initial list."""
        return self._is_served

    @property
    def problem(self) -> str:
        """Why a resource that the server may well serve is not available, for people; "" where nothing is wrong."""
        return self._problem

    @property
    def has_synced(self) -> bool:
        """Whether it is known that the resource is not available, or its initial list is in the store."""
        return self._known.is_set()

    async def wait_for_sync(self) -> None:
        await self._known.wait()

    def check_now(self) -> None:
        """Asks discovery at once, as when someone has said that the kind is there."""
        self._check.set()

    async def run(self) -> NoReturn:
        """Ends by cancellation."""
        while True:
            if await self._ask():
                await self._run_while_served()
            else:
                self._tell(is_served=False)
                await self._pause(self._poll_interval)

    async def _ask(self) -> bool:
        """The first answer that discovery gives."""
        asked_at = asyncio.get_running_loop().time()
        while True:
            try:
                return await is_resource_served(self._client, self._resource)
            except (ApiError, TransportError, msgspec.DecodeError) as error:
                log.warning("discovery failed", resource=self.name, error=str(error))
                is_over = asyncio.get_running_loop().time() - asked_at >= MAX_PATIENCE
                if not self._is_served and (is_over or isinstance(error, Forbidden)):
                    self._tell(is_served=False, problem=f"discovery of {self._resource} fails: {error}")
                await self._pause(self._backoff.next_delay())

    async def _run_while_served(self) -> None:
        """Until discovery agrees that a 404 means what it says: a server that is starting may answer so too."""
        while True:
            telling = asyncio.create_task(self._tell_when_synced(), name=f"served-{self.name}")
            try:
                await self.informer.run()
            except ResourceNotServed:
                if not await self._ask():
                    return self._forget()
            finally:
                telling.cancel()
                await asyncio.gather(telling, return_exceptions=True)
            await self._pause(self._backoff.next_delay())

    async def _tell_when_synced(self) -> None:
        try:
            async with asyncio.timeout(MAX_PATIENCE):
                await self.informer.wait_for_sync()
        except TimeoutError:
            if not self._problem:
                self._tell(is_served=False, problem=f"{self._resource} are served but cannot be listed")
            await self.informer.wait_for_sync()
        self._tell_access()

    def _tell_access(self) -> None:
        missing = self.informer.missing_permission
        if missing is not None:
            verb, namespace = missing
            where = f"in namespace {namespace}" if namespace else "in all namespaces"
            self._tell(is_served=False, problem=f"the controller may not {verb} {self._resource} {where}")
        elif self.informer.has_synced:
            self._tell(is_served=True)

    def _forget(self) -> None:
        self.informer.reset()
        self._tell(is_served=False)

    def _tell(self, *, is_served: bool, problem: str = "") -> None:
        changed = (is_served, problem) != (self._is_served, self._problem)
        self._is_served, self._problem = is_served, problem
        self._known.set()
        if changed:
            log.info("Optional resource", resource=self.name, is_served=is_served, problem=problem)
            if self._on_served_changed is not None:
                self._on_served_changed(is_served)

    async def _pause(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._check.wait()
        except TimeoutError:
            pass
        self._check.clear()
