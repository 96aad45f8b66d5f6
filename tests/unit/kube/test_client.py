"""The client against canned answers: what goes over the wire, and what comes of each reply."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import msgspec
import pytest

from modelinfer_controller.api.core import Pod
from modelinfer_controller.kube import errors
from modelinfer_controller.kube.client import APPLY_PATCH, Client
from modelinfer_controller.kube.flowcontrol import TokenBucket
from modelinfer_controller.kube.resource import CONTROLLER_REVISIONS, NODES, PODS
from modelinfer_controller.kube.transport import Request, Response, TransportError
from modelinfer_controller.kube.watch import Added, Bookmark, Deleted, Modified


@dataclass
class CannedStream:
    status: int
    body: list[bytes]
    headers: dict[str, str] = field(default_factory=dict)

    async def lines(self) -> AsyncIterator[bytes]:
        for line in self.body:
            yield line


@dataclass
class CannedTransport:
    """Answers in order; remembers what it was asked."""

    answers: list[Response | TransportError | asyncio.CancelledError]
    stream_body: list[bytes] = field(default_factory=list)
    asked: list[Request] = field(default_factory=list)

    async def request(self, request: Request) -> Response:
        self.asked.append(request)
        answer = self.answers.pop(0)
        if not isinstance(answer, Response):
            raise answer
        return answer

    @asynccontextmanager
    async def stream(self, request: Request) -> AsyncIterator[CannedStream]:
        self.asked.append(request)
        yield CannedStream(200, self.stream_body)

    async def close(self) -> None:
        pass


def ok(body: Any, status: int = 200) -> Response:
    return Response(status, json.dumps(body).encode())


def refusal(code: int, reason: str, message: str = "no", **details: Any) -> Response:
    return ok({"kind": "Status", "code": code, "reason": reason, "message": message, "details": details}, code)


def pod(name: str, version: int = 1) -> dict[str, Any]:
    return {"metadata": {"name": name, "namespace": "ns", "uid": f"uid-{name}", "resourceVersion": str(version)}}


def page(names: list[str], version: int, continue_: str = "") -> Response:
    metadata = {"resourceVersion": str(version), "continue": continue_}
    return ok({"metadata": metadata, "items": [pod(name) for name in names]})


async def test_an_object_is_decoded_from_its_path() -> None:
    transport = CannedTransport([ok(pod("a"))])
    found = await Client(transport).get(PODS, "ns", "a")
    assert (found.metadata.name, found.metadata.uid) == ("a", "uid-a")
    assert (transport.asked[0].method, transport.asked[0].path) == ("GET", "/api/v1/namespaces/ns/pods/a")
    assert transport.asked[0].timeout


async def test_what_a_library_breaks_off_is_a_failed_exchange() -> None:
    with pytest.raises(TransportError, match="GET /api/v1/namespaces/ns/pods/a was cancelled from within"):
        await Client(CannedTransport([asyncio.CancelledError()])).get(PODS, "ns", "a")


def test_paths_of_groups_scopes_and_subresources() -> None:
    assert CONTROLLER_REVISIONS.path("ns", "r") == "/apis/apps/v1/namespaces/ns/controllerrevisions/r"
    assert CONTROLLER_REVISIONS.path() == "/apis/apps/v1/controllerrevisions"
    assert NODES.path("ignored", "n") == "/api/v1/nodes/n"
    assert PODS.path("ns", "a", "status") == "/api/v1/namespaces/ns/pods/a/status"
    assert PODS.path("ns", "../../secrets") == "/api/v1/namespaces/ns/pods/..%2F..%2Fsecrets"
    with pytest.raises(ValueError, match="needs a namespace"):
        PODS.path(None, "a")


async def test_a_list_is_read_page_by_page() -> None:
    transport = CannedTransport([page(["a", "b"], 7, "more"), page(["c"], 7)])
    found = await Client(transport).list_all(PODS, label_selector="app=x", resource_version="5")
    assert [item.metadata.name for item in found.items] == ["a", "b", "c"]
    assert found.metadata.resource_version == "7"
    first, second = (request.query for request in transport.asked)
    assert first == {
        "labelSelector": "app=x",
        "limit": "500",
        "resourceVersion": "5",
        "resourceVersionMatch": "NotOlderThan",
    }
    assert second == {"labelSelector": "app=x", "limit": "500", "continue": "more"}


async def test_a_list_whose_page_expires_is_asked_for_in_one_piece() -> None:
    transport = CannedTransport([page(["a"], 7, "more"), refusal(410, "Expired"), page(["a", "b"], 9)])
    found = await Client(transport).list_all(PODS, "ns")
    assert [item.metadata.name for item in found.items] == ["a", "b"]
    assert found.metadata.resource_version == "9"
    assert "limit" not in transport.asked[2].query


async def test_a_list_of_null_items_is_empty() -> None:
    transport = CannedTransport([ok({"metadata": {"resourceVersion": "3"}, "items": None})])
    assert (await Client(transport).list_all(PODS)).items == ()


async def test_bodies_are_bytes_or_mappings() -> None:
    transport = CannedTransport([ok(pod("a"), 201), ok(pod("b"), 201)])
    client = Client(transport)
    await client.create(PODS, "ns", b'{"metadata":{"name":"a"}}')
    await client.create(PODS, "ns", {"metadata": {"name": "b"}, "spec": msgspec.Raw(b'{"x":1}')})
    assert transport.asked[0].body == b'{"metadata":{"name":"a"}}'
    assert json.loads(transport.asked[1].body or b"") == {"metadata": {"name": "b"}, "spec": {"x": 1}}
    assert transport.asked[1].headers["Content-Type"] == "application/json"


async def test_patch_and_delete_say_what_they_must() -> None:
    transport = CannedTransport([ok(pod("a")), ok({})])
    client = Client(transport)
    await client.patch(
        PODS, "ns", "a", {}, content_type=APPLY_PATCH, subresource="status", field_manager="me", force=True
    )
    await client.delete(PODS, "ns", "a", uid="u1", propagation_policy="Background", grace_period_seconds=0)
    patch, delete = transport.asked
    assert patch.path.endswith("/pods/a/status")
    assert patch.headers["Content-Type"] == "application/apply-patch+yaml"
    assert patch.query == {"fieldManager": "me", "force": "true"}
    options = json.loads(delete.body or b"")
    assert options["preconditions"] == {"uid": "u1"}
    assert (options["propagationPolicy"], options["gracePeriodSeconds"]) == ("Background", 0)


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (refusal(404, "NotFound"), errors.NotFound),
        (refusal(409, "AlreadyExists"), errors.AlreadyExists),
        (refusal(409, "Conflict"), errors.Conflict),
        (refusal(403, "Forbidden"), errors.Forbidden),
        (refusal(401, "Unauthorized"), errors.Unauthorized),
        (refusal(422, "Invalid"), errors.Invalid),
        (refusal(410, "Expired"), errors.Expired),
        (refusal(410, "Gone"), errors.Expired),
        (refusal(500, "InternalError"), errors.InternalError),
        (refusal(500, "ServerTimeout"), errors.ServerTimeout),
        (refusal(504, "Timeout"), errors.ServerTimeout),
        (refusal(504, "Timeout", causes=[{"reason": "ResourceVersionTooLarge"}]), errors.TooLargeResourceVersion),
        (refusal(504, "Timeout", causes=[{"message": "Too large resource version"}]), errors.TooLargeResourceVersion),
        (Response(429, b""), errors.TooManyRequests),
        (Response(404, b"404 page not found\n"), errors.NotFound),
        (Response(418, b""), errors.ApiError),
        (Response(507, b""), errors.InternalError),
        (Response(200, b"<html>log in</html>"), errors.UndecodableResponse),
    ],
)
async def test_refusals_are_classified(answer: Response, expected: type[errors.ApiError]) -> None:
    with pytest.raises(errors.ApiError) as caught:
        await Client(CannedTransport([answer])).get(PODS, "ns", "a")
    assert type(caught.value) is expected


async def test_an_html_page_becomes_a_short_message() -> None:
    html = b"<html>\n" + b"<p>sorry</p>\n" * 1000
    with pytest.raises(errors.ServiceUnavailable) as caught:
        await Client(CannedTransport([Response(502, html)])).get(PODS, "ns", "a")
    assert len(str(caught.value)) < 400
    assert "502" in str(caught.value)


@pytest.mark.parametrize(
    ("error", "transient"),
    [
        (TransportError("refused"), True),
        (errors.error_of_response(503, b"", {}), True),
        (errors.error_of_response(429, b"", {}), True),
        (errors.error_of_response(404, b"", {}), False),
        (errors.error_of_response(422, b"", {}), False),
        (ValueError(), False),
    ],
)
def test_what_may_pass_by_itself(error: Exception, transient: bool) -> None:
    assert errors.is_transient(error) is transient


def test_a_quota_is_told_from_a_missing_permission() -> None:
    quota = errors.Forbidden(403, "Forbidden", 'pods "a" is forbidden: exceeded quota: q, requested: pods=1')
    permission = errors.Forbidden(403, "Forbidden", 'pods is forbidden: User "u" cannot create resource "pods"')
    assert quota.is_quota
    assert not permission.is_quota


async def test_what_flow_control_turned_away_is_sent_again_after_its_wait() -> None:
    throttled = Response(429, b"", {"retry-after": "2"})
    transport = CannedTransport([throttled, throttled, ok(pod("a"), 201)])
    started = asyncio.get_running_loop().time()
    await Client(transport).create(PODS, "ns", b"{}")
    assert asyncio.get_running_loop().time() - started == pytest.approx(4)
    assert len(transport.asked) == 3


async def test_throttling_without_end_is_an_error() -> None:
    transport = CannedTransport([Response(429, b"", {"retry-after": "1"})] * 20)
    with pytest.raises(errors.TooManyRequests) as caught:
        await Client(transport).get(PODS, "ns", "a")
    assert caught.value.retry_after == 1
    assert len(transport.asked) == 5


async def test_each_exchange_is_observed() -> None:
    seen: list[tuple[str, str, int]] = []

    def observe(verb: str, resource: str, status_code: int, seconds: float) -> None:
        seen.append((verb, resource, status_code))

    transport = CannedTransport([ok(pod("a")), refusal(404, "NotFound"), TransportError("reset")])
    client = Client(transport, on_request=observe)
    await client.update(PODS, "ns", "a", {}, subresource="status")
    with pytest.raises(errors.NotFound):
        await client.get(PODS, "ns", "a")
    with pytest.raises(TransportError):
        await client.list_page(PODS)
    assert seen == [("update", "pods/status", 200), ("get", "pods", 404), ("list", "pods", 0)]


def line(type_: str, obj: Any) -> bytes:
    return json.dumps({"type": type_, "object": obj}).encode()


async def test_watch_events_become_structs() -> None:
    end = {"annotations": {"k8s.io/initial-events-end": "true"}, "resourceVersion": "9"}
    transport = CannedTransport(
        [],
        [
            line("ADDED", pod("a", 1)),
            line("MODIFIED", pod("a", 2)),
            b"",
            line("BOOKMARK", {"kind": "Pod", "spec": None, "status": None, "metadata": {"resourceVersion": "8"}}),
            line("BOOKMARK", {"kind": "Pod", "metadata": end}),
            line("DELETED", pod("a", 10)),
        ],
    )
    async with Client(transport).watch(PODS, resource_version="1", timeout_seconds=300) as stream:
        events = [event async for event in stream.events()]

    def decoded(version: int) -> Pod:
        return msgspec.json.decode(json.dumps(pod("a", version)), type=Pod)

    assert events == [
        Added(decoded(1)),
        Modified(decoded(2)),
        Bookmark("8"),
        Bookmark("9", is_initial_events_end=True),
        Deleted(decoded(10)),
    ]
    query = transport.asked[0].query
    assert (query["allowWatchBookmarks"], query["timeoutSeconds"], query["resourceVersion"]) == ("true", "300", "1")
    assert transport.asked[0].headers["Accept-Encoding"] == "identity"


@pytest.mark.parametrize(
    ("bad", "expected"),
    [
        (line("ERROR", {"kind": "Status", "status": "Failure", "code": 410, "reason": "Expired"}), errors.Expired),
        (line("ERROR", {"kind": "Status", "status": "Failure", "code": 500}), errors.InternalError),
        (b"<html>504 Gateway Time-out</html>", errors.UndecodableResponse),
        (line("SURPRISE", {}), errors.UndecodableResponse),
        (b'{"type":"ADDED","object":{"metadata":{"name":3}}}', errors.UndecodableResponse),
    ],
)
async def test_what_is_no_event_is_an_error(bad: bytes, expected: type[errors.ApiError]) -> None:
    async with Client(CannedTransport([], [bad])).watch(PODS, resource_version="1", timeout_seconds=1) as stream:
        with pytest.raises(expected):
            [event async for event in stream.events()]


async def test_a_token_bucket_lets_a_burst_through_and_then_its_rate() -> None:
    bucket = TokenBucket(qps=2, burst=3)
    now: Callable[[], float] = asyncio.get_running_loop().time
    started = now()
    times = []
    for _ in range(5):
        await bucket.acquire()
        times.append(now() - started)
    assert times == pytest.approx([0, 0, 0, 0.5, 1])
    await asyncio.sleep(60)  # refills the burst, and no more
    started = now()
    for _ in range(4):
        await bucket.acquire()
    assert now() - started == pytest.approx(0.5)
