"""Whatever happens in the cluster and to the connection: handlers hear a consistent story, and the cache ends right."""

import asyncio
import random
from collections.abc import Callable

from fake_api import EXPIRED, HTML, REFUSED, TOO_LARGE, FakeApi, status, throttled
from hypothesis import given, settings
from hypothesis import strategies as st
from test_informer import running

from modelinfer_controller.simulator.virtual_time import VirtualTimeLoop

NAMES = ("a", "b", "c")
NAMESPACES = ("one", "two")
FAULTS = (REFUSED, EXPIRED, TOO_LARGE, HTML, throttled(3), status(500, "InternalError"), status(403, "Forbidden"))

Step = Callable[[FakeApi], object]


def _change(name: str, namespace: str, wants_deletion: bool) -> Step:
    def step(api: FakeApi) -> None:
        if (namespace, name) not in api.objects:
            api.create(name, namespace)
        elif wants_deletion:
            api.delete(name, namespace)
        else:
            api.update(name, namespace)

    return step


changes = st.builds(_change, st.sampled_from(NAMES), st.sampled_from(NAMESPACES), st.booleans())
mishaps: st.SearchStrategy[Step] = st.one_of(
    st.sampled_from(
        [
            FakeApi.compact,
            FakeApi.close_streams,
            FakeApi.break_streams,
            FakeApi.bookmark,
            lambda api: api.repeat(3),
            FakeApi.fall_silent,
            FakeApi.wake_up,
        ]
    ),
    st.sampled_from(FAULTS).map(lambda fault: lambda api: api.list_faults.append(fault)),
    st.sampled_from(FAULTS).map(lambda fault: lambda api: api.watch_faults.append(fault)),
)
steps = st.lists(
    st.tuples(st.one_of(changes, changes, mishaps), st.sampled_from([0.0, 0.0, 0.002, 1.0, 40.0, 400.0])), max_size=40
)


@settings(max_examples=150, deadline=None)
@given(steps=steps, streaming=st.booleans(), as_event=st.booleans(), by_namespace=st.booleans())
def test_a_cache_converges(
    steps: list[tuple[Step, float]], streaming: bool, as_event: bool, by_namespace: bool
) -> None:
    async def history() -> None:
        api = FakeApi()
        api.expires_as_event = as_event
        namespaces = NAMESPACES if by_namespace else ()
        async with running(api, namespaces=namespaces, streaming=streaming) as run:
            for step, pause in steps:
                step(api)
                await asyncio.sleep(pause)
            api.wake_up()
            await run.after(3600)  # the longest watch, and every fault's back-off
            run.assert_same()
            assert run.informer.has_synced
            assert run.informer.handler_error_count == 0  # the recorder's assertions
            assert len(api.requests) < 3600

    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        runner.run(history())


def test_the_same_history_twice_asks_the_same() -> None:
    def asked() -> list[float]:
        api = FakeApi()

        async def history() -> None:
            async with running(api) as run:
                chance = random.Random(7)
                for _ in range(50):
                    chance.choice([FakeApi.close_streams, FakeApi.break_streams, FakeApi.compact])(api)
                    _change(chance.choice(NAMES), "one", chance.random() < 0.5)(api)
                    await run.after(chance.random() * 100)

        with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
            runner.run(history())
        return [time for time, _ in api.requests]

    assert asked() == asked()
