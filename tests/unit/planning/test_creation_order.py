"""What must have a node before others may take one is made first."""

import pytest

from modelinfer_controller.api.core import PodStatus
from modelinfer_controller.planning.actions import CreatePod, CreatePodGroup, DeletePodGroup
from modelinfer_controller.planning.needs import group_needs
from modelinfer_controller.planning.observed import GangSupport, PodGroupKey
from modelinfer_controller.planning.revision import GangScheduler
from planning.world import World, a_role, a_spec, pod_name

VOLCANO, KUBERNETES = GangSupport(volcano=True), GangSupport(kubernetes=True)
ZONES = [{"maxSkew": 1, "topologyKey": "topology.kubernetes.io/zone", "whenUnsatisfiable": "DoNotSchedule"}]


def created(world: World) -> list[str]:
    return [action.name for action in world.plan().actions if isinstance(action, CreatePod)]


def place(world: World, *names: str) -> None:
    """The scheduler gives these pods nodes."""
    for name in names:
        world.set_status(name, PodStatus(phase="Pending"))


@pytest.mark.parametrize("support", [VOLCANO, KUBERNETES])
def test_the_rest_of_a_gang_is_made_when_its_minimum_has_nodes(support: GangSupport) -> None:
    gang = {"minRoleReplicas": {"decode": 1}}
    world = World(a_spec(1, a_role("prefill"), a_role("decode", 3, workers=1), gang=gang), gang_support=support)
    minimum = [pod_name(0, "prefill"), pod_name(0, "decode"), pod_name(0, "decode", index=1)]
    assert created(world) == minimum
    world.reconcile()
    place(world, *minimum[:2])
    assert created(world) == []
    place(world, minimum[2])
    assert created(world) == [pod_name(0, "decode", instance, index) for instance in (1, 2) for index in (0, 1)]


def test_without_a_gang_the_minimum_holds_nothing_back() -> None:
    gang = {"minRoleReplicas": {"decode": 1}}
    world = World(a_spec(1, a_role("decode", 3), gang=gang))
    assert created(world) == [pod_name(0, "decode", instance) for instance in range(3)]


def test_a_group_that_is_spread_is_its_leader_alone_until_that_has_a_node() -> None:
    world = World(a_spec(2, a_role("prefill", workers=1), a_role("decode"), topologySpreadConstraints=ZONES))
    assert created(world) == [pod_name(0, "prefill"), pod_name(1, "prefill")]
    world.reconcile()
    assert created(world) == []
    place(world, pod_name(1, "prefill"))
    assert created(world) == [pod_name(1, "prefill", index=1), pod_name(1, "decode")]


def test_a_leader_in_back_off_keeps_nobody_waiting() -> None:
    world = World(a_spec(1, a_role("prefill"), a_role("decode"), topologySpreadConstraints=ZONES))
    world.settle()
    for _ in range(2):
        world.vanish(pod_name(0, "prefill"))
        world.reconcile()
        if pod_name(0, "prefill") in world.pods:
            world.kubelet()
            world.reconcile()
    assert pod_name(0, "prefill") not in world.pods
    world.edit(lambda spec: spec["template"]["roles"][1].update(replicas=2))
    assert created(world) == [pod_name(0, "decode", 1)]


@pytest.mark.parametrize("support", [VOLCANO, KUBERNETES])
def test_the_leader_of_a_gang_that_is_spread_is_made_before_its_followers(support: GangSupport) -> None:
    roles = (a_role("prefill", workers=1), a_role("decode"))
    world = World(a_spec(2, *roles, gang={}, topologySpreadConstraints=ZONES), gang_support=support)
    for group in world.plan().groups:
        leaders, followers = group.steps[-2:]
        made = [action.name for action in leaders if isinstance(action, CreatePod)]
        assert made == [pod_name(group.ordinal, "prefill")]
        assert len([action for action in followers if isinstance(action, CreatePod)]) == 2


@pytest.mark.parametrize("support", [VOLCANO, KUBERNETES])
def test_a_revision_of_another_size_replaces_the_pod_group_between_the_pods(support: GangSupport) -> None:
    world = World(a_spec(1, a_role("decode"), gang={}), gang_support=support)
    world.settle()
    (before,) = world.pod_groups.values()
    world.edit(lambda spec: spec["template"]["roles"][0].update(a_role("decode", workers=1)))
    seen: list[str] = []
    for _ in range(20):
        planned = world.reconcile()
        seen += [
            type(a).__name__ for a in planned.actions if isinstance(a, CreatePod | CreatePodGroup | DeletePodGroup)
        ]
        world.kubelet()
    assert seen == ["DeletePodGroup", "CreatePodGroup", "CreatePod", "CreatePod"]
    (after,) = world.pod_groups.values()
    assert after.metadata.uid != before.metadata.uid


def test_a_native_pod_group_is_replaced_where_it_cannot_be_changed() -> None:
    role = a_role("decode")
    world = World(a_spec(1, role, gang={}), gang_support=KUBERNETES)
    world.settle()
    key = PodGroupKey(GangScheduler.KUBERNETES, next(iter(world.pod_groups)).name)
    before = world.pod_groups[key]
    role["entryTemplate"]["spec"]["priorityClassName"] = "urgent"
    world.edit(lambda spec: spec["template"].update(roles=[role]))
    world.settle()
    assert world.pod_groups[key].metadata.uid != before.metadata.uid
    assert world.pod_groups[key].spec["priorityClassName"] == "urgent"


def test_a_group_that_waits_for_its_turn_keeps_its_pod_group_when_gangs_are_turned_off() -> None:
    gang = {"minRoleReplicas": {"decode": 1}}
    world = World(a_spec(2, a_role("decode", 2), gang=gang), gang_support=VOLCANO)
    world.settle()
    specs = {key: stored.spec for key, stored in world.pod_groups.items()}
    world.edit(lambda spec: spec["template"].pop("gangSchedule"))
    for _ in range(3):
        world.reconcile()
    left = {key: stored.spec for key, stored in world.pod_groups.items()}
    assert left
    assert left.items() <= specs.items()


def test_of_a_very_large_group_a_pass_makes_so_many_pods(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(group_needs, "PODS_PER_PASS", 3)
    world = World(a_spec(1, a_role("decode", 5)))
    assert created(world) == [pod_name(0, "decode", instance) for instance in range(3)]
    world.settle()
    assert len(world.pods) == 5
