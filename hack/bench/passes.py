"""What one pass over a large ModelInfer costs where nothing has changed. The planner alone, without a cluster."""

from __future__ import annotations

import time

from planning.world import World, a_role, a_spec, pod_name

from bench.row import Row
from modelinfer_controller.planning.decide import decide
from modelinfer_controller.planning.memo import Memory


def one_pass(groups: int, repeats: int) -> list[Row]:
    world = World(a_spec(groups, a_role("decode", 1, workers=1)))
    world.settle()
    size = f"{groups} groups of 2"
    at_rest = [_decide(world) for _ in range(repeats)]
    one_event = []
    for number in range(repeats):
        world.unready(pod_name(number))
        one_event.append(_decide(world))
        world.start(pod_name(number))
        _decide(world)
    world.memory = Memory()
    first = _decide(world)
    return [
        Row("one pass, nothing changed", size, "ms", [1000 * one for one in at_rest], aim=300.0),
        Row("one pass, one pod changed", size, "ms", [1000 * one for one in one_event]),
        Row("the first pass of a process", size, "ms", [1000 * first]),
    ]


def _decide(world: World) -> float:
    """Seconds of processor of the decision alone: the snapshot is made by whoever keeps the caches."""
    observed = world.observe()
    began = time.process_time()
    decide(observed, world.now)
    return time.process_time() - began
