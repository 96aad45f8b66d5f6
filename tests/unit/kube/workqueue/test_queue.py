"""The work queue's guarantees, one by one."""

import asyncio
from contextlib import suppress
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelinfer_controller.kube.workqueue import ItemExponentialBackoff, QueueShutDown, WorkQueue
from modelinfer_controller.simulator.virtual_time import VirtualTimeLoop


def now() -> float:
    return asyncio.get_running_loop().time()


async def is_waiting(queue: WorkQueue[str]) -> bool:
    """Whether a get would wait, now."""
    try:
        async with asyncio.timeout(0):
            queue.add(await queue.get())
    except TimeoutError:
        return True
    return False


async def test_items_come_in_the_order_they_were_added_and_once() -> None:
    queue = WorkQueue[str]()
    for item in "abcab":
        queue.add(item)
    assert len(queue) == 3
    assert [await queue.get() for _ in range(3)] == ["a", "b", "c"]


async def test_an_item_in_work_is_not_handed_out_again_until_done() -> None:
    queue = WorkQueue[str]()
    queue.add("a")
    assert await queue.get() == "a"
    queue.add("a")
    queue.add("a")
    assert await is_waiting(queue)
    queue.done("a")
    assert await queue.get() == "a"
    queue.done("a")
    assert await is_waiting(queue)


async def test_a_waiting_worker_gets_an_item_as_soon_as_it_is_added() -> None:
    queue = WorkQueue[str]()
    asyncio.get_running_loop().call_later(7, queue.add, "a")
    assert await queue.get() == "a"
    assert now() == 7


async def test_a_worker_cancelled_in_the_tick_that_woke_it_passes_the_item_on() -> None:
    queue = WorkQueue[str]()
    first, second = asyncio.create_task(queue.get()), asyncio.create_task(queue.get())
    await asyncio.sleep(0)
    queue.add("a")
    first.cancel()
    assert await second == "a"
    with pytest.raises(asyncio.CancelledError):
        await first


async def test_of_several_delays_the_soonest_wins() -> None:
    queue = WorkQueue[str]()
    queue.add_after("a", 10)
    queue.add_after("a", 3)
    queue.add_after("a", 5)
    assert await queue.get() == "a"
    assert now() == 3
    queue.done("a")
    await asyncio.sleep(100)
    assert len(queue) == 0


@pytest.mark.parametrize("seconds", [0, -1])
async def test_no_delay_means_now(seconds: float) -> None:
    queue = WorkQueue[str]()
    queue.add_after("a", seconds)
    assert len(queue) == 1


async def test_failures_double_the_delay_up_to_the_cap_and_forget_starts_anew() -> None:
    queue = WorkQueue[str](ItemExponentialBackoff(0.005, 0.03))
    delays = []
    for _ in range(5):
        queue.add_rate_limited("a")
        began = now()
        queue.done(await queue.get())
        delays.append(round(now() - began, 6))
    assert delays == [0.005, 0.01, 0.02, 0.03, 0.03]
    assert queue.num_requeues("a") == 5
    queue.forget("a")
    assert queue.num_requeues("a") == 0
    queue.add_rate_limited("a")
    began = now()
    await queue.get()
    assert now() - began == pytest.approx(0.005)


async def test_an_item_that_fails_for_days_waits_1000_seconds_at_most() -> None:
    backoff = ItemExponentialBackoff[str]()
    assert [backoff.when("a") for _ in range(5000)][-1] == 1000


async def test_forget_does_not_end_the_work() -> None:
    queue = WorkQueue[str]()
    queue.add("a")
    await queue.get()
    queue.forget("a")
    queue.add("a")
    assert await is_waiting(queue)


async def test_a_cooling_item_is_not_handed_out_before_its_time() -> None:
    queue = WorkQueue[str]()
    queue.add("a")
    queue.done(await queue.get(), cooldown=5)
    queue.add("a")
    queue.add("b")
    assert queue.has_pending("a")
    assert await queue.get() == "b"
    queue.done("b")
    assert await queue.get() == "a"
    assert now() == 5


async def test_what_was_added_during_the_work_waits_for_the_cooldown_too() -> None:
    queue = WorkQueue[str]()
    queue.add("a")
    item = await queue.get()
    queue.add_after("a", 1)
    queue.add("a")
    queue.done(item, cooldown=5)
    assert await queue.get() == "a"
    assert now() == 5
    queue.done("a", cooldown=5)
    await asyncio.sleep(100)
    assert len(queue) == 0


async def test_shut_down_ends_a_cooldown_and_drain_waits_for_what_it_held_back() -> None:
    queue = WorkQueue[str]()
    for item in "ab":
        queue.add(item)
    queue.done(await queue.get(), cooldown=3600)
    queue.add("a")
    queue.done(await queue.get(), cooldown=3600)
    draining = asyncio.create_task(queue.shut_down_with_drain())
    await asyncio.sleep(1)
    assert not draining.done()
    assert await queue.get() == "a"
    queue.done("a", cooldown=3600)
    await draining
    assert now() == 1


async def test_after_shut_down_nothing_is_added_and_what_is_queued_still_comes() -> None:
    queue = WorkQueue[str]()
    queue.add("working")
    await queue.get()
    queue.add("working")
    queue.add("queued")
    queue.add_after("delayed", 1)
    queue.shut_down()
    queue.add("late")
    queue.add_after("late", 1)
    queue.add_rate_limited("late")
    await asyncio.sleep(10)
    assert await queue.get() == "queued"
    queue.done("working")
    assert await queue.get() == "working", "it was added while in work, before the shut-down"
    with pytest.raises(QueueShutDown):
        await queue.get()


async def test_shut_down_releases_waiting_workers() -> None:
    queue = WorkQueue[str]()
    workers = [asyncio.create_task(queue.get()) for _ in range(3)]
    await asyncio.sleep(1)
    queue.shut_down()
    results = await asyncio.gather(*workers, return_exceptions=True)
    assert [type(result) for result in results] == [QueueShutDown] * 3


async def test_shut_down_in_the_tick_in_which_a_worker_is_cancelled() -> None:
    queue = WorkQueue[str]()
    worker = asyncio.create_task(queue.get())
    await asyncio.sleep(0)
    worker.cancel()
    queue.shut_down()
    with pytest.raises(asyncio.CancelledError):
        await worker


async def test_drain_waits_for_queued_and_for_working_items() -> None:
    queue = WorkQueue[str]()
    ended: dict[str, float] = {}

    async def worker() -> None:
        while True:
            item = await queue.get()
            await asyncio.sleep(10)
            queue.done(item)
            ended[item] = now()

    for item in "abc":
        queue.add(item)
    working = asyncio.create_task(worker())
    await asyncio.sleep(1)
    await queue.shut_down_with_drain()
    assert now() == 30
    with pytest.raises(QueueShutDown):
        await working
    assert ended == {"a": 10, "b": 20, "c": 30}


async def test_drain_of_an_idle_queue_returns_at_once() -> None:
    queue = WorkQueue[str]()
    await queue.shut_down_with_drain()
    assert queue.is_shut_down


def fair_queue(max_in_work: int) -> WorkQueue[str]:
    """Items such as "a1" are of the flow "a"."""
    return WorkQueue(flow_of=lambda item: item[0], max_in_work=max_in_work)


async def test_flows_take_turns() -> None:
    queue = fair_queue(100)
    for item in ("a1", "a2", "a3", "b1", "c1", "b2"):
        queue.add(item)
    assert [await queue.get() for _ in range(6)] == ["a1", "b1", "c1", "a2", "b2", "a3"]


async def test_a_flow_alone_has_half_of_what_may_be_in_work_and_leaves_the_rest() -> None:
    queue = fair_queue(8)
    for number in range(8):
        queue.add(f"a{number}")
    for _ in range(4):
        await queue.get()
    assert await is_waiting(queue)
    queue.add("b0")
    assert await queue.get() == "b0"


async def test_who_waits_for_room_gets_the_item_when_some_work_ends() -> None:
    queue = fair_queue(2)
    for item in ("a1", "a2"):
        queue.add(item)
    first = await queue.get()
    asyncio.get_running_loop().call_later(5, queue.done, first)
    assert await queue.get() == "a2"
    assert now() == 5


async def test_shut_down_ends_those_who_wait_for_room_once_nothing_is_queued() -> None:
    queue = fair_queue(2)
    for item in ("a1", "a2"):
        queue.add(item)
    first = await queue.get()
    getters = [asyncio.create_task(queue.get()) for _ in range(2)]
    await asyncio.sleep(1)
    queue.shut_down()
    await asyncio.sleep(1)
    assert not any(getter.done() for getter in getters)
    queue.done(first)
    results = await asyncio.gather(*getters, return_exceptions=True)
    assert sorted(map(str, results)) == ["", "a2"]


ACTIONS = st.lists(st.tuples(st.sampled_from(["add", "get", "done"]), st.sampled_from("abc"), st.integers(0, 9)))


@given(ACTIONS, st.integers(1, 7))
def test_a_flow_with_nothing_in_work_waits_only_while_everybody_works(
    actions: list[tuple[str, str, int]], max_in_work: int
) -> None:
    async def play() -> None:
        queue, queued, in_work = fair_queue(max_in_work), set[str](), list[str]()
        for action, flow, number in actions:
            if action == "add" and f"{flow}{number}" not in in_work:
                queue.add(f"{flow}{number}")
                queued.add(f"{flow}{number}")
            elif action == "done" and in_work:
                queue.done(in_work.pop(number % len(in_work)))
            elif action == "get":
                busy = {item[0] for item in in_work}
                is_owed = len(in_work) < max_in_work and any(item[0] not in busy for item in queued)
                with suppress(TimeoutError):
                    async with asyncio.timeout(0.001):
                        in_work.append(await queue.get())
                        queued.remove(in_work[-1])
                        is_owed = False
                assert not is_owed
                assert len(in_work) <= max_in_work

    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        runner.run(play())


@dataclass
class Recorder:
    seen: list[tuple[str, float]] = field(default_factory=list)

    def depth(self, items: int) -> None:
        self.seen.append(("depth", items))

    def add(self) -> None:
        self.seen.append(("add", 1))

    def queue_duration(self, seconds: float) -> None:
        self.seen.append(("queued", seconds))

    def work_duration(self, seconds: float) -> None:
        self.seen.append(("worked", seconds))

    def retry(self) -> None:
        self.seen.append(("retry", 1))


async def test_metrics_tell_depth_latency_duration_and_retries() -> None:
    metrics = Recorder()
    queue = WorkQueue[str](metrics=metrics)
    queue.add("a")
    queue.add("a")
    await asyncio.sleep(2)
    await queue.get()
    await asyncio.sleep(5)
    assert queue.unfinished_work_seconds() == queue.longest_running_seconds() == 5
    queue.done("a")
    assert queue.unfinished_work_seconds() == queue.longest_running_seconds() == 0
    queue.add_rate_limited("a")
    assert metrics.seen == [
        ("add", 1),
        ("depth", 1),
        ("depth", 0),
        ("queued", 2),
        ("worked", 5),
        ("retry", 1),
    ]
