"""How often the controller decides for a ModelInfer while its pods change one by one."""

import asyncio
import itertools
from collections.abc import Callable

from modelinfer_controller.controller.resources import MODEL_INFERS
from modelinfer_controller.controller.wiring import Observers
from modelinfer_controller.kube.client import Client
from modelinfer_controller.simulator.control_plane import SimulatedControlPlane
from modelinfer_controller.simulator.faults.transport import NO_FAULTS, Faults, Rates
from tests.unit.controller.conftest import CRD, NAMESPACE, controlled, spec


async def decisions(processor_time: Callable[[], float], rates: Rates = NO_FAULTS, seconds: float = 60) -> list[float]:
    """When the controller decided for a ModelInfer of five groups in the first seconds of its life."""
    times: list[float] = []
    now = asyncio.get_running_loop().time
    observers = Observers(on_decision=lambda assessment: times.append(now()))
    faults = Faults(0)
    async with (
        SimulatedControlPlane(definitions=[CRD]) as cluster,
        controlled(
            cluster,
            Client(faults.wrap(cluster.transport("controller"))),
            processor_time=processor_time,
            observers=observers,
        ),
    ):
        await asyncio.sleep(1)
        await cluster.client("user").create(
            MODEL_INFERS, NAMESPACE, {"metadata": {"name": "demo"}, "spec": spec(replicas=5)}
        )
        faults.rates = rates
        await asyncio.sleep(seconds)
    return times


def gaps(times: list[float]) -> list[float]:
    return [later - sooner for sooner, later in itertools.pairwise(times)]


async def test_after_a_long_decision_it_is_left_alone_for_twice_as_long() -> None:
    clock = itertools.count(step=0.5)
    times = await decisions(lambda: next(clock))
    assert len(times) > 2
    assert min(gaps(times)) >= 0.99


async def test_while_something_fails_it_is_left_alone_as_long() -> None:
    """Back-off begins at milliseconds, and events come meanwhile: neither may skip the cooldown."""
    clock = itertools.count(step=0.05)
    times = await decisions(lambda: next(clock), Rates(internal_error=0.5), seconds=3)
    assert len(times) > 4
    assert min(gaps(times)) >= 0.094


async def test_after_a_short_decision_nothing_waits() -> None:
    clock = itertools.count(step=0.002)
    assert min(gaps(await decisions(lambda: next(clock)))) == 0
