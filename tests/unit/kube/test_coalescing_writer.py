"""Random histories of a coalescing writer over a server that is slow, and fails for a while."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from structlog.testing import capture_logs

from modelinfer_controller.kube.coalescing_writer import LAST_RETRY, CoalescingWriter
from modelinfer_controller.kube.inflight import FairLimiter
from modelinfer_controller.simulator.virtual_time import VirtualTimeLoop

T = TypeVar("T")

KEYS = st.sampled_from("abcd")
INTERVAL = 1.0
LATENCY = 0.3  # seconds
IN_FLIGHT = 2


class Gone(Exception):
    """There is nothing to write to."""


class Server:
    """Holds a value for each key; takes LATENCY for each write."""

    def __init__(self) -> None:
        self.values: dict[str, int] = {}
        self.began: dict[str, list[float]] = {}
        self.busy: set[str] = set()
        self.error: Exception | None = None

    async def write(self, key: str, value: int) -> None:
        assert key not in self.busy, "two writes of one key at once"
        self.busy.add(key)
        self.began.setdefault(key, []).append(asyncio.get_running_loop().time())
        try:
            await asyncio.sleep(LATENCY)
            if self.error is not None:
                raise self.error
            self.values[key] = value
        finally:
            self.busy.remove(key)


class WriterHistory(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner(loop_factory=VirtualTimeLoop)
        self.server = Server()
        self.writer = self.run(self.make_writer())
        self.newest: dict[str, int] = {}
        self.numbers = iter(range(1, 10**9))
        self.awaited: list[asyncio.Task[None]] = []
        self.has_failed = False

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(coroutine)

    async def make_writer(self) -> CoalescingWriter[str, int]:
        return CoalescingWriter(
            self.server.write,
            FairLimiter(IN_FLIGHT, max_parked=0),
            flow_of=lambda key: ("namespace", key),
            interval=INTERVAL,
            is_obsolete=lambda value, error: isinstance(error, Gone),
        )

    def value(self, key: str) -> int:
        self.newest[key] = next(self.numbers)
        return self.newest[key]

    @rule(key=KEYS, how=st.sampled_from(["enqueue", "throttle", "defer"]))
    def put(self, key: str, how: str) -> None:
        async def act() -> None:
            getattr(self.writer, how)(key, self.value(key))

        self.run(act())

    @rule(key=KEYS)
    def write_and_wait(self, key: str) -> None:
        value = self.value(key)

        async def act() -> None:
            await self.writer.write(key, value)
            assert self.server.values[key] >= value

        async def begin() -> None:
            self.awaited.append(asyncio.create_task(act()))
            await asyncio.sleep(0)

        self.run(begin())

    @rule(seconds=st.sampled_from([0.0, 0.1, 0.5, 1.0, 3.0]))
    def pass_time(self, seconds: float) -> None:
        with capture_logs():
            self.run(asyncio.sleep(seconds))

    @precondition(lambda self: self.server.error is None)
    @rule()
    def break_server(self) -> None:
        self.server.error = RuntimeError("out of order")
        self.has_failed = True

    @precondition(lambda self: self.server.error is not None)
    @rule()
    def mend_server(self) -> None:
        self.server.error = None

    @invariant()
    def few_are_written_at_once(self) -> None:
        waited_for = sum(not task.done() for task in self.awaited)
        assert len(self.server.busy) <= IN_FLIGHT + waited_for

    @invariant()
    def what_is_pending_is_the_newest(self) -> None:
        for key, newest in self.newest.items():
            pending = self.writer.pending(key)
            assert pending in (None, newest)
            if pending is None and not self.has_failed:
                assert self.server.values[key] == newest

    def teardown(self) -> None:
        with capture_logs():
            self.run(self.end())
        self.runner.close()

    async def end(self) -> None:
        """However it went: once the server is well, it has the newest values, soon."""
        self.server.error = None
        await asyncio.sleep(2 * LAST_RETRY)
        results = await asyncio.gather(*self.awaited, return_exceptions=True)
        assert all(result is None or isinstance(result, RuntimeError) for result in results)
        assert self.server.values == self.newest
        assert len(asyncio.all_tasks()) == 1
        await self.writer.drain()
        await self.writer.close()


TestWriterHistory = WriterHistory.TestCase
TestWriterHistory.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)


async def test_writes_that_are_throttled_or_deferred_are_an_interval_apart() -> None:
    server = Server()
    writer = CoalescingWriter[str, int](
        server.write, FairLimiter(1), flow_of=lambda key: ("namespace", key), interval=INTERVAL
    )
    for number in range(100):
        (writer.throttle if number % 3 else writer.defer)("a", number)
        await asyncio.sleep(0.05)
    await asyncio.sleep(2)
    assert len(server.began["a"]) <= 6
    assert server.values == {"a": 99}


async def test_what_is_gone_is_not_tried_again() -> None:
    server = Server()
    server.error = Gone()
    writer = CoalescingWriter[str, int](
        server.write,
        FairLimiter(1),
        flow_of=lambda key: ("namespace", key),
        interval=INTERVAL,
        is_obsolete=lambda value, error: isinstance(error, Gone),
    )
    writer.enqueue("a", 1)
    await writer.write("a", 2)
    await asyncio.sleep(1000)
    assert len(server.began["a"]) <= 2
    assert writer.pending("a") is None


async def test_a_drain_tries_once_more_what_fails_and_ends() -> None:
    server = Server()
    server.error = RuntimeError("out of order")
    writer = CoalescingWriter[str, int](
        server.write, FairLimiter(1), flow_of=lambda key: ("namespace", key), interval=INTERVAL
    )
    with capture_logs():
        writer.enqueue("a", 1)
        await asyncio.sleep(5)
        before = len(server.began["a"])
        writer.enqueue("a", 2)
        await writer.drain()
    assert len(server.began["a"]) == before + 1
    assert asyncio.get_running_loop().time() < 6


async def test_what_is_forgotten_is_not_written() -> None:
    server = Server()
    writer = CoalescingWriter[str, int](
        server.write, FairLimiter(1), flow_of=lambda key: ("namespace", key), interval=INTERVAL
    )
    writer.defer("a", 1)
    writer.forget("a")
    writer.forget("b")
    await asyncio.sleep(10)
    assert server.values == {}
