"""The retry policy, what is logged, and how a controller ends."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
import structlog
from structlog.testing import capture_logs

from modelinfer_controller.kube.controller import Controller, Result, ResultLabel, TerminalError
from modelinfer_controller.kube.workqueue import ItemExponentialBackoff, WorkQueue

Reconcile = Callable[[str], Awaitable[Result]]


def make_queue() -> WorkQueue[str]:
    return WorkQueue(ItemExponentialBackoff(1.0, 8.0))


class Script:
    """A reconcile that plays a list of results and errors, then succeeds; notes when it ran."""

    def __init__(self, *steps: Result | BaseException) -> None:
        self.steps: Iterator[Result | BaseException] = iter(steps)
        self.ran_at: list[float] = []

    async def __call__(self, key: str) -> Result:
        self.ran_at.append(asyncio.get_running_loop().time())
        match next(self.steps, Result()):
            case Result() as result:
                return result
            case error:
                raise error


async def run_for(seconds: float, queue: WorkQueue[str], controller: Controller[str]) -> None:
    running = asyncio.create_task(controller.run())
    queue.add("ns/a")
    await asyncio.sleep(seconds)
    await queue.shut_down_with_drain()
    await running


@pytest.mark.parametrize(
    ("steps", "ran_at", "labels"),
    [
        pytest.param([], [0], ["success"], id="success waits for an event"),
        pytest.param(
            [ValueError(), ValueError(), ValueError()], [0, 1, 3, 7], [*["error"] * 3, "success"], id="errors back off"
        ),
        pytest.param(
            [ValueError(), ValueError(), Result(timedelta(seconds=5)), ValueError()],
            [0, 1, 3, 8, 9],
            ["error", "error", "requeue_after", "error", "success"],
            id="requeue_after forgets the failures",
        ),
        pytest.param([Result(timedelta(0))], [0, 0], ["requeue_after", "success"], id="zero is now"),
        pytest.param([TerminalError()], [0], ["terminal_error"], id="terminal waits for an event"),
        pytest.param(
            [ExceptionGroup("both", [TerminalError(), TerminalError()])], [0], ["terminal_error"], id="all terminal"
        ),
        pytest.param(
            [ExceptionGroup("both", [TerminalError(), ValueError()])], [0, 1], ["error", "success"], id="one may pass"
        ),
        pytest.param(
            [Result(timedelta(seconds=4), error=ValueError()), Result(timedelta(seconds=0.5), error=ValueError())],
            [0, 1, 1.5],
            ["error", "error", "success"],
            id="of the retry and requeue_after the sooner wins",
        ),
        pytest.param(
            [Result(timedelta(0), cooldown=timedelta(seconds=3)), Result(cooldown=timedelta(seconds=3))],
            [0, 3],
            ["requeue_after", "success"],
            id="not before the cooldown is over",
        ),
        pytest.param(
            [Result(cooldown=timedelta(seconds=5), error=ValueError())],
            [0, 5],
            ["error", "success"],
            id="errors cool too",
        ),
        pytest.param([asyncio.CancelledError()], [0, 1], ["error", "success"], id="cancelled from within"),
    ],
)
async def test_the_retry_policy(steps: list[Result | BaseException], ran_at: list[float], labels: list[str]) -> None:
    queue, script, seen = make_queue(), Script(*steps), list[ResultLabel]()
    controller = Controller("test", queue, script, observe=lambda label, seconds, outcome: seen.append(label))
    with capture_logs():
        await run_for(100, queue, controller)
    assert script.ran_at == ran_at
    assert seen == labels
    assert queue.num_requeues("ns/a") == 0


async def test_a_key_that_is_always_due_leaves_the_loop_to_others() -> None:
    queue, ran = make_queue(), list[str]()

    async def reconcile(key: str) -> Result:
        ran.append(key)
        return Result(timedelta(0)) if len(ran) < 10_000 else Result()

    running = asyncio.create_task(Controller("test", queue, reconcile).run())
    queue.add("ns/a")
    for _ in range(10):
        await asyncio.sleep(0)
    assert len(ran) < 20
    await queue.shut_down_with_drain()
    await running


async def test_each_error_is_logged_once_with_the_reconciles_id() -> None:
    queue, error = make_queue(), ValueError("quota")
    merge = structlog.contextvars.merge_contextvars
    with capture_logs(processors=[merge]) as logs:
        await run_for(100, queue, Controller("test", queue, Script(error, error)))
    failures = [(entry["event"], entry["reconcile_id"], entry["key"], entry["failures"]) for entry in logs]
    assert failures == [("Reconcile failed", "test-1", "ns/a", 1), ("Reconcile failed", "test-2", "ns/a", 2)]
    assert all(entry["exc_info"] is error and entry["controller"] == "test" for entry in logs)


async def test_an_outcome_is_no_error_counted_each_time_and_logged_once() -> None:
    quota = Result(timedelta(seconds=1), outcome="QuotaExceeded", message="pods: 4, limited: 4")
    queue, seen = make_queue(), list[tuple[str, str]]()
    script = Script(quota, quota, Result(timedelta(seconds=1)), quota)
    controller = Controller(
        "test", queue, script, observe=lambda label, seconds, outcome: seen.append((label, outcome))
    )
    with capture_logs() as logs:
        await run_for(100, queue, controller)
    told = ("requeue_after", "QuotaExceeded")
    assert seen == [told, told, ("requeue_after", ""), told, ("success", "")]
    assert [(entry["log_level"], entry["outcome"], entry["message"]) for entry in logs] == [
        ("info", "QuotaExceeded", "pods: 4, limited: 4")
    ] * 2


async def test_keys_run_side_by_side_but_one_key_never_twice() -> None:
    queue, running, most = make_queue(), set[str](), 0

    async def reconcile(key: str) -> Result:
        nonlocal most
        assert key not in running
        running.add(key)
        most = max(most, len(running))
        queue.add(key)
        await asyncio.sleep(1)
        running.remove(key)
        return Result()

    for key in "abcde":
        queue.add(key)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(Controller("test", queue, reconcile, workers=3).run())
        await asyncio.sleep(20)
        tasks.create_task(queue.shut_down_with_drain())
    assert most == 3


async def test_there_are_as_many_workers_as_were_needed_at_once() -> None:
    queue = make_queue()

    async def reconcile(key: str) -> Result:
        await asyncio.sleep(1)
        return Result()

    running = asyncio.create_task(Controller("test", queue, reconcile, workers=1000).run())
    before = len(asyncio.all_tasks())
    for key in "abc":
        queue.add(key)
    await asyncio.sleep(10)
    assert len(asyncio.all_tasks()) - before <= 4
    queue.shut_down()
    await running


async def test_drain_lets_the_reconcile_under_way_end() -> None:
    queue, ended = make_queue(), list[str]()

    async def reconcile(key: str) -> Result:
        await asyncio.sleep(10)
        ended.append(key)
        return Result(timedelta(seconds=1))

    await run_for(1, queue, Controller("test", queue, reconcile))
    assert ended == ["ns/a"]
    assert asyncio.get_running_loop().time() == 10


async def test_cancellation_interrupts_the_reconcile() -> None:
    queue, interrupted = make_queue(), list[str]()

    async def reconcile(key: str) -> Result:
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            interrupted.append(key)
            raise
        return Result()

    queue.add("ns/a")
    running = asyncio.create_task(Controller("test", queue, reconcile).run())
    await asyncio.sleep(1)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert interrupted == ["ns/a"]


async def test_a_broken_worker_ends_the_controller() -> None:
    async def reconcile(key: str) -> Any:
        return None

    queue = make_queue()
    queue.add("ns/a")
    with pytest.raises(ExceptionGroup) as raised:
        await Controller("test", queue, reconcile, workers=4).run()
    assert raised.group_contains(TypeError, match="not a Result")
