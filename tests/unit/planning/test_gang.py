"""Gang scheduling: one PodGroup for each group, made before its pods and kept in step."""

import msgspec
import pytest

from modelinfer_controller.api import well_known
from modelinfer_controller.api.core import Pod
from modelinfer_controller.planning.actions import CreatePod, CreatePodGroup, PatchPodGroup
from modelinfer_controller.planning.observed import GangSupport, PodGroupKey
from modelinfer_controller.planning.revision import GangScheduler
from planning.world import NAME, Spec, World, a_role, a_spec, pod_name

VOLCANO, KUBERNETES = GangSupport(volcano=True), GangSupport(kubernetes=True)
BOTH = GangSupport(volcano=True, kubernetes=True)
ROLES = (a_role("Decode", 3, workers=1), a_role("router", 1))


def volcano_group(group: int = 0) -> PodGroupKey:
    return PodGroupKey(GangScheduler.VOLCANO, f"{NAME}-{group}")


def gang_world(gang: Spec | None = None, support: GangSupport = VOLCANO, **more: object) -> World:
    world = World(a_spec(2, *ROLES, gang=gang or {}, **more), gang_support=support)  # type: ignore[arg-type]
    world.settle()
    return world


def annotations(world: World, name: str) -> dict[str, str]:
    pod: Pod = world.pods[name]
    return pod.metadata.annotations


def test_a_role_that_is_not_named_needs_all_of_its_replicas() -> None:
    spec = gang_world().pod_groups[volcano_group()].spec
    assert spec["minMember"] == 7
    assert spec["minTaskMember"] == {"Decode-0": 2, "Decode-1": 2, "Decode-2": 2, "router-0": 1}
    assert spec["queue"] == "default"


def test_min_role_replicas_counts_role_instances_lowest_first() -> None:
    world = gang_world({"minRoleReplicas": {"Decode": 1}})
    spec = world.pod_groups[volcano_group(1)].spec
    assert spec["minMember"] == 3
    assert spec["minTaskMember"] == {"Decode-0": 2, "router-0": 1}
    for instance in (1, 2):
        world.unready(pod_name(0, "decode", instance))
    world.reconcile()
    assert world.status.available_replicas == 2, "the minimum is what makes a group available"
    world.unready(pod_name(0, "router"))
    world.reconcile()
    assert world.status.available_replicas == 1


def test_min_resources_are_of_the_minimum() -> None:
    role = a_role("decode", 2, workers=1)
    role["entryTemplate"]["spec"]["containers"][0]["resources"] = {"limits": {"nvidia.com/gpu": "8", "cpu": "500m"}}
    role["workerTemplate"]["spec"]["containers"][0]["resources"] = {"requests": {"cpu": "1"}}
    world = World(a_spec(1, role, gang={"minRoleReplicas": {"decode": 1}}), gang_support=VOLCANO)
    world.settle()
    assert world.pod_groups[volcano_group()].spec["minResources"] == {"cpu": "1500m", "nvidia.com/gpu": "8"}


def test_queue_priority_and_network_topology_are_passed_on() -> None:
    role = a_role()
    role["entryTemplate"]["spec"]["priorityClassName"] = "high"
    topology = {"mode": "hard", "highestTierAllowed": 2}
    world = World(a_spec(1, role, gang={"networkTopology": topology}), gang_support=VOLCANO)
    world.annotations[well_known.VOLCANO_QUEUE_NAME] = "research"
    world.settle()
    spec = world.pod_groups[volcano_group()].spec
    assert (spec["queue"], spec["priorityClassName"], spec["networkTopology"]) == ("research", "high", topology)
    world.annotations[well_known.VOLCANO_QUEUE_NAME] = "production"
    before = world.uids()
    world.settle()
    assert world.pod_groups[volcano_group()].spec["queue"] == "production"
    assert world.uids() == before


def test_the_pod_group_is_made_before_the_pods_it_gates_which_name_it() -> None:
    world = World(a_spec(1, *ROLES, gang={}), gang_support=VOLCANO)
    (group,) = world.plan().groups
    kinds = [{type(action) for action in step} for step in group.steps]
    assert kinds.index({CreatePodGroup}) < kinds.index({CreatePod})
    world.settle()
    assert (
        annotations(world, pod_name(0, "decode", 1, 1)).items()
        >= {
            well_known.VOLCANO_GROUP_NAME: "m-0",
            well_known.VOLCANO_TASK_SPEC: "Decode-1",
        }.items()
    )


@pytest.mark.parametrize(
    ("scheduler", "support", "kind"),
    [
        (None, VOLCANO, GangScheduler.VOLCANO),
        (None, KUBERNETES, GangScheduler.KUBERNETES),
        (None, BOTH, GangScheduler.KUBERNETES),
        ("default-scheduler", BOTH, GangScheduler.KUBERNETES),
        ("volcano", BOTH, GangScheduler.VOLCANO),
        ("volcano", KUBERNETES, None),
        (None, GangSupport(), None),
    ],
)
def test_which_pod_groups_are_used(scheduler: str | None, support: GangSupport, kind: GangScheduler | None) -> None:
    world = gang_world(support=support, schedulerName=scheduler)
    assert {key.scheduler for key in world.pod_groups} == ({kind} if kind else set())
    assert len(world.pods) == 14, "everything but the gang works"
    condition = world.condition("GangScheduling")
    assert condition.status == ("True" if kind else "False")


def test_neither_kind_installed_the_condition_says_what_is_missing_and_they_appear_when_the_kind_does() -> None:
    world = gang_world(support=GangSupport())
    message = world.condition("GangScheduling").message
    assert "Volcano" in message
    assert "GenericWorkload" in message
    before = world.uids()
    world.gang_support = VOLCANO
    world.settle()
    assert set(world.pod_groups) == {volcano_group(0), volcano_group(1)}
    assert world.uids() == before, "no pod is restarted for it"


def test_a_moment_without_the_api_and_another_api_installed_later_restart_no_pod() -> None:
    world = gang_world(support=VOLCANO)
    before = world.uids()
    for support in (GangSupport(), BOTH, KUBERNETES, VOLCANO):
        world.gang_support = support
        world.pod_groups = {key: s for key, s in world.pod_groups.items() if support.serves(key.scheduler)}
        world.settle()
    assert world.uids() == before
    assert set(world.pod_groups) == {volcano_group(0), volcano_group(1)}


def test_toggling_it_off_removes_the_pod_groups() -> None:
    world = gang_world()
    world.edit(gang=None)
    world.settle()
    assert world.pod_groups == {}
    assert well_known.VOLCANO_GROUP_NAME not in annotations(world, pod_name(0, "decode"))
    assert not [condition for condition in world.status.conditions if condition.type == "GangScheduling"]


def test_a_deleted_pod_group_comes_back_and_a_changed_one_is_repaired() -> None:
    world = gang_world()
    wanted = world.pod_groups[volcano_group()].spec
    world.delete_pod_group(volcano_group())
    world.settle()
    assert world.pod_groups[volcano_group()].spec == wanted
    stored = world.pod_groups[volcano_group()]
    tasks = {**wanted["minTaskMember"], "ghost-0": 4}
    world.pod_groups[volcano_group()] = msgspec.structs.replace(
        stored, spec={**wanted, "minMember": 1, "minTaskMember": tasks, "theirs": "kept"}
    )
    world.settle()
    assert world.pod_groups[volcano_group()].spec == {**wanted, "theirs": "kept"}


def test_they_are_compared_by_meaning() -> None:
    role = a_role()
    role["entryTemplate"]["spec"]["containers"][0]["resources"] = {"requests": {"cpu": "2"}}
    topology = {"highestTierAllowed": 1}
    world = World(a_spec(1, role, gang={"networkTopology": topology}), gang_support=VOLCANO)
    world.settle()
    stored = world.pod_groups[volcano_group()]
    spec = {
        **stored.spec,
        "minResources": {"cpu": "2000m"},
        "networkTopology": {"mode": "hard", **topology},
        "subGroupPolicy": [],
    }
    world.pod_groups[volcano_group()] = msgspec.structs.replace(stored, spec=spec)
    assert world.reconcile().actions == ()


def test_a_network_topology_limit_that_is_taken_away_leaves_the_pod_group_too() -> None:
    world = gang_world({"networkTopology": {"mode": "soft", "highestTierAllowed": 1}})
    world.edit(lambda spec: spec["template"]["gangSchedule"].update(networkTopology={"mode": "soft"}))
    world.settle()
    assert world.pod_groups[volcano_group()].spec["networkTopology"] == {"mode": "soft"}
    world.edit(lambda spec: spec["template"]["gangSchedule"].pop("networkTopology"))
    world.settle()
    assert not world.pod_groups[volcano_group()].spec.get("networkTopology")
    assert world.reconcile().actions == ()


def test_without_its_kind_the_condition_says_that_the_next_revision_uses_the_other() -> None:
    world = gang_world(support=VOLCANO)
    world.gang_support, world.pod_groups = KUBERNETES, {}
    world.settle()
    assert "uses scheduling.k8s.io/v1beta1, which is served" in world.condition("GangScheduling").message
    world.edit(image="v2")
    world.settle()
    assert {key.scheduler for key in world.pod_groups} == {GangScheduler.KUBERNETES}


def test_a_gang_of_kubernetes_own_kind_is_preempted_whole_and_older_ones_are_left_alone() -> None:
    world = gang_world(support=KUBERNETES)
    key = PodGroupKey(GangScheduler.KUBERNETES, "m-0")
    stored = world.pod_groups[key]
    assert stored.spec["disruptionMode"] == {"all": {}}
    older = {name: value for name, value in stored.spec.items() if name != "disruptionMode"}
    world.pod_groups[key] = msgspec.structs.replace(stored, spec={**older, "disruptionMode": {"single": {}}})
    assert world.reconcile().actions == ()


def test_role_scaling_keeps_it_in_step() -> None:
    world = gang_world()
    world.edit(roles=[a_role("Decode", 1, workers=1), a_role("router", 1)])
    done = world.reconcile()
    assert {a.group for a in done.actions if isinstance(a, PatchPodGroup)} == {0, 1}
    spec = world.pod_groups[volcano_group()].spec
    assert (spec["minMember"], spec["minTaskMember"]) == (3, {"Decode-0": 2, "router-0": 1})


def test_a_foreign_pod_group_of_the_name_is_left_alone_and_its_group_waits() -> None:
    world = World(a_spec(2, gang={}), gang_support=VOLCANO)
    world.name_conflicts["PodGroup", "m-1"] = "PodGroup m-1 belongs to Job x"
    world.settle()
    assert set(world.groups()) == {0}
    assert "PodGroup m-1 belongs to Job x" in world.condition("Available").message


@pytest.mark.parametrize("support", [VOLCANO, KUBERNETES])
def test_from_4_to_0_to_4_a_group_that_is_still_going_away_gets_no_pod_group_and_no_pods(support: GangSupport) -> None:
    world = World(a_spec(4, a_role(workers=1), gang={}), gang_support=support)
    world.settle()
    world.edit(replicas=0)
    world.reconcile()
    world.edit(replicas=4)
    done = world.reconcile()
    assert not [action for action in done.actions if isinstance(action, CreatePod)]
    world.settle()
    assert len(world.pods) == 8
    assert len(world.pod_groups) == 4


def test_kubernetes_own_gang_counts_the_pods_of_the_minimum() -> None:
    world = gang_world({"minRoleReplicas": {"Decode": 1}}, KUBERNETES)
    key = PodGroupKey(GangScheduler.KUBERNETES, "m-0")
    assert world.pod_groups[key].spec["schedulingPolicy"] == {"gang": {"minCount": 3}}
    world.edit(gang={"minRoleReplicas": {"Decode": 2}})
    before = world.uids()
    world.settle()
    assert world.pod_groups[key].spec["schedulingPolicy"] == {"gang": {"minCount": 5}}
    assert world.uids() == before


def test_its_finalizer_is_respected_a_missing_pod_is_made_while_others_hold_the_pod_group() -> None:
    world = gang_world(support=KUBERNETES)
    world.delete_pod_group(PodGroupKey(GangScheduler.KUBERNETES, "m-0"))
    world.vanish(pod_name(0, "router"))
    world.settle()
    assert pod_name(0, "router") in world.pods
    assert world.condition("Available").status == "True"


def test_pod_groups_are_found_by_the_ordinal_in_their_names_and_foreign_names_are_passed_over() -> None:
    world = World(a_spec(2, gang={}), gang_support=GangSupport(volcano=True))
    world.settle()
    key, stored = next(iter(world.pod_groups.items()))
    for name in ("m-01", "m-x", "other-1", "m-1234567890"):
        metadata = msgspec.structs.replace(stored.metadata, name=name)
        world.pod_groups[PodGroupKey(key.scheduler, name)] = msgspec.structs.replace(stored, metadata=metadata)
    observed = world.observe()
    assert {ordinal: [key.name for key, _ in observed.pod_groups_of(ordinal)] for ordinal in range(3)} == {
        0: ["m-0"],
        1: ["m-1"],
        2: [],
    }
    assert world.plan().actions == ()


def test_a_pod_group_that_is_going_away_is_told_apart() -> None:
    world = World(a_spec(1, gang={}), gang_support=GangSupport(kubernetes=True))
    world.settle()
    (key,) = world.pod_groups
    world.delete_pod_group(key)
    observed = world.observe()
    assert observed.pod_groups_of(0) == []
    assert [key for key, _ in observed.children[0].pod_groups] == [key]


def test_ready_instances_are_those_all_of_whose_pods_are_ready() -> None:
    world = World(a_spec(1, a_role("decode", 3, workers=1)))
    world.settle()
    world.unready(pod_name(0, "decode", 1, 1))
    group = world.decide().groups[0]
    assert (group.ready_instances("decode"), group.ready_instances("prefill")) == (2, 0)
