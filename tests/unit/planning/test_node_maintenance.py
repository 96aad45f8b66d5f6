"""Nodes that leave: groups are handed over at their own revision, under the budget that updates have too."""

import json
from dataclasses import replace
from datetime import timedelta

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.update_rules import rules_of

from modelinfer_controller.api.core import Condition, NodeStatus, PodDisruptionBudget
from modelinfer_controller.planning.actions import DeletePod, PatchPodMetadata
from modelinfer_controller.planning.conditions import hand_over_text
from modelinfer_controller.planning.decide import decide
from modelinfer_controller.planning.disruption_budget import published_taints
from modelinfer_controller.planning.group_phase import GroupPhase, group_phase
from modelinfer_controller.planning.memo import Memory
from modelinfer_controller.planning.nodes import LEAVING_TAINTS
from modelinfer_controller.planning.preview import preview
from modelinfer_controller.planning.replacement import OnLeavingNode, Outdated, reason_name, reason_text
from modelinfer_controller.planning.status import status_of
from modelinfer_controller.planning.update_rules import Rule
from planning.budget_watch import snapshot
from planning.histories import REFUSED, History, Move
from planning.world import Spec, World, a_role, a_spec, pod_name

NODES = ("node-1", "node-2", "node-3")
QUARTET = a_role("decode", 1, workers=3)


def drained(replicas: int = 6, *roles: Spec, nodes: tuple[str, ...] = NODES, **rest: object) -> World:
    """A settled world on a few nodes, each group on one of them, in turn."""
    rest = {"nodeDrainPolicy": "HandOver", "recoveryPolicy": "InferGroupRecreate", **rest}
    world = World(a_spec(replicas, *(roles or (QUARTET,)), **rest))  # type: ignore[arg-type]
    world.add_nodes(*nodes)
    world.settle()
    for name, pod in world.pods.items():
        ordinal = int(name.split("-")[1])
        spec = msgspec.structs.replace(pod.spec, node_name=nodes[ordinal % len(nodes)])
        world.pods[name] = msgspec.structs.replace(pod, spec=spec)
    world.pass_time(3600)
    return world


def groups_on(world: World, node: str) -> set[int]:
    return {int(name.split("-")[1]) for name in world.pods_on(node)}


def taken(world: World) -> set[int]:
    """Groups of which a pod would be deleted now."""
    return {action.identity.group for action in world.plan().actions if isinstance(action, DeletePod)}


def drain(world: World, *, limit: int = 300) -> int:
    """Until nothing is left to do. Returns how many groups were unavailable at most."""
    worst = 0
    for _ in range(limit):
        decided = world.reconcile()
        worst = max(worst, world.spec["replicas"] - len(snapshot(world).available))
        moved = world.kubelet()
        if decided.actions or moved:
            world.pass_time(1)
        elif decided.wake_at is not None and decided.wake_at < world.now + timedelta(minutes=5):
            world.now = decided.wake_at
        else:
            return worst
    raise AssertionError("the drain does not end")


def revisions(world: World) -> dict[int, set[str]]:
    return snapshot(world).revisions


# -- the table: who moves, and in which order ----------------------------------------------------------------------


def test_a_drain_of_one_of_three_nodes_takes_no_more_than_max_unavailable_groups_down_and_ends() -> None:
    world = drained(max_unavailable=1)
    before = revisions(world)
    kept = {name: uid for name, uid in world.uids().items() if world.pods[name].spec.node_name != "node-3"}
    world.cordon("node-3")
    assert drain(world) == 1
    assert world.pods_on("node-3") == []
    assert revisions(world) == before
    assert kept.items() <= world.uids().items(), "a group on another node was touched"
    assert len(snapshot(world).available) == 6


def test_the_highest_ordinal_on_the_most_affected_node_moves_first() -> None:
    world = drained(5, max_unavailable=1)  # node-1 and node-2 have two groups each, node-3 one
    world.cordon("node-2", "node-3")
    assert taken(world) == {4}


def test_a_group_that_is_not_available_moves_at_once_and_costs_nothing() -> None:
    world = drained(max_unavailable=1)
    world.unready(pod_name(2))
    world.unready(pod_name(5))
    world.cordon("node-3")
    assert taken(world) == {2, 5}


def test_two_nodes_at_once_share_the_budget() -> None:
    world = drained(max_unavailable=2)
    world.cordon("node-2", "node-3")
    assert len(taken(world)) == 2
    assert drain(world) == 2
    assert world.pods_on("node-2") == world.pods_on("node-3") == []


def test_a_surge_makes_the_new_group_elsewhere_before_the_old_one_goes() -> None:
    world = drained(max_unavailable=0, max_surge=1)
    world.cordon("node-3")
    assert drain(world) == 0
    assert world.pods_on("node-3") == []
    assert sorted(snapshot(world).available) == [0, 1, 2, 3, 4, 5], "the extra group is to be gone in the end"


def test_evict_is_todays_behaviour() -> None:
    world = drained(nodeDrainPolicy="Evict")
    world.cordon("node-3")
    assert world.plan().actions == ()
    assert world.budgets == {}


@pytest.mark.parametrize("key", LEAVING_TAINTS)
def test_every_taint_of_leaving_makes_groups_due(key: str) -> None:
    world = drained(max_unavailable=1)
    world.taint("node-3", key)
    assert taken(world) == {5}


def test_another_taint_does_not() -> None:
    world = drained(max_unavailable=1)
    world.taint("node-3", "nvidia.com/gpu")
    assert world.plan().actions == ()


def test_a_suspended_model_infer_has_nothing_to_move() -> None:
    world = drained()
    world.edit(suspend=True)
    world.cordon("node-3")
    drain(world)
    assert world.pods == {}


# -- an update and a drain -----------------------------------------------------------------------------------------


def test_a_group_due_for_both_is_replaced_once_and_goes_to_the_update_revision() -> None:
    world = drained(max_unavailable=1)
    world.cordon("node-3")
    world.edit(image="v2")
    assert taken(world) == {5}
    made: dict[str, int] = {}
    known = world.uids()
    for _ in range(200):
        decided = world.reconcile()
        moved = world.kubelet()
        for name, uid in world.uids().items():
            made[name] = made.get(name, 0) + (known.get(name) != uid)
        known |= world.uids()
        if not decided.actions and not moved and decided.wake_at is None:
            break
        world.pass_time(1)
    assert world.groups() == {ordinal: {"v2"} for ordinal in range(6)}
    assert set(made.values()) == {1}, "a group was replaced twice"
    assert world.pods_on("node-3") == []


def test_groups_on_a_leaving_node_are_updated_before_others() -> None:
    world = drained(max_unavailable=1)
    world.cordon("node-1")
    world.edit(image="v2")
    assert taken(world) == {3}


@pytest.mark.parametrize("held", [{"partition": 6}, {"paused": True}])
def test_what_holds_the_update_lets_the_group_move_at_its_own_revision(held: dict[str, object]) -> None:
    world = drained(max_unavailable=1)
    world.edit(image="v2", **held)
    drain(world)
    world.cordon("node-3")
    assert drain(world) == 1
    assert world.groups() == {ordinal: {"v1"} for ordinal in range(6)}
    assert world.pods_on("node-3") == []


def test_an_update_that_is_down_to_its_budget_leaves_none_for_a_drain() -> None:
    world = drained(max_unavailable=1)
    world.edit(image="v2", partition=3)
    world.reconcile()
    world.cordon("node-1")  # groups 0, which the partition holds, and 3
    assert taken(world) == set()
    assert drain(world) == 1
    assert world.groups() == {o: {"v1"} if o < 3 else {"v2"} for o in range(6)}


@pytest.mark.parametrize("image", ["v1", "v2"])
def test_a_name_stays_free_until_kubectl_drain_has_tried_again(image: str) -> None:
    world = drained(max_unavailable=1)
    world.cordon("node-3")
    world.edit(image=image)
    world.reconcile()
    world.kubelet()
    for _ in range(6):
        world.pass_time(1)
        world.reconcile()
        assert not [name for name in world.pods if name.startswith("m-5-")]
    world.pass_time(1)
    world.reconcile()
    assert {name for name in world.pods if name.startswith("m-5-")} == {pod_name(5, index=k) for k in range(4)}
    assert world.groups()[5] == {image}


# -- no flapping ---------------------------------------------------------------------------------------------------


def test_a_node_that_comes_back_before_its_groups_turn_ends_the_matter() -> None:
    world = drained(max_unavailable=1)
    world.cordon("node-3")
    world.reconcile()
    world.uncordon("node-3")
    kept = {name: uid for name, uid in world.uids().items() if name.startswith("m-2-")}
    drain(world)
    assert kept.items() <= world.uids().items()


def test_a_drain_that_has_begun_is_undone_when_the_node_comes_back() -> None:
    world = drained(max_unavailable=1)
    world.edit(lambda spec: spec["template"].update(drain={"timeoutSeconds": 60}))
    drain(world)
    world.cordon("node-3")
    world.reconcile()
    assert world.condition("Available").reason in ("HandingOver", "Draining")
    world.uncordon("node-3")
    before = world.uids()
    drain(world)
    assert world.uids() == before
    assert world.condition("Available").status == "True"


def test_a_group_whose_pods_land_there_again_is_not_moved_again_for_the_same_cordon() -> None:
    world = drained(max_unavailable=1)
    world.cordon("node-3")
    world.place = lambda: "node-3"  # type: ignore[method-assign]  # as with a template that tolerates the taint
    drain(world)
    before = world.uids()
    world.pass_time(7200)
    drain(world)
    assert world.uids() == before
    del world.place  # type: ignore[method-assign]
    world.uncordon("node-3")
    drain(world)
    assert world.uids() == before
    world.cordon("node-3")
    drain(world)
    assert world.pods_on("node-3") == []


def test_a_surge_stays_until_the_moved_group_is_available_though_the_node_came_back() -> None:
    world = drained(max_unavailable=0, max_surge=1)
    world.cordon("node-3")
    for _ in range(4):
        world.reconcile()
        world.kubelet()
        world.pass_time(1)
    assert len(snapshot(world).available) == 6, "one group moves, and the extra one stands in for it"
    world.uncordon("node-3")
    world.reconcile()
    assert len(snapshot(world).available) == 6
    drain(world)
    assert sorted(snapshot(world).available) == [0, 1, 2, 3, 4, 5]
    assert all(record.recreations == {} for record in world.owner.records.values())


# -- role instances ------------------------------------------------------------------------------------------------

PAIR = (a_role("prefill", 2), a_role("decode", 2))


def by_instance(minimum: int | None = None) -> World:
    gang = None if minimum is None else {"minRoleReplicas": {"prefill": minimum, "decode": minimum}}
    world = drained(2, *PAIR, nodes=("node-1", "node-2"), gang=gang, recoveryPolicy="RoleRecreate", max_unavailable=1)
    for name, pod in world.pods.items():  # instances 0 on node-1, instances 1 on node-2
        node = "node-1" if name.endswith("-0-0") else "node-2"
        world.pods[name] = msgspec.structs.replace(pod, spec=msgspec.structs.replace(pod.spec, node_name=node))
    return world


def deleted(world: World) -> set[str]:
    return {action.name for action in world.plan().actions if isinstance(action, DeletePod)}


def test_without_a_surge_role_recreate_moves_one_role_instance_after_another() -> None:
    world = by_instance()
    kept = {name: uid for name, uid in world.uids().items() if name.endswith("-0-0")}
    world.cordon("node-2")
    assert deleted(world) == {"m-1-decode-1-0"}
    world.reconcile()
    assert deleted(world) == set(), "group 1 is not available: group 0 waits, and so does its other instance"
    assert drain(world) == 1
    assert world.pods_on("node-2") == []
    assert kept.items() <= world.uids().items()


def test_an_instance_that_the_minimum_does_not_need_uses_none_of_the_budget() -> None:
    world = by_instance(minimum=1)
    world.cordon("node-2")
    assert deleted(world) == {"m-0-decode-1-0", "m-1-decode-1-0"}
    assert drain(world) == 0
    assert world.pods_on("node-2") == []


def test_with_a_surge_the_whole_group_moves() -> None:
    world = by_instance()
    world.edit(max_surge=1, max_unavailable=0)
    world.cordon("node-2")
    assert drain(world) == 0
    assert world.pods_on("node-2") == []


# -- what is said --------------------------------------------------------------------------------------------------


def test_the_conditions_and_events_name_the_group_and_its_node() -> None:
    world = drained(max_unavailable=1)
    assert (world.condition("HandOver").status, world.condition("HandOver").reason) == ("True", "EvictionsWait")
    world.cordon("node-3")
    assert ("HandingOver", "group 5 moves off node node-3, which is cordoned") in [
        (event.reason, event.message) for event in world.events()
    ]
    world.reconcile()
    assert world.condition("HandOver").reason == world.condition("Ready").reason == "HandingOver"
    assert world.condition("Ready").status == "False"
    message = world.condition("HandOver").message
    assert "group 2 moves off node node-3, which is cordoned" in message
    assert "group 2 waits: 5 groups are available and 5 must stay so (maxUnavailable)" in message
    drain(world)
    assert world.condition("HandOver").reason == "EvictionsWait"
    assert world.condition("Ready").status == "True"


def test_the_reasons_of_a_group_that_is_due_for_both_are_both() -> None:
    world = drained(max_unavailable=1)
    world.cordon("node-3")
    world.edit(image="v2", partition=6)
    decision = world.decide()
    assert [type(why).__name__ for why in decision.update.reasons[2]] == ["Outdated", "OnLeavingNode"]
    assert {one.rule for one in decision.update.waiting} == {Rule.PARTITION}


def test_without_the_permission_a_condition_says_what_is_missing_and_evictions_do_not_wait() -> None:
    world = drained(max_unavailable=1)
    world.are_nodes_forbidden = True
    world.cordon("node-3")
    drain(world)
    condition = world.condition("HandOver")
    assert (condition.status, condition.reason) == ("False", "NodesForbidden")
    assert "may not list nodes" in condition.message
    assert world.budgets == {}, "evictions would wait for ever"
    assert groups_on(world, "node-3") == {2, 5}


def test_a_pod_that_terminates_on_a_dead_node_is_named_with_it() -> None:
    world = drained(max_unavailable=1)
    down = Condition(type="Ready", status="Unknown", last_transition_time=world.now)
    world.nodes["node-3"] = msgspec.structs.replace(world.nodes["node-3"], status=NodeStatus(conditions=(down,)))
    world.delete_pod(pod_name(5))
    world.reconcile()
    available = world.condition("Available")
    assert available.reason == "NodeNotReady"
    assert f"pod {pod_name(5)} to be gone; node node-3 is not ready since 2026-01-01T01:" in available.message
    del world.nodes["node-3"]
    world.reconcile()
    assert "node node-3 is gone" in world.condition("Available").message


# -- the PodDisruptionBudget ---------------------------------------------------------------------------------------


def test_one_budget_over_all_pods_lets_no_healthy_pod_go() -> None:
    world = drained()
    (one,) = world.budgets.values()
    assert one.metadata.name == "m"
    assert one.metadata.controller is not None
    assert one.spec.min_available == 2147483647
    assert one.spec.max_unavailable is None
    assert one.spec.unhealthy_pod_eviction_policy == "AlwaysAllow"
    assert one.spec.selector.match_labels == {"modelinfer.volcano.sh/name": "m"}


def test_a_budget_that_somebody_changes_is_put_right_and_goes_with_the_policy() -> None:
    world = drained()
    changed = json.dumps({"minAvailable": 1, "selector": {"matchLabels": {"app": "x"}}}).encode()
    broken = msgspec.json.decode(changed, type=type(PodDisruptionBudget().spec))
    good = world.budgets["m"]
    world.budgets["m"] = msgspec.structs.replace(good, spec=broken)
    world.settle()
    assert world.budgets["m"].spec == good.spec
    del world.budgets["m"]
    world.settle()
    assert world.budgets["m"].spec == good.spec
    world.edit(nodeDrainPolicy="Evict")
    world.settle()
    assert world.budgets == {}
    assert all(condition.type != "HandOver" for condition in world.status.conditions)


def test_a_budget_publishes_the_taints_that_nodes_are_judged_by_and_is_kept_in_step() -> None:
    """The plugin reads them there, to judge nodes as the controller does."""
    world = drained()
    (one,) = world.budgets.values()
    assert set(published_taints([one])) == set(LEAVING_TAINTS)
    world.leaving_taints = ("example.com/retiring", "a/b")
    world.settle()
    (one,) = world.budgets.values()
    assert one.metadata.annotations["modelinfer.volcano.sh/leaving-taints"] == "a/b,example.com/retiring"
    assert published_taints([one]) == ["a/b", "example.com/retiring"]
    world.leaving_taints = ()
    world.settle()
    assert published_taints(world.budgets.values()) == []


def test_without_a_budget_of_ours_the_taints_are_the_defaults() -> None:
    meta = {"annotations": {"modelinfer.volcano.sh/leaving-taints": "x"}}
    stranger = msgspec.convert({"metadata": meta}, PodDisruptionBudget)
    assert published_taints([stranger]) == LEAVING_TAINTS


def test_a_strangers_budget_of_that_name_is_a_name_conflict() -> None:
    world = World(a_spec(1, QUARTET, nodeDrainPolicy="HandOver"))
    world.add_nodes(*NODES)
    world.name_conflicts["PodDisruptionBudget", "m"] = "PodDisruptionBudget m is in the way: it has no controller"
    world.settle()
    condition = world.condition("HandOver")
    assert (condition.status, condition.reason) == ("False", "NameCollision")
    assert "PodDisruptionBudget m is in the way" in condition.message
    assert len(snapshot(world).available) == 1


def test_without_the_permission_for_budgets_groups_move_and_a_condition_says_that_evictions_do_not_wait() -> None:
    world = drained(max_unavailable=1)
    world.budgets.clear()
    world.budget_problem = "the controller may not list poddisruptionbudgets.policy in all namespaces"
    world.cordon("node-3")
    drain(world)
    condition = world.condition("HandOver")
    assert (condition.status, condition.reason) == ("False", "BudgetsForbidden")
    assert "may not list poddisruptionbudgets" in condition.message
    assert world.budgets == {}
    assert world.pods_on("node-3") == []


# -- what drains, and what is made anew ------------------------------------------------------------------------------


@pytest.mark.parametrize("recovery", ["InferGroupRecreate", "RoleRecreate"])
def test_a_pod_that_is_lost_while_its_scope_drains_is_not_made_again_before_the_drain_ends(recovery: str) -> None:
    world = drained(max_unavailable=1, recoveryPolicy=recovery)
    world.edit(lambda spec: spec["template"].update(drain={"timeoutSeconds": 60}))
    drain(world)
    world.cordon("node-3")
    world.reconcile()
    world.vanish(pod_name(5, index=3))
    world.pass_time(1)
    before = world.uids()
    world.reconcile()
    assert world.uids() == before
    world.pass_time(60)
    world.reconcile()
    assert all(world.pods[name].metadata.is_terminating for name in before if name.startswith("m-5-"))
    drain(world)
    assert world.record(5).recreations["*" if recovery == "InferGroupRecreate" else "decode-0"].attempt == 0


def test_a_lost_pod_that_was_recreated_before_keeps_its_back_off_through_a_drain() -> None:
    world = drained(max_unavailable=1)
    world.edit(lambda spec: spec["template"].update(drain={"timeoutSeconds": 60}))
    drain(world)
    world.vanish(pod_name(5, index=3))
    for _ in range(6):
        world.reconcile()
        world.kubelet()
        world.pass_time(1)
    for name, pod in world.pods.items():
        if name.startswith("m-5-"):
            spec = msgspec.structs.replace(pod.spec, node_name="node-3")
            world.pods[name] = msgspec.structs.replace(pod, spec=spec)
    assert world.record(5).recreations["*"].attempt == 1
    world.cordon("node-3")
    world.reconcile()
    world.vanish(pod_name(5, index=2))
    world.pass_time(30)
    world.reconcile()
    assert world.record(5).recreations["*"].attempt == 1
    world.pass_time(31)
    world.reconcile()
    assert world.record(5).recreations["*"].attempt == 1
    assert world.record(5).recreations["*"].moved_from == ("node-3",)


def test_a_group_that_drains_is_not_scaled_first() -> None:
    world = drained(1, max_unavailable=1)
    world.edit(lambda spec: spec["template"].update(drain={"timeoutSeconds": 60}))
    drain(world)
    world.cordon("node-1")
    world.reconcile()
    before = world.uids()
    world.edit(lambda spec: spec["template"]["roles"][0].update(replicas=2))
    world.pass_time(1)
    world.reconcile()
    assert world.uids() == before
    drain(world)
    assert len(world.pods) == 8


def test_a_group_that_moves_is_in_a_phase_of_its_own_and_its_pods_say_why_they_go() -> None:
    world = drained(max_unavailable=1)
    world.cordon("node-3")
    (reason,) = {action.reason for action in world.plan().actions if isinstance(action, DeletePod)}
    assert reason == "moves off node node-3, which is cordoned"
    world.reconcile()
    assert group_phase(world.decide(), 5) is GroupPhase.HANDING_OVER
    assert reason_text(Outdated("m-2")) == "is replaced by revision m-2"


def test_a_pod_that_could_not_be_deleted_is_deleted_by_the_next_pass() -> None:
    world = drained(max_unavailable=1)
    world.cordon("node-3")
    world.reconcile(lambda action: REFUSED if isinstance(action, DeletePod) and action.name.endswith("-3") else None)
    (left,) = [action for action in world.plan().actions if isinstance(action, DeletePod)]
    assert left.name == pod_name(5, index=3)
    assert left.reason == "moves off a node that leaves"


def test_an_instance_waits_until_the_one_before_is_ready_again() -> None:
    world = by_instance(minimum=0)
    world.edit(replicas=1)
    drain(world)
    world.cordon("node-2")
    world.reconcile()
    world.kubelet()  # it is gone
    world.pass_time(7)
    world.reconcile()  # it is made again
    assert deleted(world) == set()
    waits = world.decide().update.moves_waiting
    assert [one.rule for one in waits] == [Rule.ONE_AT_A_TIME]
    assert "another role instance of the group moves first" in hand_over_text(world.decide())
    world.kubelet()
    assert deleted(world) == {"m-0-prefill-1-0"}


def test_a_plan_shows_the_drain_to_its_end_and_the_budget_with_it() -> None:
    world = drained(max_unavailable=1)
    world.cordon("node-3")
    made = world.budgets.pop("m")
    shown = preview(world.observe(), world.now, timedelta(seconds=30))
    assert shown.is_finished
    assert shown.lowest_available == 5
    assert [step.moved for step in shown.steps if step.moved] == [(5,), (2,)]
    assert list(shown.last.observed.disruption_budgets) == ["m"]
    broken = msgspec.structs.replace(made.spec, min_available=1)
    world.budgets["m"] = msgspec.structs.replace(made, spec=broken)
    assert preview(world.observe(), world.now, timedelta(seconds=30)).is_finished
    world.edit(nodeDrainPolicy="Evict")
    assert preview(world.observe(), world.now, timedelta(seconds=30)).last.observed.disruption_budgets == {}


def test_a_plan_says_that_a_drain_would_not_end_while_another_group_is_down() -> None:
    world = drained(max_unavailable=1)
    world.bad_images.add("v1")
    world.vanish(pod_name(0, index=1))
    for _ in range(6):
        world.reconcile()
        world.kubelet()
        world.pass_time(1)
    world.cordon("node-3")
    shown = preview(world.observe(), world.now, timedelta(seconds=30))
    assert not shown.is_finished
    assert {one.rule for one in shown.last.update.moves_waiting} == {Rule.AVAILABILITY}


# -- properties ----------------------------------------------------------------------------------------------------

MOVES = ("reconcile", "reconcile", "crash", "partly", "kubelet", "some", "cordon", "uncordon", "image", "time")


@st.composite
def maintained_worlds(draw: st.DrawFn) -> World:
    drain_seconds = draw(st.sampled_from([0, 0, 30]))
    world = World(
        a_spec(
            draw(st.integers(1, 5)),
            a_role("decode", draw(st.integers(1, 2)), draw(st.integers(0, 1))),
            max_unavailable=draw(st.sampled_from([0, 1, 2, "50%"])),
            max_surge=draw(st.sampled_from([0, 0, 1, 2])),
            partition=draw(st.sampled_from([0, 0, 2])),
            recoveryPolicy=draw(st.sampled_from(["RoleRecreate", "InferGroupRecreate", "None"])),
            nodeDrainPolicy="HandOver",
        )
    )
    if drain_seconds:
        world.spec["template"]["drain"] = {"timeoutSeconds": drain_seconds}
    world.add_nodes("node-0", "node-1", "node-2", "node-3")
    world.settle()
    return world


histories = st.lists(st.tuples(st.sampled_from(MOVES), st.integers(0, 9), st.integers(0, 9)), max_size=60)


def play(world: World, history: list[tuple[str, int, int]]) -> None:
    player = History(world, [])
    for name, first, second in history:
        match name:
            case "cordon":
                world.cordon(f"node-{first % 3}")  # node-3 always takes pods
            case "uncordon":
                world.uncordon(f"node-{first % 3}")
            case "reconcile" | "crash" | "partly":
                _check_budget(world, player, Move(name, first, second))
            case _:
                player.make(Move(name, first, second))


def _check_budget(world: World, player: History, move: Move) -> None:
    """Nothing fails here, so whatever goes goes by our own hand."""
    before = snapshot(world)
    player.make(move)
    after = snapshot(world)
    if len(after.available) < len(before.available):
        rules_of(world.spec).check_availability(after.available)


@given(maintained_worlds(), histories)
def test_nothing_but_the_budget_goes_by_our_own_hand_and_every_drain_ends(
    world: World, history: list[tuple[str, int, int]]
) -> None:
    play(world, history)
    drain(world)
    assert all(world.pods_on(node) == [] for node, one in world.nodes.items() if one.spec.unschedulable)
    assert len(snapshot(world).available) == world.spec["replicas"]
    world.pass_time(3600)
    drain(world)
    before = world.status_writes
    assert world.reconcile().actions == ()
    assert world.status_writes == before


@given(maintained_worlds(), histories)
def test_what_is_remembered_changes_no_decision_about_nodes(world: World, history: list[tuple[str, int, int]]) -> None:
    play(world, history)
    observed = world.observe()
    once, anew = decide(observed, world.now), decide(replace(observed, memory=Memory()), world.now)
    assert once.plan == anew.plan
    assert status_of(once, {}) == status_of(anew, {})


def test_each_reason_to_replace_a_group_has_a_name() -> None:
    assert reason_name(Outdated("m-2")) == "RollingUpdate"
    assert reason_name(OnLeavingNode("node-1", "is cordoned")) == "HandingOver"


def test_a_role_that_shrinks_while_its_group_is_handed_over_has_each_pod_drained_once() -> None:
    world = drained(3, a_role("decode", 3))
    world.edit(lambda spec: spec["template"].update(drain={"timeoutSeconds": 40}))
    world.settle()
    world.cordon("node-1")
    world.edit(lambda spec: spec["template"]["roles"][0].update(replicas=2))
    begun = [action.name for action in world.plan().actions if isinstance(action, PatchPodMetadata)]
    assert {pod_name(0, instance=instance) for instance in range(3)} <= set(begun)
    assert len(begun) == len(set(begun))
