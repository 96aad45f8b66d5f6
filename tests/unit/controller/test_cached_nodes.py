"""Of a node the cache keeps what decisions read, and no more."""

from typing import Any

from modelinfer_controller.controller.node_watch import NodeWatch
from modelinfer_controller.kube.resource import NODES
from modelinfer_controller.planning.nodes import LEAVING_TAINTS
from tests.unit.controller.conftest import Shell

NOT_READY = {"type": "Ready", "status": "False", "lastTransitionTime": "2026-03-01T00:00:00Z", "message": "much text"}
PRESSURE = {"type": "MemoryPressure", "status": "False", "message": "much text"}
NODE: dict[str, Any] = {
    "metadata": {"name": "gpu", "labels": {"a": "b"}, "annotations": {"much": "text"}},
    "spec": {"taints": [{"key": "karpenter.sh/disrupted", "effect": "NoSchedule"}], "providerID": "aws:///i-0"},
    "status": {"conditions": [PRESSURE, NOT_READY]},
}


async def test_a_node_that_leaves_and_is_not_ready_is_known_without_its_labels(shell: Shell) -> None:
    told: list[str] = []
    watch = NodeWatch(shell.caches.nodes, LEAVING_TAINTS, told.append)
    await shell.client.create(NODES, None, NODE)
    await shell.sleep(1)
    assert watch.nodes.leaving["gpu"].why == "has the taint karpenter.sh/disrupted"
    assert watch.nodes.absence_text("gpu") == "node gpu is not ready since 2026-03-01T00:00:00Z"
    [kept] = [node for node in shell.caches.nodes.lister.list() if node.metadata.name == "gpu"]
    assert (kept.metadata.labels, kept.metadata.annotations) == ({}, {})
    assert [(one.type, one.message) for one in kept.status.conditions] == [("Ready", "")]
    await shell.client.patch(NODES, None, "gpu", {"metadata": {"annotations": {"more": "text"}}})
    await shell.sleep(1)
    assert told.count("gpu") == 1, "what nobody reads has changed, and somebody was told"


async def test_a_node_that_has_said_nothing_yet_is_taken_for_ready(shell: Shell) -> None:
    watch = NodeWatch(shell.caches.nodes, LEAVING_TAINTS, lambda node: None)
    await shell.client.create(NODES, None, {"metadata": {"name": "new"}})
    await shell.sleep(1)
    assert watch.nodes.absence_text("new") == ""
