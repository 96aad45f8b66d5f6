"""A work queue that never runs an item twice at once and never loses one."""

import asyncio
import math
from collections import Counter, deque
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

from modelinfer_controller.kube.workqueue.fair_queue import FairQueue
from modelinfer_controller.kube.workqueue.metrics import NoMetrics, WorkQueueMetrics
from modelinfer_controller.kube.workqueue.rate_limiter import ItemExponentialBackoff, RateLimiter

K = TypeVar("K", bound=Hashable)


class QueueShutDown(Exception):
    """Raised by `get` when the queue is shut down and empty: the worker's signal to end."""


class WorkQueue(Generic[K]):
    """client-go's work queue: first in, first out, each item at most once; and fair, where items are of several flows.

    An item is *dirty* from `add` until a worker gets it, *in work* from `get` to `done`, and *cooling* from then until
    its cooldown is over. It stands in the queue if and only if it is dirty, not in work and not cooling; the end of
    the work, or of the cooldown, queues what became dirty meanwhile. So of adds during work none is lost, and all
    together lead to one more run. Shut-down ends every cooldown.

    Flows take turns, and none has more items in work than could be put to work beside them: of `max_in_work`, one flow
    alone has half, two have a third each. So a flow whose items take long leaves workers for every other one.

    For one loop; only `get` and `shut_down_with_drain` wait. Seconds are those of the loop's clock.
    """

    def __init__(
        self,
        rate_limiter: RateLimiter[K] | None = None,
        metrics: WorkQueueMetrics | None = None,
        *,
        flow_of: Callable[[K], Hashable] = lambda item: None,
        max_in_work: float = math.inf,
    ) -> None:
        self._rate_limiter: RateLimiter[K] = rate_limiter if rate_limiter is not None else ItemExponentialBackoff()
        self._metrics: WorkQueueMetrics = metrics if metrics is not None else NoMetrics()
        self._queue = FairQueue(flow_of)
        self._flow_of = flow_of
        self._max_in_work = max_in_work
        self._dirty: dict[K, float] = {}  # item -> since when
        self._in_work: dict[K, float] = {}  # item -> since when
        self._in_work_by_flow: Counter[Hashable] = Counter()
        self._cooling: dict[K, asyncio.TimerHandle] = {}
        self._delayed: dict[K, asyncio.TimerHandle] = {}
        self._getters: deque[asyncio.Future[None]] = deque()
        self._drains: set[asyncio.Future[None]] = set()
        self._is_shut_down = False

    def __len__(self) -> int:
        """Items queued: due, not in work and not cooling."""
        return len(self._queue)

    def has_pending(self, item: K) -> bool:
        """Whether the item was added since a worker last got it: another run of it follows at once."""
        return item in self._dirty

    @property
    def is_shut_down(self) -> bool:
        return self._is_shut_down

    def add(self, item: K) -> None:
        """Makes the item due now. Does nothing if it is due already, or after shut-down."""
        if self._is_shut_down or item in self._dirty:
            return
        self._metrics.add()
        self._dirty[item] = self._time()
        if item not in self._in_work and item not in self._cooling:
            self._enqueue(item)

    def add_after(self, item: K, seconds: float) -> None:
        """Adds the item then; of several deadlines of one item the soonest counts. <= 0 is `add`."""
        if self._is_shut_down:
            return
        if seconds <= 0:
            self.add(item)
            return
        due = self._time() + seconds
        earlier = self._delayed.get(item)
        if earlier is not None:
            if earlier.when() <= due:
                return
            earlier.cancel()
        self._delayed[item] = asyncio.get_running_loop().call_at(due, self._add_delayed, item)

    def add_rate_limited(self, item: K) -> None:
        """Adds the item when its rate limiter says, and counts a failure of it."""
        if self._is_shut_down:
            return
        self._metrics.retry()
        self.add_after(item, self._rate_limiter.when(item))

    def forget(self, item: K) -> None:
        """Ends the item's series of failures, no more: whoever got the item still owes a `done`."""
        self._rate_limiter.forget(item)

    def num_requeues(self, item: K) -> int:
        """The item's failures in a row."""
        return self._rate_limiter.num_requeues(item)

    async def get(self) -> K:
        """Waits for the next item, which is the caller's until `done`. Raises QueueShutDown when none will come."""
        while (item := self._queue.pop(self._may_run)) is None:
            if self._is_shut_down and not self._queue:
                raise QueueShutDown
            await self._wait_for_item()
        now = self._time()
        self._metrics.depth(len(self._queue))
        self._metrics.queue_duration(now - self._dirty.pop(item))
        self._in_work[item] = now
        self._in_work_by_flow[self._flow_of(item)] += 1
        if self._is_shut_down and not self._queue:
            _wake_all(self._getters)
        else:
            self._wake_getter()
        return item

    def done(self, item: K, *, cooldown: float = 0.0) -> None:
        """Ends the work on an item from `get`, and queues it again if it was added meanwhile.

        cooldown: seconds for which the item is not handed out again, whoever adds it.
        """
        self._metrics.work_duration(self._time() - self._in_work.pop(item))
        self._in_work_by_flow -= Counter((self._flow_of(item),))
        if cooldown > 0 and not self._is_shut_down:
            self._cooling[item] = asyncio.get_running_loop().call_later(cooldown, self._end_cooldown, item)
        elif item in self._dirty:
            self._enqueue(item)
        self._wake_getter()  # for one that this flow, or any, had too many in work for
        if not self._queue and not self._in_work:
            _wake_all(self._drains)

    def shut_down(self) -> None:
        """From now on nothing is added, delayed items are dropped, and `get` ends once the queue is empty."""
        self._is_shut_down = True
        for timer in self._delayed.values():
            timer.cancel()
        self._delayed.clear()
        for item in list(self._cooling):
            self._end_cooldown(item)
        _wake_all(self._getters)

    async def shut_down_with_drain(self) -> None:
        """Shuts down, then waits until nothing is queued or in work. Needs workers that go on until QueueShutDown."""
        self.shut_down()
        while self._queue or self._in_work:
            drained: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._drains.add(drained)
            try:
                await drained
            finally:
                self._drains.discard(drained)

    def unfinished_work_seconds(self) -> float:
        """The ages of all work going on, added up: it grows without end when workers are stuck."""
        now = self._time()
        return sum(now - since for since in self._in_work.values())

    def longest_running_seconds(self) -> float:
        """The age of the oldest work going on; 0 without any."""
        return self._time() - min(self._in_work.values()) if self._in_work else 0.0

    def _may_run(self, flow: Hashable) -> bool:
        return self._in_work_by_flow[flow] < self._max_in_work - len(self._in_work)

    def _add_delayed(self, item: K) -> None:
        del self._delayed[item]
        self.add(item)

    def _end_cooldown(self, item: K) -> None:
        self._cooling.pop(item).cancel()
        if item in self._dirty:
            self._dirty[item] = self._time()  # what it waited for was not a worker
            self._enqueue(item)

    def _enqueue(self, item: K) -> None:
        self._queue.push(item)
        self._metrics.depth(len(self._queue))
        self._wake_getter()

    async def _wait_for_item(self) -> None:
        getter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._getters.append(getter)
        try:
            await getter
        except asyncio.CancelledError:
            if getter.done() and not getter.cancelled():
                # Woken for an item and cancelled in the same tick: the item is somebody else's to take.
                self._wake_getter()
            elif getter in self._getters:
                self._getters.remove(getter)
            raise

    def _wake_getter(self) -> None:
        while self._queue and self._getters:
            getter = self._getters.popleft()
            if not getter.done():
                getter.set_result(None)
                return

    @staticmethod
    def _time() -> float:
        return asyncio.get_running_loop().time()


def _wake_all(waiters: "deque[asyncio.Future[None]] | set[asyncio.Future[None]]") -> None:
    for waiter in waiters:
        if not waiter.done():
            waiter.set_result(None)
    waiters.clear()
