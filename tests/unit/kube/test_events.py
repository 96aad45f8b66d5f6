"""Events: what the server gets of what was recorded."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from random import Random
from typing import Any

import pytest
from structlog.testing import capture_logs

from modelinfer_controller.api.core import Event, ObjectMeta, Pod
from modelinfer_controller.kube.errors import ApiError, Forbidden, NotFound
from modelinfer_controller.kube.events import BURST, EventRecorder, EventType, ObjectReference, reference_to
from modelinfer_controller.kube.resource import PODS, Resource
from modelinfer_controller.kube.transport import TransportError
from modelinfer_controller.simulator.virtual_time import VirtualClock

MODEL = ObjectReference("example.com/v1", "Model", "ns", "m", "uid-m")


class Server:
    """Keeps events by name; raises the errors it is given first."""

    def __init__(self) -> None:
        self.stored: dict[str, dict[str, Any]] = {}
        self.requests: list[str] = []
        self.errors: list[BaseException] = []

    async def create(self, resource: Resource[Event], namespace: str | None, body: Mapping[str, Any]) -> Event:
        await self.answer("create")
        name = body["metadata"]["name"]
        assert name not in self.stored
        assert namespace == body["metadata"]["namespace"] == (body["involvedObject"]["namespace"] or "default")
        self.stored[name] = dict(body)
        return Event()

    async def patch(
        self, resource: Resource[Event], namespace: str | None, name: str, body: Mapping[str, Any]
    ) -> Event:
        await self.answer("patch")
        if name not in self.stored:
            raise NotFound(404, "NotFound", name)
        self.stored[name] |= body
        return Event()

    async def answer(self, verb: str) -> None:
        self.requests.append(verb)
        await asyncio.sleep(0.01)
        if self.errors:
            raise self.errors.pop(0)

    def told(self) -> list[tuple[str, int]]:
        return [(event["message"], event["count"]) for event in self.stored.values()]


@pytest.fixture
def server() -> Server:
    return Server()


@pytest.fixture
async def recorder(server: Server, clock: VirtualClock) -> AsyncIterator[EventRecorder]:
    recorder = EventRecorder(server, "the-controller", instance="pod-1", clock=clock, random=Random(1))
    running = asyncio.create_task(recorder.run())
    yield recorder
    await recorder.flush()
    await running


async def test_an_event_says_what_happened_to_whom_when_and_who_says_so(
    server: Server, recorder: EventRecorder
) -> None:
    await asyncio.sleep(3601)
    recorder.record(MODEL, EventType.WARNING, "BackOff", "group 3 failed")
    await asyncio.sleep(1)
    [event] = server.stored.values()
    assert event["metadata"]["name"].startswith("m.")
    assert event["involvedObject"] == {
        "apiVersion": "example.com/v1",
        "kind": "Model",
        "namespace": "ns",
        "name": "m",
        "uid": "uid-m",
    }
    assert (event["type"], event["reason"], event["message"]) == ("Warning", "BackOff", "group 3 failed")
    assert event["firstTimestamp"] == event["lastTimestamp"] == "2026-01-01T01:00:01Z"
    assert event["source"]["component"] == event["reportingComponent"] == "the-controller"


async def test_the_same_event_again_counts_up(server: Server, recorder: EventRecorder) -> None:
    for _ in range(3):
        recorder.record(MODEL, EventType.NORMAL, "Scaled", "to 3")
        await asyncio.sleep(60)
    recorder.record(MODEL, EventType.NORMAL, "Scaled", "to 4")
    await asyncio.sleep(1)
    assert server.told() == [("to 3", 3), ("to 4", 1)]
    first = next(iter(server.stored.values()))
    assert (first["firstTimestamp"], first["lastTimestamp"]) == ("2026-01-01T00:00:00Z", "2026-01-01T00:02:00Z")
    assert server.requests == ["create", "patch", "patch", "create"]


async def test_a_storm_of_one_event_is_one_request(server: Server, recorder: EventRecorder) -> None:
    for _ in range(1000):
        recorder.record(MODEL, EventType.WARNING, "Failed", "quota")
    await asyncio.sleep(1)
    assert server.told() == [("quota", 1000)]
    assert server.requests == ["create"]


async def test_an_object_with_ever_new_events_is_limited_and_does_not_limit_others(
    server: Server, recorder: EventRecorder
) -> None:
    for number in range(100):
        recorder.record(MODEL, EventType.WARNING, "Failed", f"{number}")
    recorder.record(MODEL._replace(name="other", uid="other"), EventType.WARNING, "Failed", "other")
    await asyncio.sleep(10)
    assert len(server.stored) == BURST + 1
    assert recorder.dropped_count == 100 - BURST
    await asyncio.sleep(300)
    for number in range(100, 110):
        recorder.record(MODEL, EventType.WARNING, "Failed", f"{number}")
    await asyncio.sleep(10)
    assert len(server.stored) == BURST + 2


async def test_an_event_that_the_server_has_forgotten_is_told_anew(server: Server, recorder: EventRecorder) -> None:
    recorder.record(MODEL, EventType.NORMAL, "Scaled", "to 3")
    await asyncio.sleep(3600)
    server.stored.clear()
    recorder.record(MODEL, EventType.NORMAL, "Scaled", "to 3")
    await asyncio.sleep(1)
    assert server.told() == [("to 3", 1)]


async def test_a_short_outage_delays_events(server: Server, recorder: EventRecorder) -> None:
    server.errors = [TransportError("refused"), ApiError(500, "InternalError", "etcd"), TransportError("reset")]
    recorder.record(MODEL, EventType.NORMAL, "Scaled", "to 3")
    recorder.record(MODEL, EventType.NORMAL, "Scaled", "to 4")
    await asyncio.sleep(20)
    assert server.told() == [("to 3", 1), ("to 4", 1)]
    assert recorder.dropped_count == 0


async def test_a_refused_event_is_given_up_and_hinders_no_other(server: Server, recorder: EventRecorder) -> None:
    server.errors = [Forbidden(403, "Forbidden", "namespace is terminating")]
    with capture_logs() as logs:
        recorder.record(MODEL, EventType.NORMAL, "Scaled", "to 3")
        recorder.record(MODEL, EventType.NORMAL, "Scaled", "to 4")
        await asyncio.sleep(1)
    assert server.told() == [("to 4", 1)]
    assert [entry["event"] for entry in logs] == ["Event not sent"]


async def test_an_event_that_a_library_breaks_off_hinders_no_other(server: Server, recorder: EventRecorder) -> None:
    server.errors = [asyncio.CancelledError()]
    with capture_logs():
        recorder.record(MODEL, EventType.WARNING, "A", "broken off")
        recorder.record(MODEL, EventType.WARNING, "B", "sent")
        await asyncio.sleep(30)
    assert ("sent", 1) in server.told()


async def test_flush_sends_what_is_pending_and_takes_no_more(server: Server, recorder: EventRecorder) -> None:
    for number in range(10):
        recorder.record(MODEL, EventType.NORMAL, "Scaled", f"{number}")
    await recorder.flush()
    assert len(server.stored) == 10
    recorder.record(MODEL, EventType.NORMAL, "Scaled", "late")
    await asyncio.sleep(10)
    assert len(server.stored) == 10


async def test_flush_does_not_wait_for_a_server_that_fails(server: Server, recorder: EventRecorder) -> None:
    server.errors = [TransportError("refused") for _ in range(10)]
    with capture_logs():
        recorder.record(MODEL, EventType.NORMAL, "Scaled", "to 3")
        async with asyncio.timeout(1):
            await recorder.flush()
    assert server.requests == ["create"]


async def test_events_of_cluster_scoped_objects_live_in_default_and_long_messages_are_cut(
    server: Server, recorder: EventRecorder
) -> None:
    recorder.record(MODEL._replace(namespace=""), EventType.NORMAL, "Long", "x" * 5000)
    await asyncio.sleep(1)
    [event] = server.stored.values()
    assert event["metadata"]["namespace"] == "default"
    assert len(event["message"]) == 1024


def test_a_reference_names_what_lists_leave_out() -> None:
    pod = Pod(metadata=ObjectMeta(name="p", namespace="ns", uid="u"))
    assert reference_to(pod, PODS) == ObjectReference("v1", "Pod", "ns", "p", "u")
