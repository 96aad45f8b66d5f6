"""Why a gang has no nodes, in its scheduler's own words."""

import msgspec
import pytest

from modelinfer_controller.api.core import Condition, PodGroupStatus, PodStatus
from modelinfer_controller.planning.observed import GangSupport
from planning.world import World, a_role, a_spec, pod_name

VOLCANO, KUBERNETES = GangSupport(volcano=True), GangSupport(kubernetes=True)


def waiting(world: World, name: str, reason: str, message: str) -> None:
    condition = Condition(type="PodScheduled", status="False", reason=reason, message=message)
    world.set_status(name, PodStatus(phase="Pending", conditions=(condition,)), node="")


def test_it_is_the_pod_that_does_not_fit_and_not_one_that_waits_for_it() -> None:
    world = World(a_spec(1, a_role(workers=1), gang={}), gang_support=VOLCANO)
    world.reconcile()
    waiting(world, pod_name(0), "Schedulable", "can possibly be assigned to node-1")
    waiting(world, pod_name(0, index=1), "Unschedulable", "0/3 nodes are available")
    world.reconcile()
    available = world.condition("Available")
    assert available.reason == "Unschedulable"
    assert f"pod {pod_name(0, index=1)}: Unschedulable: 0/3 nodes are available" in available.message


@pytest.mark.parametrize(
    ("support", "type_", "status"),
    [(VOLCANO, "Unschedulable", "True"), (KUBERNETES, "PodGroupInitiallyScheduled", "False")],
)
def test_where_no_pod_tells_the_pod_group_does(support: GangSupport, type_: str, status: str) -> None:
    world = World(a_spec(1, gang={}), gang_support=support)
    world.reconcile()
    ((key, stored),) = world.pod_groups.items()
    refused = Condition(type=type_, status=status, reason="Unschedulable", message="2/3 tasks do not fit")
    world.pod_groups[key] = msgspec.structs.replace(stored, status=PodGroupStatus(conditions=(refused,)))
    world.reconcile()
    available = world.condition("Available")
    assert available.reason == "Unschedulable"
    assert f"PodGroup {key.name}: 2/3 tasks do not fit" in available.message
