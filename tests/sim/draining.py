"""What people do to nodes, and how many groups are available meanwhile."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from modelinfer_controller.simulator.apiserver.store import ChangeType
from sim.facts import PODS, Object, Pod, parse_pod
from sim.journal import CONTROLLER, Entry
from sim.scene import Scene
from sim.world import Refused, World, path_of

RETRY = 5.0  # seconds between two attempts to evict a pod, as kubectl waits


def pods_on(world: World, node: str) -> list[Pod]:
    return [pod for pod in world.facts.pods() if pod.node == node]


async def kubectl_drain(world: World, node: str, *, timeout: float = 1800.0) -> int:
    """Cordon, and evict each pod that is there by its name, as kubectl does. Returns how many evictions were refused.

    kubectl lists the pods once. A refused eviction it tries again after 5 s, by name, whoever bears it then, until it
    is let through or nobody has the name. source: k8s.io/kubectl, pkg/drain, evictPods
    """
    await world.cordon(node)
    evictions = [_evict_until_gone(world, pod, world.now + timeout) for pod in pods_on(world, node)]
    refused = sum(await asyncio.gather(*evictions))
    left = sorted(pod.name for pod in pods_on(world, node))
    assert not left, f"{node} is drained, and has the pods {left}"
    return refused


async def _evict_until_gone(world: World, pod: Pod, deadline: float) -> int:
    refused = 0
    while not await _is_evicted(world, pod):
        assert world.now < deadline, f"{pod.name} is not evicted in time"
        refused += 1
        await asyncio.sleep(RETRY)
    await world.until(lambda: all(one.uid != pod.uid for one in world.facts.pods()))
    return refused


async def evict_once(world: World, node: str) -> None:
    """Cordon, and try once to evict each pod that is there."""
    await world.cordon(node)
    for pod in pods_on(world, node):
        await _is_evicted(world, pod)


async def _is_evicted(world: World, pod: Pod) -> bool:
    body = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": pod.name}}
    try:
        await world.send("POST", f"{path_of('pods', pod.name)}/eviction", body)
    except Refused as error:
        if error.status not in (404, 429):
            raise
        return error.status == 404
    bearer = next((one for one in world.facts.pods() if one.name == pod.name), pod)
    assert bearer.uid == pod.uid, f"kubectl has evicted the new {pod.name}, on {bearer.node}"
    return True


class Availability:
    """Groups all of whose pods are ready and do not drain, watched at every change of a pod."""

    def __init__(self, scene: Scene) -> None:
        self._world = scene.world
        self.lowest = len(self.available())
        self.made: dict[int, set[str]] = {}
        scene.world.journal.on_entry.append(self._note)

    def available(self) -> set[int]:
        spec = self._world.facts.spec
        size = sum(role["replicas"] * (role.get("workerReplicas", 0) + 1) for role in spec["template"]["roles"])
        groups = self._world.facts.pods_by_group()
        return {
            group for group, pods in groups.items() if sum(pod.is_ready and not pod.is_draining for pod in pods) == size
        }

    def _note(self, entry: Entry) -> None:
        if entry.change.kind_key != PODS:
            return
        self.lowest = min(self.lowest, len(self.available()))
        pod = parse_pod(entry.change.stored.object)
        if pod is None or entry.author != CONTROLLER:
            return
        if entry.change.type is ChangeType.ADDED:
            self.made.setdefault(pod.group, set()).add(pod.uid)


def handing_over(spec: Object) -> Object:
    return {**spec, "nodeDrainPolicy": "HandOver"}


@asynccontextmanager
async def dying_controller(world: World, every: float = 3.0) -> AsyncIterator[None]:
    """While inside, and until the next time, the controller is killed again and again."""
    is_over = asyncio.Event()

    async def kill() -> None:
        while not is_over.is_set():
            await asyncio.sleep(every)
            await world.controller.kill()
            world.controller.start()

    killing = asyncio.create_task(kill(), name="killing")
    try:
        yield
    finally:
        is_over.set()
        await killing  # a cancellation in the middle of a kill would be taken for the controller's
