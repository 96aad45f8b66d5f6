"""What the whole controller asks of the server, and does itself: ratios that must not grow. See docs/performance.md."""

from support.work import counted

from sim.facts import Object
from sim.scene import Scene, scene
from sim.world import a_role, a_spec, set_image

SIZE = 2  # pods of a group


def spec(groups: int) -> Object:
    return a_spec(groups, a_role("decode", 1, workers=1))


async def writes_of_creation(groups: int) -> int:
    async with scene(spec(groups)) as stage:
        return len(stage.world.journal.controller_writes)


async def test_creation_asks_for_little_more_than_its_objects() -> None:
    small, large = [await writes_of_creation(groups) for groups in (6, 30)]
    # A Service and two pods for each group; a revision and a few statuses for all of them.
    assert large <= 1.1 * 30 * (1 + SIZE)
    assert (large - small) / 24 <= 1.05 * (1 + SIZE)


async def test_an_update_asks_for_little_more_than_to_delete_and_create() -> None:
    async with scene(spec(8)) as stage:
        before = len(stage.world.journal.controller_writes)
        await stage.world.edit(set_image("good:3"))
        await stage.settle()
        asked = len(stage.world.journal.controller_writes) - before
    # Each group's pods go and come, and the status says once that it moves and once that it is available.
    assert asked <= 1.2 * 8 * (2 * SIZE + 2)


async def calls_of_an_event(groups: int) -> float:
    """Of the controller and its caches, for one pod that changes without a meaning."""
    async with scene(spec(groups)) as stage:
        await stage.world.sleep(30)
        with counted("planning", "controller", "kube/workqueue", "kube/cache", "kube/expectations") as work:
            for number in range(5):
                await annotate(stage, number)
        return work.calls / 5


async def annotate(stage: Scene, number: int) -> None:
    body = {"metadata": {"annotations": {"seen": str(number)}}}
    await stage.world.patch("pods", f"m-{number}-decode-0-0", body)
    await stage.world.sleep(2)


async def test_an_event_of_a_pod_is_flat_in_the_number_of_groups() -> None:
    small, large = [await calls_of_an_event(groups) for groups in (6, 36)]
    assert small > 0
    assert large <= 2 * small
