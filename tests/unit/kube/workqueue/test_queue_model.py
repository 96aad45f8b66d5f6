"""Random histories of a work queue against a model of its contract: nothing lost, nothing twice, in order."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from modelinfer_controller.kube.workqueue import ItemExponentialBackoff, QueueShutDown, WorkQueue
from modelinfer_controller.simulator.virtual_time import VirtualTimeLoop

T = TypeVar("T")

ITEMS = st.sampled_from("abcd")
SECONDS = st.integers(-1, 20)


class WorkQueueHistory(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner(loop_factory=VirtualTimeLoop)
        self.queue = self.run(self.make_queue())
        self.getters: list[asyncio.Task[str]] = []
        self.got: list[str] = []
        # The model: a list for the queue, what is due, what is in work, deadlines, failures.
        self.queued: list[str] = []
        self.dirty: set[str] = set()
        self.in_work: set[str] = set()
        self.cool_at: dict[str, float] = {}
        self.deadlines: dict[str, float] = {}
        self.failures: dict[str, int] = {}
        self.is_shut_down = False
        self.waiting = 0
        self.expected: list[str] = []
        self.steps = 0

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(coroutine)

    async def make_queue(self) -> WorkQueue[str]:
        return WorkQueue(ItemExponentialBackoff(1.0, 60.0))

    @property
    def now(self) -> float:
        return self.runner.get_loop().time()

    def distinct(self, seconds: float) -> float:
        """No two deadlines at one instant, whose order the contract leaves open."""
        self.steps += 1
        return seconds + self.steps * 0.00037 if seconds > 0 else seconds

    async def settle(self) -> None:
        for _ in range(10):
            await asyncio.sleep(0)

    def model_add(self, item: str) -> None:
        if self.is_shut_down or item in self.dirty:
            return
        self.dirty.add(item)
        if item not in self.in_work and item not in self.cool_at:
            self.queued.append(item)

    def model_add_after(self, item: str, seconds: float) -> None:
        if self.is_shut_down:
            return
        if seconds <= 0:
            self.model_add(item)
        else:
            self.deadlines[item] = min(self.now + seconds, self.deadlines.get(item, float("inf")))

    def model_deliver(self) -> None:
        while self.queued and self.waiting:
            item = self.queued.pop(0)
            self.waiting -= 1
            self.dirty.remove(item)
            assert item not in self.in_work
            self.in_work.add(item)
            self.expected.append(item)
        if self.is_shut_down:
            self.waiting = 0

    @rule(item=ITEMS)
    def add(self, item: str) -> None:
        async def act() -> None:
            self.queue.add(item)
            await self.settle()

        self.model_add(item)
        self.model_deliver()
        self.run(act())

    @rule(item=ITEMS, seconds=SECONDS)
    def add_after(self, item: str, seconds: int) -> None:
        delay = self.distinct(seconds)

        async def act() -> None:
            self.queue.add_after(item, delay)
            await self.settle()

        self.model_add_after(item, delay)
        self.model_deliver()
        self.run(act())

    @rule(item=ITEMS)
    def add_rate_limited(self, item: str) -> None:
        async def act() -> None:
            self.queue.add_rate_limited(item)
            await asyncio.sleep(self.distinct(0.0001))

        if not self.is_shut_down:
            failures = self.failures.get(item, 0)
            self.failures[item] = failures + 1
            self.model_add_after(item, min(60.0, 2.0**failures))
        self.run(act())
        self.model_pass_time()

    @rule(item=ITEMS)
    def forget(self, item: str) -> None:
        self.queue.forget(item)
        self.failures.pop(item, None)

    @rule(count=st.integers(1, 3))
    def get(self, count: int) -> None:
        async def act() -> None:
            self.getters += [asyncio.create_task(self.queue.get()) for _ in range(count)]
            await self.settle()

        self.waiting += count
        self.model_deliver()
        self.run(act())

    @precondition(lambda self: self.in_work)
    @rule(choice=st.randoms(use_true_random=False), seconds=st.just(0) | SECONDS)
    def done(self, choice: Any, seconds: int) -> None:
        item, cooldown = choice.choice(sorted(self.in_work)), self.distinct(seconds)

        async def act() -> None:
            self.queue.done(item, cooldown=cooldown)
            await self.settle()

        self.in_work.remove(item)
        if cooldown > 0 and not self.is_shut_down:
            self.cool_at[item] = self.now + cooldown
        elif item in self.dirty:
            self.queued.append(item)
        self.model_deliver()
        self.run(act())

    @precondition(lambda self: self.waiting)
    @rule(item=st.none() | ITEMS, index=st.integers(0, 5))
    def cancel_a_getter_in_the_tick_of_an_add(self, item: str | None, index: int) -> None:
        async def act() -> None:
            if item is not None:
                self.queue.add(item)
            waiting = [getter for getter in self.getters if not getter.done()]
            waiting[index % len(waiting)].cancel()
            await self.settle()

        if item is not None:
            self.model_add(item)
        self.waiting -= 1
        self.model_deliver()
        self.run(act())

    @rule(seconds=st.integers(0, 30))
    def pass_time(self, seconds: int) -> None:
        async def act() -> None:
            await asyncio.sleep(self.distinct(seconds))
            await self.settle()

        self.run(act())
        self.model_pass_time()

    def model_pass_time(self) -> None:
        events = [(deadline, "due", item) for item, deadline in self.deadlines.items()]
        events += [(end, "cool", item) for item, end in self.cool_at.items()]
        for time, what, item in sorted(events):
            if time > self.now:
                break
            if what == "due":
                del self.deadlines[item]
                self.model_add(item)
            else:
                self.model_cool(item)
            self.model_deliver()

    def model_cool(self, item: str) -> None:
        del self.cool_at[item]
        if item in self.dirty:
            self.queued.append(item)

    @precondition(lambda self: not self.is_shut_down)
    @rule(is_wanted=st.integers(0, 9))
    def shut_down(self, is_wanted: int) -> None:
        if is_wanted:  # seldom, or most histories would be short
            return

        async def act() -> None:
            self.queue.shut_down()
            await self.settle()

        self.is_shut_down = True
        self.deadlines.clear()
        for item in list(self.cool_at):
            self.model_cool(item)
        self.model_deliver()
        self.run(act())

    @invariant()
    def queue_and_model_agree(self) -> None:
        for getter in [getter for getter in self.getters if getter.done()]:
            self.getters.remove(getter)
            if not getter.cancelled() and not isinstance(getter.exception(), QueueShutDown):
                self.got.append(getter.result())
        assert sorted(self.got) == sorted(self.expected)
        assert len(self.queue) == len(self.queued)
        assert len(self.getters) == self.waiting
        assert {item: self.queue.num_requeues(item) for item in self.failures} == self.failures

    def teardown(self) -> None:
        self.run(self.drain())
        self.runner.close()

    async def drain(self) -> None:
        """However the history went, workers that end their work and go on empty the queue."""
        for item in self.in_work:
            self.queue.done(item)
        for getter in self.getters:
            getter.cancel()
        await asyncio.gather(*self.getters, return_exceptions=True)
        worker = asyncio.create_task(self.work())
        async with asyncio.timeout(1000):
            await self.queue.shut_down_with_drain()
            rest = await worker
        due = self.queued + [item for item in self.dirty if item in self.in_work or item in self.cool_at]
        assert sorted(rest) == sorted(due)

    async def work(self) -> list[str]:
        rest: list[str] = []
        try:
            while True:
                rest.append(await self.queue.get())
                await asyncio.sleep(1)
                self.queue.done(rest[-1])
        except QueueShutDown:
            return rest


TestWorkQueueHistory = WorkQueueHistory.TestCase
TestWorkQueueHistory.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
