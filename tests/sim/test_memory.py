"""What is remembered of a ModelInfer goes with it."""

import gc
import tracemalloc

from sim.facts import Object
from sim.scene import scene
from sim.world import World, a_role, a_spec

SPECS = 20
LARGE = 30_000  # bytes of each spec


def large_spec(number: int) -> Object:
    role = a_role("solo", 1)
    environment = [{"name": f"V{index}", "value": f"{number}-{index}-" + "x" * 70} for index in range(LARGE // 100)]
    role["entryTemplate"]["spec"]["containers"][0]["env"] = environment
    return a_spec(1, role)


async def test_large_specs_that_came_and_went_leave_nothing_behind() -> None:
    """Each spec held 830 KiB for as long as the process lived."""
    async with scene(a_spec(1, a_role("solo"))) as stage:
        world = stage.world
        world.journal.on_entry.clear()
        world.journal.on_exchange.clear()

        async def comes_and_goes(number: int) -> None:
            await world.create_model(large_spec(number), name=f"large{number}")
            await world.sleep(5)
            await world.delete("modelinfers", f"large{number}")
            await world.sleep(30)

        for number in range(3):
            await comes_and_goes(number)
        tracemalloc.start()
        try:
            before = _held_by_controller(world)
            for number in range(3, 3 + SPECS):
                await comes_and_goes(number)
            grown = _held_by_controller(world) - before
        finally:
            tracemalloc.stop()
        assert grown < SPECS * 20 * 1024, f"{grown / SPECS / 1024:.0f} KiB for each ModelInfer that is gone"


def _held_by_controller(world: World) -> int:
    """Bytes that the planner and the shell allocated, and hold. What they sent is the simulator's to keep."""
    world.cluster.api.audit.clear()
    world.journal.controller_writes.clear()
    gc.collect()
    own = [tracemalloc.Filter(True, f"*/modelinfer_controller/{part}/*") for part in ("planning", "controller", "api")]
    return sum(one.size for one in tracemalloc.take_snapshot().filter_traces(own).statistics("filename"))
