"""An API server of one resource in memory, behind the transport's seam, that fails in every way that servers do."""

import asyncio
import json
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from modelinfer_controller.api.core import KubeObject
from modelinfer_controller.kube.resource import Resource
from modelinfer_controller.kube.transport import Request, Response, TransportError

THINGS = Resource("test.io", "v1", "things", "Thing", KubeObject)

Object = dict[str, Any]
Fault = Response | TransportError | asyncio.CancelledError


def status(code: int, reason: str, **details: Any) -> Response:
    body = {"kind": "Status", "status": "Failure", "code": code, "reason": reason, "details": details}
    return Response(code, json.dumps(body).encode())


EXPIRED = status(410, "Expired")
TOO_LARGE = status(504, "Timeout", causes=[{"reason": "ResourceVersionTooLarge"}])
HTML = Response(502, b"<html><body>Bad Gateway</body></html>")
REFUSED = TransportError("connection refused")


def throttled(seconds: int) -> Response:
    return Response(429, b"", {"retry-after": str(seconds)})


class FakeStream:
    """One watch: lines wait in a queue; None closes it, an exception breaks it."""

    def __init__(self, namespace: str | None, code: int = 200, lines: list[bytes] | None = None) -> None:
        self.status = code
        self.headers: dict[str, str] = {}
        self.namespace = namespace
        self.is_dead = False
        self.queue: asyncio.Queue[bytes | TransportError | asyncio.CancelledError | None] = asyncio.Queue()
        for line in lines or []:
            self.queue.put_nowait(line)

    def send(self, type_: str, obj: Object) -> None:
        if self.is_dead:
            return
        if type_ in ("BOOKMARK", "ERROR") or self.namespace in (None, obj["metadata"]["namespace"]):
            self.queue.put_nowait(json.dumps({"type": type_, "object": obj}).encode())

    async def lines(self) -> AsyncIterator[bytes]:
        while (line := await self.queue.get()) is not None:
            if not isinstance(line, bytes):
                raise line
            yield line


class FakeApi:
    """Implements `Transport`. Faults wait in list_faults and watch_faults, one for each request, before all goes well.

    From fall_silent to wake_up streams go dead: they deliver nothing any more, not even their end. expires_as_event
    chooses the form of a 410.
    """

    def __init__(self) -> None:
        self.version = 100
        self.objects: dict[tuple[str, str], Object] = {}
        self.history: list[tuple[int, str, Object]] = []
        self.oldest = 0  # watches from an older version have expired
        self.list_faults: deque[Fault] = deque()
        self.watch_faults: deque[Fault] = deque()
        self.discovery_faults: deque[Fault] = deque()
        self.requests: list[tuple[float, Request]] = []
        self.streams: list[FakeStream] = []
        self.is_served = True
        self.is_discovered = True
        self.opens_dead_streams = False
        self.expires_as_event = False
        self.closes_at_once = False
        self.understands_streaming_lists = True
        self.breaks_streaming_lists = False
        self._uid_count = 0

    # What happens in the cluster

    def create(self, name: str, namespace: str = "ns") -> Object:
        self._uid_count += 1
        metadata = {"name": name, "namespace": namespace, "uid": f"uid-{self._uid_count}"}
        return self._write("ADDED", {"metadata": metadata})

    def update(self, name: str, namespace: str = "ns") -> Object:
        return self._write("MODIFIED", self.objects[namespace, name])

    def delete(self, name: str, namespace: str = "ns") -> Object:
        return self._write("DELETED", self.objects[namespace, name])

    def compact(self) -> None:
        self.oldest = self.version

    def restore_backup(self) -> None:
        """Versions start anew, lower: what etcd does after a restore without a bump."""
        self.break_streams()
        self.version, self.oldest = 10, 10
        self.history.clear()
        for key in self.objects:
            self.objects[key] = self._with_version(self.objects[key])

    def bookmark(self) -> None:
        for stream in self.streams:
            stream.send("BOOKMARK", {"kind": "Thing", "metadata": {"resourceVersion": str(self.version)}})

    def repeat(self, count: int) -> None:
        """Says the last events once more, as a server may after a hiccup of its own."""
        for _, type_, obj in self.history[-count:]:
            for stream in self.streams:
                stream.send(type_, obj)

    def fall_silent(self) -> None:
        self.opens_dead_streams = True
        for stream in self.streams:
            stream.is_dead = True

    def wake_up(self) -> None:
        self.opens_dead_streams = False

    def close_streams(self) -> None:
        for stream in self.streams:
            stream.queue.put_nowait(None)
        self.streams.clear()

    def break_streams(self) -> None:
        for stream in self.streams:
            stream.queue.put_nowait(TransportError("connection reset"))
        self.streams.clear()

    def cancel_streams(self) -> None:
        """As a library does that cancels what of its own a reader waits for."""
        for stream in self.streams:
            stream.queue.put_nowait(asyncio.CancelledError())
        self.streams.clear()

    # What was asked

    def asked(self, watch: bool) -> list[dict[str, str]]:
        """Queries of the watches, or of the lists."""
        found = [dict(request.query) for _, request in self.requests if request.path != THINGS.group_path]
        return [query for query in found if ("watch" in query) is watch]

    # Transport

    async def request(self, request: Request) -> Response:
        self._note(request)
        await asyncio.sleep(0.001)
        if request.path == THINGS.group_path:
            if self.discovery_faults:
                return self._fail(self.discovery_faults.popleft())
            names = [{"name": "things"}] if self.is_discovered else []
            return self._ok({"resources": names}) if self.is_served else Response(404, b"404 page not found")
        if not self.is_served:
            return Response(404, b"404 page not found")
        if self.list_faults:
            return self._fail(self.list_faults.popleft())
        return self._list(request)

    @asynccontextmanager
    async def stream(self, request: Request) -> AsyncIterator[FakeStream]:
        self._note(request)
        await asyncio.sleep(0.001)
        stream = self._open(request)
        timer = asyncio.get_running_loop().call_later(
            float(request.query["timeoutSeconds"]), lambda: stream.is_dead or stream.queue.put_nowait(None)
        )
        try:
            yield stream
        finally:
            timer.cancel()
            if stream in self.streams:
                self.streams.remove(stream)

    async def close(self) -> None:
        self.close_streams()

    def _note(self, request: Request) -> None:
        self.requests.append((asyncio.get_running_loop().time(), request))

    def _list(self, request: Request) -> Response:
        namespace, query = _namespace(request), request.query
        wanted = query.get("resourceVersion", "")
        if wanted and int(wanted) > self.version:
            return TOO_LARGE
        items = [obj for (owner, _), obj in sorted(self.objects.items()) if namespace in (None, owner)]
        return self._ok({"metadata": {"resourceVersion": str(self.version)}, "items": items})

    def _open(self, request: Request) -> FakeStream:
        namespace = _namespace(request)
        if not self.is_served:
            return self._refusal(namespace, status(404, "NotFound"))
        if self.watch_faults:
            return self._refusal(namespace, self._fail(self.watch_faults.popleft()))
        if "sendInitialEvents" in request.query:
            return self._open_streaming_list(namespace)
        return self._open_watch(namespace, int(request.query["resourceVersion"]))

    def _open_watch(self, namespace: str | None, version: int) -> FakeStream:
        if version < self.oldest and not self.expires_as_event:
            return self._refusal(namespace, EXPIRED)
        stream = FakeStream(namespace)
        stream.is_dead = self.opens_dead_streams
        if version < self.oldest:
            stream.send("ERROR", json.loads(EXPIRED.body))
            stream.queue.put_nowait(None)
            return stream
        for event_version, type_, obj in self.history:
            if event_version > version:
                stream.send(type_, obj)
        return self._live(stream)

    def _open_streaming_list(self, namespace: str | None) -> FakeStream:
        if not self.understands_streaming_lists:
            return self._refusal(namespace, status(422, "Invalid"))
        stream = FakeStream(namespace)
        for obj in self.objects.values():
            stream.send("ADDED", obj)
        if self.breaks_streaming_lists:
            stream.queue.put_nowait(TransportError("connection reset"))
            return stream
        end = {"resourceVersion": str(self.version), "annotations": {"k8s.io/initial-events-end": "true"}}
        stream.send("BOOKMARK", {"kind": "Thing", "metadata": end})
        return self._live(stream)

    def _refusal(self, namespace: str | None, answer: Response) -> FakeStream:
        stream = FakeStream(namespace, answer.status, [answer.body])
        stream.headers.update(answer.headers)
        stream.queue.put_nowait(None)
        return stream

    def _live(self, stream: FakeStream) -> FakeStream:
        if self.closes_at_once:
            stream.queue.put_nowait(None)
        else:
            self.streams.append(stream)
        return stream

    def _write(self, type_: str, obj: Object) -> Object:
        written = self._with_version(obj)
        key = (written["metadata"]["namespace"], written["metadata"]["name"])
        if type_ == "DELETED":
            del self.objects[key]
        else:
            self.objects[key] = written
        self.history.append((self.version, type_, written))
        for stream in self.streams:
            stream.send(type_, written)
        return written

    def _with_version(self, obj: Object) -> Object:
        self.version += 1
        return {**obj, "metadata": {**obj["metadata"], "resourceVersion": str(self.version)}}

    def _ok(self, body: Any) -> Response:
        return Response(200, json.dumps(body).encode())

    def _fail(self, fault: Fault) -> Response:
        if not isinstance(fault, Response):
            raise fault
        return fault


def _namespace(request: Request) -> str | None:
    parts = request.path.split("/")
    return parts[parts.index("namespaces") + 1] if "namespaces" in parts else None
