"""Virtual time: jumps, order, deadlocks, threads and sockets."""

import asyncio
import socket
import threading
import time
from datetime import UTC, datetime

import pytest

from modelinfer_controller.simulator import virtual_time
from modelinfer_controller.simulator.virtual_time import Deadlock, LeakedTask, Livelock, VirtualClock, VirtualTimeLoop


async def test_tests_run_in_virtual_time() -> None:
    began = time.monotonic()
    await asyncio.sleep(86_400 * 365)
    assert isinstance(asyncio.get_running_loop(), VirtualTimeLoop)
    assert asyncio.get_running_loop().time() == pytest.approx(86_400 * 365)
    assert time.monotonic() - began < 5


async def test_sleepers_wake_in_the_order_of_their_deadlines() -> None:
    woken: list[tuple[str, float]] = []

    async def sleeper(name: str, seconds: float) -> None:
        await asyncio.sleep(seconds)
        woken.append((name, asyncio.get_running_loop().time()))

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(sleeper("c", 30))
        tasks.create_task(sleeper("a", 0.1))
        tasks.create_task(sleeper("b", 20))
    assert woken == [("a", 0.1), ("b", 20), ("c", 30)]


async def test_ready_work_runs_before_time_moves() -> None:
    loop = asyncio.get_running_loop()
    loop.call_later(1, lambda: None)
    for _ in range(1000):
        await asyncio.sleep(0)
    assert loop.time() == 0


async def test_timeouts_expire_at_their_virtual_deadline() -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(15):
            await asyncio.Event().wait()
    assert asyncio.get_running_loop().time() == 15


async def test_timers_fire_however_late_the_clock_stands() -> None:
    await asyncio.sleep(1e9)
    for _ in range(100):
        await asyncio.sleep(0.001)
    assert asyncio.get_running_loop().time() == pytest.approx(1e9 + 0.1, abs=1e-3)


async def test_after_a_stall_everything_that_fell_due_is_overdue_at_once() -> None:
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualTimeLoop)
    woken: list[float] = []
    for seconds in (1, 5, 20):
        loop.call_later(seconds, lambda: woken.append(loop.time()))
    loop.stall(10)
    await asyncio.sleep(15)
    assert woken == [10, 10, 20]


async def test_the_wall_clock_follows_the_loop(clock: VirtualClock) -> None:
    assert clock.now() == datetime(2026, 1, 1, tzinfo=UTC)
    await asyncio.sleep(61.5)
    assert clock.now() == datetime(2026, 1, 1, 0, 1, 1, 500_000, tzinfo=UTC)


def test_a_wait_for_nothing_is_a_deadlock_that_names_the_waiter() -> None:
    async def wait_for_ever() -> None:
        await asyncio.Event().wait()

    async def main() -> None:
        await asyncio.create_task(wait_for_ever(), name="patient")

    with pytest.raises(Deadlock, match=r"patient at .*test_virtual_time\.py"):
        virtual_time.run(main())


def test_a_task_left_behind_is_an_error() -> None:
    async def main() -> asyncio.Task[None]:
        return asyncio.create_task(asyncio.sleep(1), name="orphan")

    with pytest.raises(LeakedTask, match="orphan"):
        virtual_time.run(main())


async def test_the_clock_stands_still_while_a_thread_works() -> None:
    loop = asyncio.get_running_loop()
    release = threading.Event()
    timer = loop.call_later(3600, lambda: None)
    working = loop.run_in_executor(None, release.wait)
    threading.Timer(0.05, release.set).start()
    assert await working
    assert loop.time() == 0
    timer.cancel()


async def test_sockets_are_heard_before_time_jumps() -> None:
    loop = asyncio.get_running_loop()
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.setblocking(False)
        loop.call_later(1, theirs.send, b"late")
        async with asyncio.timeout(5):
            assert await loop.sock_recv(ours, 10) == b"late"
        assert loop.time() == 1


def test_what_goes_on_and_on_at_one_instant_is_a_livelock() -> None:
    def again() -> None:
        asyncio.get_running_loop().call_soon(again)

    async def spin() -> None:
        asyncio.get_running_loop().call_soon(again)
        await asyncio.Event().wait()

    with pytest.raises(Livelock, match="at 0 s"):
        virtual_time.run(spin())
