"""Back-off: growth, cap, jitter, quiet time."""

import asyncio
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from modelinfer_controller.kube.backoff import Backoff, exponential, jittered


async def test_delays_grow_to_the_cap_and_start_anew_after_a_quiet_while() -> None:
    backoff = Backoff(0.8, 30, random=Random(1), reset_after=120)
    assert [backoff.next_delay() for _ in range(7)] == [0.8, 1.6, 3.2, 6.4, 12.8, 25.6, 30]
    await asyncio.sleep(120)
    assert backoff.next_delay() == 30
    await asyncio.sleep(121)
    assert backoff.next_delay() == 0.8
    assert backoff.next_delay() == 1.6
    backoff.reset()
    assert backoff.next_delay() == 0.8


@given(seed=st.integers(0, 2**32), jitter=st.floats(0, 3), seconds=st.floats(0, 1000))
def test_jitter_only_adds_and_at_most_its_share(seed: int, jitter: float, seconds: float) -> None:
    assert seconds <= jittered(seconds, jitter, Random(seed)) <= seconds * (1 + jitter)


@given(failures=st.integers(0, 10**9))
def test_any_number_of_failures_waits_between_base_and_cap(failures: int) -> None:
    assert 0.005 <= exponential(0.005, 1000, failures) <= 1000
    assert exponential(0.005, 1000, failures) <= exponential(0.005, 1000, failures + 1)
