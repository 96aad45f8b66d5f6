"""Slow start: how it grows, stopping, outcomes, the shared bound, cancellation."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelinfer_controller.kube.parallel import (
    CancelledFromWithin,
    Failed,
    NotStarted,
    Succeeded,
    errors_of,
    slow_start,
)


class Server:
    """Takes a second for each action and notes when each began and how many ran at once."""

    def __init__(self, failing: set[int] | None = None) -> None:
        self.failing = failing or set()
        self.began: list[tuple[float, int]] = []
        self.ended: list[int] = []
        self.running = 0
        self.most_running = 0

    def action(self, number: int) -> Callable[[], Awaitable[int]]:
        async def act() -> int:
            self.began.append((asyncio.get_running_loop().time(), number))
            self.running += 1
            self.most_running = max(self.most_running, self.running)
            try:
                await asyncio.sleep(1)
            finally:
                self.running -= 1
                self.ended.append(number)
            if number in self.failing:
                raise ValueError(number)
            return number * 10

        return act


async def test_twice_as_many_run_at_once_each_time_all_have_succeeded() -> None:
    server = Server()
    outcomes = await slow_start(map(server.action, range(10)), asyncio.Semaphore(100))
    assert outcomes == [Succeeded(number * 10) for number in range(10)]
    assert server.began == [(0, 0), *((1, n) for n in (1, 2)), *((2, n) for n in range(3, 7)), (3, 7), (3, 8), (3, 9)]


async def test_no_action_waits_for_the_slowest_of_those_before_it() -> None:
    ends: list[str] = []

    def action(name: str, seconds: float) -> Callable[[], Awaitable[None]]:
        async def act() -> None:
            await asyncio.sleep(seconds)
            ends.append(name)

        return act

    actions = [action("slow", 10), *(action("quick", 1) for _ in range(8))]
    await slow_start(actions, asyncio.Semaphore(100), first=2)
    assert ends == ["quick"] * 8 + ["slow"]


@given(count=st.integers(0, 40), failing=st.sets(st.integers(0, 40)), first=st.integers(1, 5))
async def test_every_action_has_its_outcome_and_none_starts_after_a_failure(
    count: int, failing: set[int], first: int
) -> None:
    server = Server(failing)
    outcomes = await slow_start(map(server.action, range(count)), asyncio.Semaphore(100), first=first)
    assert len(outcomes) == count
    started = {number for _, number in server.began}
    for number, outcome in enumerate(outcomes):
        match outcome:
            case Succeeded(value):
                assert value == number * 10
                assert number not in failing
            case Failed(error):
                assert error.args == (number,)
                assert number in failing
            case NotStarted():
                assert number not in started
    failed_at = [began + 1 for began, number in server.began if number in failing]
    assert all(began <= min(failed_at, default=began) for began, _ in server.began)
    if count and not failing & set(range(count)):
        assert started == set(range(count))


async def test_callers_share_the_bound() -> None:
    server = Server()
    in_flight = asyncio.Semaphore(3)
    async with asyncio.TaskGroup() as callers:
        for start in (0, 20):
            actions = map(server.action, range(start, start + 20))
            callers.create_task(slow_start(actions, in_flight, first=20))
    assert len(server.ended) == 40
    assert server.most_running == 3


async def test_what_waits_for_the_bound_does_not_start_after_a_failure() -> None:
    server = Server({0})
    outcomes = await slow_start(map(server.action, range(5)), asyncio.Semaphore(2), first=5)
    assert [number for _, number in server.began] == [0, 1]
    assert outcomes[2:] == [NotStarted()] * 3


async def test_cancellation_ends_the_actions_before_it_ends_the_call() -> None:
    server = Server()
    call = asyncio.create_task(slow_start(map(server.action, range(8)), asyncio.Semaphore(100), first=8))
    await asyncio.sleep(0.5)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert server.running == 0
    assert len(server.ended) == 8


@pytest.mark.parametrize("count", [1, 2])
async def test_an_action_cancelled_from_within_failed(count: int) -> None:
    async def cancelled() -> None:
        raise asyncio.CancelledError

    outcomes = await slow_start([cancelled] * count, asyncio.Semaphore(1), first=count)
    assert [type(error) for error in errors_of(outcomes)] == [CancelledFromWithin]
    assert outcomes[1:] == [NotStarted()] * (count - 1)
