"""How often a ModelInfer is looked at while its pods change one by one."""

import asyncio
import itertools
from collections.abc import Callable

from modelinfer_controller.controller.resources import MODEL_INFERS
from modelinfer_controller.controller.wiring import Observers
from modelinfer_controller.simulator.control_plane import SimulatedControlPlane
from tests.unit.controller.conftest import CRD, NAMESPACE, controlled, spec


async def looks(processor_time: Callable[[], float]) -> list[float]:
    """When the controller looked at a ModelInfer of five groups, from its creation until it has been at rest."""
    times: list[float] = []
    now = asyncio.get_running_loop().time
    observers = Observers(on_assessment=lambda assessment: times.append(now()))
    async with (
        SimulatedControlPlane(definitions=[CRD]) as cluster,
        controlled(cluster, cluster.client("controller"), processor_time=processor_time, observers=observers),
    ):
        await cluster.client("user").create(
            MODEL_INFERS, NAMESPACE, {"metadata": {"name": "demo"}, "spec": spec(replicas=5)}
        )
        await asyncio.sleep(60)
    return times


def gaps(times: list[float]) -> list[float]:
    return [later - sooner for sooner, later in itertools.pairwise(times)]


async def test_after_a_long_look_it_is_left_alone_for_twice_as_long() -> None:
    clock = itertools.count(step=0.5)
    times = await looks(lambda: next(clock))
    assert len(times) > 2
    assert min(gaps(times)) >= 0.99


async def test_after_a_short_look_nothing_waits() -> None:
    clock = itertools.count(step=0.002)
    assert min(gaps(await looks(lambda: next(clock)))) == 0
