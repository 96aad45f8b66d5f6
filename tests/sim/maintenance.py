"""Random maintenance of nodes: what people, autoscalers and power cuts do to them, and the policy that hands over.

A mixin of the state machine of `histories`.
"""

from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from modelinfer_controller.planning.nodes import LEAVING_TAINTS
from sim.draining import evict_once
from sim.facts import Object, hands_over
from sim.life import set_life
from sim.mixin import Mixin

NODE_NUMBERS = st.integers(0, 2)
POLICIES = st.sampled_from(["HandOver", "HandOver", "Evict", None])
A_DRAIN = 1800.0  # seconds that the last drain may take


def maintained(spec: Object, life: Object) -> Object:
    """The spec with a policy that hands over, and drains its pods as `life` says."""
    handed_over = {**spec, "nodeDrainPolicy": "HandOver"}
    set_life("drain", life["drain"])(handed_over)
    return handed_over


def of_maintenance(machine: Any) -> bool:
    return machine.theme in ("maintenance", "rough")


class Maintenance(Mixin):
    """Rules, and what ends them all."""

    @precondition(of_maintenance)
    @rule(which=NODE_NUMBERS)
    def cordon(self, which: int) -> None:
        self._do(self.world.cordon(f"node-{which}"))

    @precondition(of_maintenance)
    @rule(which=NODE_NUMBERS)
    def uncordon(self, which: int) -> None:
        self._do(self.world.uncordon(f"node-{which}"))

    @precondition(of_maintenance)
    @rule(which=NODE_NUMBERS, key=st.sampled_from(LEAVING_TAINTS), effect=st.sampled_from(["NoSchedule", "NoExecute"]))
    def taint(self, which: int, key: str, effect: str) -> None:
        self._do(self.world.taint(f"node-{which}", key, effect))

    @precondition(of_maintenance)
    @rule(which=NODE_NUMBERS)
    def evict_from_node(self, which: int) -> None:
        """One round of what `kubectl drain` does: it cordons, and asks for the eviction of each pod."""
        self._do(evict_once(self.world, f"node-{which}"))

    @precondition(of_maintenance)
    @rule(which=NODE_NUMBERS)
    def remove_node(self, which: int) -> None:
        self._do(self.world.remove_node(f"node-{which}"))

    @precondition(of_maintenance)
    @rule(which=NODE_NUMBERS)
    def add_node(self, which: int) -> None:
        self._do(self._add_node(f"node-{which}"))

    async def _add_node(self, node: str) -> None:
        self.world.add_node(node)

    @precondition(of_maintenance)
    @rule(policy=POLICIES)
    def edit_drain_policy(self, policy: str | None) -> None:
        self._edit(set_life("nodeDrainPolicy", policy))

    async def end_maintenance(self) -> None:
        for number in range(3):
            self.world.add_node(f"node-{number}")
            await self.world.uncordon(f"node-{number}")

    async def drain_in_the_end(self) -> None:
        """A node is cordoned, and with the policy its groups leave it."""
        world = self.world
        await world.cordon("node-1")
        if hands_over(world.facts.spec) and not world.facts.spec.get("suspend"):
            await world.until(lambda: not [pod for pod in world.facts.pods() if pod.node == "node-1"], A_DRAIN)
