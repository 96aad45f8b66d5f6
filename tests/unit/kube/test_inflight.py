"""The fair limiter: its bounds, whose turn it is, and that what hangs for one holds up no other."""

import asyncio
from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelinfer_controller.kube.inflight import FORGET_AFTER, SLOW_AFTER, FairLimiter, Flow
from modelinfer_controller.simulator.virtual_time import VirtualTimeLoop

HUNG = 30.0  # seconds: what an API server grants a webhook
QUICK = 0.02
TOTAL = 8


def now() -> float:
    return asyncio.get_running_loop().time()


class Traffic:
    """Requests through a limiter, and the bounds that hold at each of them; what goes on at the end is broken off."""

    def __init__(self, total: int = TOTAL) -> None:
        self.limiter = FairLimiter(total)
        self.total = total
        self.began: list[tuple[float, Flow]] = []
        self.tasks: set[asyncio.Task[float]] = set()
        self._under_way = 0

    async def __aenter__(self) -> "Traffic":
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        assert self.limiter.under_way_count == self._under_way == 0

    async def request(self, flow: Flow, seconds: float) -> float:
        """Returns how long it waited."""
        asked_at = now()
        async with self.limiter.slot(flow):
            waited = now() - asked_at
            self.began.append((now(), flow))
            self._under_way += 1
            try:
                assert self._under_way <= 2 * self.total
                await asyncio.sleep(seconds)
            finally:
                self._under_way -= 1
        return waited

    def send(self, flow: Flow, seconds: float, count: int = 1) -> list["asyncio.Task[float]"]:
        tasks = [asyncio.create_task(self.request(flow, seconds)) for _ in range(count)]
        self.tasks.update(tasks)
        return tasks

    async def finish(self) -> list[float]:
        return await asyncio.gather(*self.tasks)


async def test_no_more_count_than_there_are_slots() -> None:
    async with Traffic() as traffic:
        traffic.send(("a", "m"), QUICK, 3 * TOTAL)
        await traffic.finish()
    assert [at for at, _ in traffic.began] == pytest.approx([0.0] * TOTAL + [QUICK] * TOTAL + [2 * QUICK] * TOTAL)


async def test_a_flow_is_served_in_its_order() -> None:
    limiter, order = FairLimiter(1), list[int]()

    async def request(number: int) -> None:
        async with limiter.slot(("a", "m")):
            order.append(number)
            await asyncio.sleep(QUICK)

    await asyncio.gather(*map(request, range(10)))
    assert order == list(range(10))


async def test_namespaces_take_turns_and_in_each_its_flows() -> None:
    async with Traffic(1) as traffic:
        for flow in (("a", "m"), ("a", "n"), ("b", "m")):
            traffic.send(flow, QUICK, 3)
        await traffic.finish()
    names = ["/".join(flow) for _, flow in traffic.began]
    assert names == ["a/m", "a/m", "b/m", "a/n", "b/m", "a/m", "b/m", "a/n", "a/n"]


@pytest.mark.parametrize("hanging", [1, 100, 300])
async def test_what_hangs_in_one_namespace_does_not_hold_up_another(hanging: int) -> None:
    async with Traffic(64) as traffic:
        for number in range(hanging):
            traffic.send(("hung", f"m-{number}"), HUNG, 4)
        for _ in range(200):
            assert await traffic.request(("well", "m"), QUICK) <= SLOW_AFTER
            await asyncio.sleep(0.5)


async def test_namespaces_that_hang_together_leave_room() -> None:
    async with Traffic(64) as traffic:
        for number in range(60):
            traffic.send((f"hung-{number}", "m"), HUNG, 100)
        await asyncio.sleep(4 * HUNG)  # they began as if all was well
        for _ in range(200):
            assert await traffic.request(("well", "m"), QUICK) <= SLOW_AFTER
            await asyncio.sleep(0.5)


async def test_what_hangs_for_one_object_does_not_hold_up_its_neighbours_for_long() -> None:
    async with Traffic(64) as traffic:
        traffic.send(("a", "hung"), HUNG, 1000)
        await asyncio.sleep(HUNG + 1)
        for _ in range(200):
            assert await traffic.request(("a", "well"), QUICK) <= SLOW_AFTER
            await asyncio.sleep(0.5)


async def test_a_flow_that_hung_is_whole_again_once_its_requests_are_fast() -> None:
    async with Traffic() as traffic:
        traffic.send(("a", "m"), HUNG, TOTAL)
        await traffic.finish()
        traffic.send(("a", "m"), QUICK, 10 * TOTAL)
        await asyncio.sleep(TOTAL * QUICK)
        assert traffic.limiter.under_way_count == TOTAL
        await traffic.finish()
        assert traffic.limiter.flow_count == 0


async def test_on_a_slow_server_nothing_is_taken_for_hanging() -> None:
    """All take as long as the others: 40 rounds of 1 s, but for the start."""
    async with Traffic() as traffic:
        traffic.send(("a", "m"), 1.0, 40 * TOTAL)
        await traffic.finish()
    assert now() < 60


async def test_a_flow_that_hung_and_went_is_forgotten() -> None:
    async with Traffic() as traffic:
        traffic.send(("a", "gone"), HUNG, TOTAL)
        await traffic.finish()
        await asyncio.sleep(FORGET_AFTER)
        assert traffic.limiter.flow_count == 1
        await asyncio.sleep(1)
        await traffic.request(("b", "m"), QUICK)
        assert traffic.limiter.flow_count == 0


async def test_who_is_cancelled_loses_its_turn_and_no_slot() -> None:
    async with Traffic(1) as traffic:
        first, waiting, woken, last = (traffic.send(("a", name), QUICK)[0] for name in "mnop")
        await asyncio.sleep(0)
        waiting.cancel()
        await first
        woken.cancel()  # in the tick in which its turn has come
        assert await last <= 2 * QUICK
        assert traffic.limiter.flow_count == 0
    assert waiting.cancelled()
    assert woken.cancelled()


@dataclass(frozen=True)
class Burst:
    at: float
    flow: Flow
    seconds: float
    count: int
    is_given_up: bool


BURSTS = st.lists(
    st.builds(
        Burst,
        at=st.floats(0, 90),
        flow=st.tuples(st.sampled_from("abc"), st.sampled_from("mn")),
        seconds=st.sampled_from([QUICK, QUICK, 0.3, 2.0, HUNG]),
        count=st.integers(1, 12),
        is_given_up=st.integers(0, 9).map(lambda number: number == 0),
    ),
    max_size=40,
)


@settings(deadline=None, max_examples=80)
@given(BURSTS)
def test_every_request_gets_its_turn(bursts: list[Burst]) -> None:
    async def play() -> None:
        async with Traffic(4) as traffic:
            for burst in sorted(bursts, key=lambda burst: burst.at):
                await asyncio.sleep(burst.at - now())
                tasks = traffic.send(burst.flow, burst.seconds, burst.count)
                if burst.is_given_up:
                    await asyncio.sleep(0)
                    for task in tasks:
                        task.cancel()
            await asyncio.wait(traffic.tasks or {asyncio.create_task(asyncio.sleep(0))})
            assert traffic.limiter.under_way_count == 0

    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        runner.run(play())


@settings(deadline=None, max_examples=40)
@given(st.integers(1, 400), st.integers(1, 20), st.floats(0, 100))
def test_whatever_hangs_elsewhere_a_first_request_starts_within_a_second(flows: int, each: int, at: float) -> None:
    async def play() -> None:
        async with Traffic(64) as traffic:
            for number in range(flows):
                traffic.send(("hung", f"m-{number}"), HUNG, each)
            await asyncio.sleep(at)
            assert await traffic.request(("well", "m"), QUICK) <= 1.0

    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        runner.run(play())
