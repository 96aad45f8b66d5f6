"""The client: verbs over resources, bytes on the wire, Structs in the hand."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from typing import Any, Protocol, TypeAlias, TypeVar

import msgspec

from modelinfer_controller.api.core import KubeObject, ObjectList
from modelinfer_controller.kube.decoding import decode_list, decode_object
from modelinfer_controller.kube.errors import Expired, TooManyRequests, error_of_response
from modelinfer_controller.kube.flowcontrol import RateLimiter, Unlimited
from modelinfer_controller.kube.resource import Resource
from modelinfer_controller.kube.tasks import CancelledFromWithin, stray_cancellation_as_error
from modelinfer_controller.kube.transport import Request, Response, StreamResponse, Transport, TransportError
from modelinfer_controller.kube.watch import WatchStream

T = TypeVar("T", bound=KubeObject)
Body: TypeAlias = bytes | Mapping[str, Any]
"""A request's body: JSON bytes, or a mapping that msgspec encodes (its values may be Structs or msgspec.Raw)."""

JSON = "application/json"
MERGE_PATCH = "application/merge-patch+json"
JSON_PATCH = "application/json-patch+json"
STRATEGIC_MERGE_PATCH = "application/strategic-merge-patch+json"
APPLY_PATCH = "application/apply-patch+yaml"  # JSON is YAML

PAGE_SIZE = 500
REQUEST_TIMEOUT = 30.0
LIST_TIMEOUT = 60.0  # of one page; also what kube-apiserver grants
MAX_THROTTLED_ATTEMPTS = 5
MAX_RETRY_AFTER = 30.0
MAX_ERROR_BODY = 64 * 1024


class RequestObserver(Protocol):
    """Hears of each exchange with the API server."""

    def __call__(self, verb: str, resource: str, status_code: int, seconds: float) -> None:
        """Called with each exchange: verb as in RBAC, resource as plural[/subresource], status 0 without an answer."""


def ignore_request(verb: str, resource: str, status_code: int, seconds: float) -> None:
    """The observer of who does not observe."""


class Client:
    """Talks to one API server. Errors: ApiError if it refuses, TransportError if no answer came.

    A request turned away by flow control (429 with Retry-After) is sent again a few times. Nothing else is retried
    here: whether to try again is the caller's knowledge.
    """

    def __init__(
        self,
        transport: Transport,
        *,
        rate_limiter: RateLimiter | None = None,
        on_request: RequestObserver = ignore_request,
    ) -> None:
        self._transport = transport
        self._rate_limiter = rate_limiter or Unlimited()
        self._on_request = on_request

    async def get(
        self, resource: Resource[T], namespace: str | None, name: str, *, subresource: str | None = None
    ) -> T:
        request = Request("GET", resource.path(namespace, name, subresource), timeout=REQUEST_TIMEOUT)
        return await self._object("get", resource, request, subresource)

    async def list_page(
        self,
        resource: Resource[T],
        namespace: str | None = None,
        *,
        label_selector: str = "",
        field_selector: str = "",
        resource_version: str = "",
        limit: int = PAGE_SIZE,
        continue_: str = "",
    ) -> ObjectList[T]:
        """One page: of all namespaces for None. limit 0 asks for everything at once.

        resource_version: "" is the newest state; "0" any state that a cache holds; another one, no older than that.
        A page after the first has the version of the first. Raises Expired when continue_ is too old.
        """
        query = {"labelSelector": label_selector, "fieldSelector": field_selector, "continue": continue_}
        query["limit"] = str(limit) if limit else ""
        if not continue_:
            query["resourceVersion"] = resource_version
            query["resourceVersionMatch"] = "NotOlderThan" if resource_version not in ("", "0") else ""
        request = Request("GET", resource.path(namespace), query=_given(query), timeout=LIST_TIMEOUT)
        return decode_list(resource.type, await self._send("list", resource.plural, request))

    async def list_all(
        self,
        resource: Resource[T],
        namespace: str | None = None,
        *,
        label_selector: str = "",
        field_selector: str = "",
        resource_version: str = "",
    ) -> ObjectList[T]:
        """Every page as one list, with the version that a watch continues from.

        When a page expires under way the list is asked for once more in one piece, which cannot expire.
        """

        async def page(limit: int, continue_: str = "") -> ObjectList[T]:
            return await self.list_page(
                resource,
                namespace,
                label_selector=label_selector,
                field_selector=field_selector,
                resource_version=resource_version,
                limit=limit,
                continue_=continue_,
            )

        found = await page(PAGE_SIZE)
        items = [*found.items]
        while found.metadata.continue_:
            try:
                found = await page(PAGE_SIZE, found.metadata.continue_)
            except Expired:
                return await page(0)
            items += found.items
        return ObjectList(metadata=found.metadata, items=tuple(items))

    async def create(self, resource: Resource[T], namespace: str | None, body: Body) -> T:
        """Raises AlreadyExists if the name is taken; after a TransportError the object may exist."""
        return await self._object("create", resource, _with_body("POST", resource.path(namespace), body))

    async def update(
        self, resource: Resource[T], namespace: str | None, name: str, body: Body, *, subresource: str | None = None
    ) -> T:
        """Replaces the whole object: raises Conflict if the body's resourceVersion is not the stored one."""
        request = _with_body("PUT", resource.path(namespace, name, subresource), body)
        return await self._object("update", resource, request, subresource)

    async def patch(  # noqa: PLR0913 # the parameters of a patch
        self,
        resource: Resource[T],
        namespace: str | None,
        name: str,
        body: Body,
        *,
        content_type: str = MERGE_PATCH,
        subresource: str | None = None,
        field_manager: str = "",
        force: bool = False,
        dry_run: bool = False,
    ) -> T:
        """APPLY_PATCH needs a field_manager; force takes fields over from other managers. dry_run: nothing is stored.

        A resourceVersion in the body's metadata that is not the stored one raises Conflict, another UID Invalid. The
        status subresource of a custom resource heeds neither: there, a JSON patch can test the UID.
        """
        request = _with_body(
            "PATCH",
            resource.path(namespace, name, subresource),
            body,
            content_type=content_type,
            query=_given(
                {"fieldManager": field_manager, "force": "true" if force else "", "dryRun": "All" if dry_run else ""}
            ),
        )
        return await self._object("patch", resource, request, subresource)

    async def delete(
        self,
        resource: Resource[T],
        namespace: str | None,
        name: str,
        *,
        uid: str | None,
        propagation_policy: str | None = None,
        grace_period_seconds: int | None = None,
    ) -> None:
        """Asks for the deletion of the object with that UID; finalizers and grace may keep it a while.

        Raises NotFound if the name is free and Conflict if it belongs to another UID. None deletes whatever has the
        name.
        """
        options: dict[str, Any] = {"apiVersion": "v1", "kind": "DeleteOptions"}
        if uid is not None:
            options["preconditions"] = {"uid": uid}
        if propagation_policy is not None:
            options["propagationPolicy"] = propagation_policy
        if grace_period_seconds is not None:
            options["gracePeriodSeconds"] = grace_period_seconds
        await self._send("delete", resource.plural, _with_body("DELETE", resource.path(namespace, name), options))

    @asynccontextmanager
    async def watch(
        self,
        resource: Resource[T],
        namespace: str | None = None,
        *,
        resource_version: str,
        timeout_seconds: int,
        label_selector: str = "",
        field_selector: str = "",
        send_initial_events: bool = False,
    ) -> AsyncIterator[WatchStream[T]]:
        """Opens a watch with bookmarks; leaving the context closes it.

        The server closes the stream after timeout_seconds, the caller sets a deadline of its own above that: a dead
        connection says nothing. send_initial_events makes it a streaming list.
        """
        query = {
            "watch": "true",
            "allowWatchBookmarks": "true",
            "timeoutSeconds": str(timeout_seconds),
            "resourceVersion": resource_version,
            "labelSelector": label_selector,
            "fieldSelector": field_selector,
        }
        if send_initial_events:
            query |= {"sendInitialEvents": "true", "resourceVersionMatch": "NotOlderThan"}
        request = Request(
            "GET",
            resource.path(namespace),
            query=_given(query),
            headers={"Accept-Encoding": "identity"},
            timeout=REQUEST_TIMEOUT,
        )
        await self._rate_limiter.acquire()
        async with self._opened("watch", resource.plural, request) as response:
            if response.status != 200:
                raise error_of_response(response.status, await _start_of_body(response), response.headers)
            yield WatchStream(response, resource.type)

    async def raw_get(self, path: str, query: Mapping[str, str] | None = None) -> bytes:
        """Body of a GET of any path: /version, discovery, /openapi, a pod's log."""
        return (await self._send("get", path, Request("GET", path, query or {}, timeout=REQUEST_TIMEOUT))).body

    @asynccontextmanager
    async def raw_stream(self, path: str, query: Mapping[str, str]) -> AsyncIterator[StreamResponse]:
        """A GET whose body is read line by line as it comes, such as a log that is followed."""
        request = Request("GET", path, query, timeout=REQUEST_TIMEOUT)
        async with self._opened("get", path, request) as response:
            if response.status != 200:
                raise error_of_response(response.status, await _start_of_body(response), response.headers)
            yield response

    async def close(self) -> None:
        await self._transport.close()

    async def _object(self, verb: str, resource: Resource[T], request: Request, subresource: str | None = None) -> T:
        target = f"{resource.plural}/{subresource}" if subresource else resource.plural
        return decode_object(resource.type, await self._send(verb, target, request))

    async def _send(self, verb: str, target: str, request: Request) -> Response:
        """The response of a success; sends again what flow control turned away."""
        for _ in range(MAX_THROTTLED_ATTEMPTS - 1):
            try:
                return await self._exchange(verb, target, request)
            except TooManyRequests as error:
                if error.retry_after is None:
                    raise
                await asyncio.sleep(min(error.retry_after, MAX_RETRY_AFTER))
        return await self._exchange(verb, target, request)

    async def _exchange(self, verb: str, target: str, request: Request) -> Response:
        await self._rate_limiter.acquire()
        now = asyncio.get_running_loop().time
        started, status = now(), 0
        try:
            with _stray_cancellation_as_transport_error(request):
                response = await self._transport.request(request)
            status = response.status
        finally:
            self._on_request(verb, target, status, now() - started)
        if not 200 <= status < 300:
            raise error_of_response(status, response.body, response.headers)
        return response

    @asynccontextmanager
    async def _opened(self, verb: str, target: str, request: Request) -> AsyncIterator[StreamResponse]:
        """A stream whose opening, not its life, is what the observer hears of."""
        now = asyncio.get_running_loop().time
        started, status = now(), 0
        with _stray_cancellation_as_transport_error(request):
            async with AsyncExitStack() as stack:
                try:
                    response = await stack.enter_async_context(self._transport.stream(request))
                    status = response.status
                finally:
                    self._on_request(verb, target, status, now() - started)
                yield response


@contextmanager
def _stray_cancellation_as_transport_error(request: Request) -> Iterator[None]:
    """What a library below cancels of its own is an exchange that failed, and is treated as such."""
    try:
        with stray_cancellation_as_error(f"{request.method} {request.path}"):
            yield
    except CancelledFromWithin as error:
        raise TransportError(str(error)) from error


def _with_body(
    method: str, path: str, body: Body, *, content_type: str = JSON, query: Mapping[str, str] | None = None
) -> Request:
    encoded = body if isinstance(body, bytes) else msgspec.json.encode(body)
    return Request(method, path, query or {}, {"Content-Type": content_type}, encoded, timeout=REQUEST_TIMEOUT)


def _given(query: Mapping[str, str]) -> Mapping[str, str]:
    """The parameters that have a value."""
    return {name: value for name, value in query.items() if value}


async def _start_of_body(response: StreamResponse) -> bytes:
    """The body of a refused stream: one line from an API server, a whole page from a proxy; bounded in either case.

    What comes before the connection fails is enough: the status has said that the request was refused.
    """
    body = bytearray()
    with suppress(TimeoutError, TransportError):
        async with asyncio.timeout(REQUEST_TIMEOUT):
            async for line in response.lines():
                body += line + b"\n"
                if len(body) > MAX_ERROR_BODY:
                    break
    return bytes(body)
