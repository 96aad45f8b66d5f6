"""Scenes for tests: a converged ModelInfer with every rule watching, and what becomes of its pods."""

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any

from sim.facts import Object, Pod
from sim.rest import check_at_rest
from sim.rollout_rules import RolloutRules
from sim.rules import Rules
from sim.world import World


class Scene:
    """A world with every rule watching."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.rules = Rules(world)
        self.rollout = RolloutRules(world)

    @property
    def status(self) -> Any:
        model = self.world.facts.model
        assert model is not None
        return model.get("status") or {}

    def condition(self, type_: str) -> Any:
        return next(one for one in self.status["conditions"] if one["type"] == type_)

    def uids(self) -> dict[str, str]:
        return {pod.name: pod.uid for pod in self.world.live_pods()}

    def pod(self, name: str) -> Pod:
        return next(pod for pod in self.world.live_pods() if pod.name == name)

    def is_at_rest(self) -> bool:
        conditions = {one["type"]: one["status"] for one in self.status.get("conditions") or ()}
        model = self.world.facts.model
        assert model is not None
        return (
            conditions == {**conditions, "Available": "True", "Progressing": "False", "UpdateInProgress": "False"}
            and self.status["observedGeneration"] == model["metadata"]["generation"]
        )

    async def settle(self, timeout: float = 900.0) -> None:
        """Until the status says so and the world agrees."""
        await self.world.sleep(0.05)
        await self.world.until(self.is_at_rest, timeout)
        await self.world.sleep(1.0)
        self.check_at_rest()

    def check_at_rest(self) -> None:
        world = self.world
        check_at_rest(world.facts, has_volcano=world.has_volcano, has_native_gang=world.has_native_gang)


@asynccontextmanager
async def scene(spec: Object, *, is_settled: bool = True, **cluster: Any) -> AsyncIterator[Scene]:
    async with World(**cluster) as world:
        made = Scene(world)
        await world.create_model(spec)
        if is_settled:
            await made.settle()
        yield made
        world.check()


def renewed(before: dict[str, str], after: dict[str, str]) -> set[str]:
    """The pods that were there before and are others now."""
    assert before.keys() == after.keys(), f"{sorted(before)} have become {sorted(after)}"
    return {name for name, uid in before.items() if after[name] != uid}


def of_group(names: Iterable[str], group: int) -> set[str]:
    return {name for name in names if name.startswith(f"m-{group}-")}
