"""A namespace that is being deleted: creating in it ends, in silence."""

from structlog.testing import capture_logs

from sim.facts import NAMESPACE
from sim.scene import Scene, scene
from sim.world import a_role, a_spec

HELD = {"metadata": {"finalizers": ["example.com/held"]}}


def refused_creations(stage: Scene) -> int:
    return sum(
        one.request.method == "POST" and one.response.status == 403 for one in stage.world.journal.controller_writes
    )


async def test_creating_ends_with_the_namespace() -> None:
    """20 ModelInfers of 4 pods, one pod held by a finalizer."""
    spec = a_spec(2, a_role("duo", 1, 1))
    async with scene(spec) as stage:
        world = stage.world
        world.journal.on_entry.clear()
        world.journal.on_exchange.clear()
        for number in range(19):
            await world.create_model(spec, name=f"other{number}")
        await world.sleep(60)
        assert len(list(world.facts.objects(("", "pods")))) == 80
        await world.patch("pods", "m-0-duo-0-0", HELD)
        events = len(world.controller.told)
        with capture_logs() as lines:
            await world.send("DELETE", f"/api/v1/namespaces/{NAMESPACE}")
            await world.sleep(40)
        assert refused_creations(stage) <= 20
        assert [one for one in lines if one["log_level"] in ("error", "critical")] == []
        assert len(world.controller.told) == events
        await world.patch("pods", "m-0-duo-0-0", {"metadata": {"finalizers": None}})
        await world.sleep(10)
        world.cluster.add_namespace(NAMESPACE)
        await world.create_model(spec)
        await stage.settle()
