"""Random histories of nodes: cordons, taints, losses, among updates and a controller that dies.

At every change of a pod: no group that was available goes below the budget by our own hand. In the end every node comes
back, and everything is as specified.
"""

import random

import pytest

from modelinfer_controller.planning.nodes import LEAVING_TAINTS
from sim.draining import Availability, hands_over, node_of
from sim.facts import Object
from sim.scene import Scene, scene
from sim.world import a_role, a_spec, set_image

NODES = ("node-0", "node-1", "node-2", "node-3")
STEPS = 20


def a_random_spec(rng: random.Random) -> Object:
    """Without a partition: to the scene's rules a held group that moves looks like one that is updated."""
    unavailable, surge = rng.choice([(1, 0), (1, 0), (2, 0), (0, 1), (1, 1)])
    spec = a_spec(
        rng.randint(2, 4),
        a_role("q", rng.randint(1, 2), rng.randint(0, 2)),
        max_unavailable=unavailable,
        max_surge=surge,
        recoveryPolicy=rng.choice(["InferGroupRecreate", "RoleRecreate", "None"]),
    )
    if rng.random() < 0.4:
        spec["template"]["drain"] = {"timeoutSeconds": rng.choice([5, 20])}
    return hands_over(spec)


async def one_step(stage: Scene, rng: random.Random) -> None:
    world, node = stage.world, rng.choice(NODES[1:])  # one node always takes pods
    match rng.choice(["cordon", "cordon", "uncordon", "taint", "lose", "image", "kill", "wait", "wait"]):
        case "cordon":
            await world.cordon(node)
        case "uncordon":
            await world.uncordon(node)
        case "taint":
            await world.taint(node, rng.choice(LEAVING_TAINTS))
        case "lose":
            world.freeze(node)
        case "image":
            await world.edit(set_image(rng.choice(["good:1", "good:2", "good:3"])))
        case "kill":
            await world.controller.kill()
            world.controller.start()
        case _:
            world.thaw()
    await world.sleep(rng.choice([0.01, 0.3, 2.0, 8.0, 30.0, 90.0]))


@pytest.mark.parametrize("seed", range(12))
async def test_no_history_of_nodes_goes_below_the_budget_by_our_own_hand(seed: int) -> None:
    rng = random.Random(seed)
    async with scene(a_random_spec(rng), nodes=len(NODES), seed=seed) as stage:
        Availability(stage)
        for _ in range(STEPS):
            await one_step(stage, rng)
        stage.world.heal()
        leaving = rng.choice(NODES[1:])
        for node in NODES:
            await stage.world.uncordon(node)
        await stage.settle(3600)
        await stage.world.cordon(leaving)
        await stage.world.sleep(900)
        await stage.settle(3600)
        assert leaving not in {node_of(pod) for pod in stage.world.live_pods()}, "the last drain has not ended"
