"""No write without leadership."""

from contextlib import AbstractAsyncContextManager

import pytest

from modelinfer_controller.app.leader_guard import LeaderOnlyTransport, NotLeading
from modelinfer_controller.kube.transport import Request, Response, StreamResponse


class Recorder:
    """A transport that answers everything, and remembers it."""

    def __init__(self) -> None:
        self.sent: list[str] = []

    async def request(self, request: Request) -> Response:
        self.sent.append(request.method)
        return Response(200, b"{}")

    def stream(self, request: Request) -> AbstractAsyncContextManager[StreamResponse]:
        raise NotImplementedError

    async def close(self) -> None: ...


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
async def test_a_write_needs_the_lease_at_the_moment_it_is_sent(method: str) -> None:
    inner, leads = Recorder(), [True]
    guarded = LeaderOnlyTransport(inner, lambda: leads[0])
    await guarded.request(Request(method, "/api/v1/pods"))
    leads[0] = False
    with pytest.raises(NotLeading):
        await guarded.request(Request(method, "/api/v1/pods"))
    await guarded.request(Request("GET", "/api/v1/pods"))
    assert inner.sent == [method, "GET"]
