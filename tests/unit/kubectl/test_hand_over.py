"""What the plugin says of groups that are handed over from nodes that leave."""

from __future__ import annotations

import json
from datetime import timedelta

from clusters import Cluster
from msgspec.structs import replace
from situations import SITUATIONS, pd_spec, settled

from modelinfer_controller.api.core import NodeSpec, ObjectMeta, OwnerReference, PodDisruptionBudget, Taint
from modelinfer_controller.kubectl.model.diagnostics import Diagnostics
from modelinfer_controller.kubectl.model.explanation import explain
from modelinfer_controller.kubectl.model.forecast import forecast
from modelinfer_controller.kubectl.model.rollout_status import RolloutState, rollout_status
from modelinfer_controller.kubectl.model.tree import tree_of
from modelinfer_controller.planning.update_rules import Rule


def handing_over_cluster() -> Cluster:
    cluster = settled()
    cluster.change({**json.loads(bytes(cluster.stored.spec)), "nodeDrainPolicy": "HandOver"})
    cluster.act()
    return cluster


def test_an_instance_that_waits_for_another_one_of_its_group_to_move_is_told_so() -> None:
    """Role instances move one at a time: the second of an unavailable group waits, and it is said for what."""
    cluster = handing_over_cluster()
    before = {name: pod.spec.node_name for name, pod in cluster.pods.items()}
    cluster.cordon(*{before[f"qwen-2-{instance}-0"] for instance in ("decode-0", "decode-1", "prefill-0")})
    for _ in range(2):
        cluster.act()  # the first instance's pods are deleted
    snapshot = cluster.snapshot()
    assert [one.rule for one in snapshot.decision.update.moves_waiting if one.ordinal == 2] == [Rule.ONE_AT_A_TIME]
    [group] = [one for one in explain(snapshot, Diagnostics()).groups if one.ordinal == 2]
    told = [one for one in group.next if one.rule == Rule.ONE_AT_A_TIME]
    assert [(one.reason, "another role instance of the group moves first" in one.text) for one in told] == [
        ("HandingOver", True)
    ]


def test_a_plan_and_an_explanation_name_the_reason_of_a_replacement_as_metrics_do() -> None:
    cluster = handing_over_cluster()
    cluster.cordon("gpu-0", "gpu-3")
    cluster.change({**json.loads(bytes(cluster.stored.spec)), "recoveryPolicy": "InferGroupRecreate"})
    found = cluster.snapshot()
    steps = forecast(found.observed, found.decision, ()).steps
    assert {reason for step in steps for reason in step.reasons} == {"HandingOver"}
    cluster.change(pd_spec("vllm:v2"))
    found = cluster.snapshot()
    steps = forecast(found.observed, found.decision, ()).steps
    assert {reason for step in steps for reason in step.reasons} == {"RollingUpdate"}


def test_groups_that_drain_already_are_among_those_that_a_plan_hands_over() -> None:
    found = SITUATIONS["handing-over"]().snapshot()
    assert set(forecast(found.observed, found.decision, ()).moved) == {0, 1, 2}


def test_a_hand_over_that_drains_for_long_is_no_rollout_that_is_stuck() -> None:
    cluster = SITUATIONS["handing-over"]()
    cluster.now += timedelta(minutes=1)
    assert rollout_status(cluster.snapshot()).state is RolloutState.PROGRESSING


def test_nodes_are_judged_by_the_taints_that_the_controller_publishes() -> None:
    cluster = handing_over_cluster()
    [node] = {pod.spec.node_name for pod in cluster.pods.values() if pod.metadata.name == "qwen-0-prefill-0-0"}
    taint = Taint(key="example.com/retiring")
    cluster.nodes[node] = replace(cluster.nodes[node], spec=NodeSpec(taints=(taint,)))
    owner = OwnerReference(kind="ModelInfer", name="qwen", uid="uid-1", controller=True)
    meta = ObjectMeta(
        name="qwen",
        labels={"modelinfer.volcano.sh/name": "qwen"},
        annotations={"modelinfer.volcano.sh/leaving-taints": "example.com/retiring"},
        owner_references=(owner,),
    )
    assert "HandingOver" not in " ".join(tree_of(cluster.snapshot()).remarks)
    cluster.budgets = (PodDisruptionBudget(metadata=meta),)
    told = " ".join(tree_of(cluster.snapshot()).remarks)
    assert f"moves off node {node}, which has the taint example.com/retiring" in told
