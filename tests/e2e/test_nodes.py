"""Nodes that are drained, whose kubelet hangs, and that lose their power."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator

import pytest
from controlplane import ControlPlane
from models import model, update
from real_user import NODE_TO_BREAK, ON_NODE_TO_BREAK, TO_BREAK, RealUser, container_processes
from user import is_ready as is_pod_ready
from user import label
from watched import Object
from workloads import PORT, container, front, role, template

TOLERATES = ON_NODE_TO_BREAK["tolerations"]
# There where there is room, elsewhere otherwise.
RATHER_THERE = {
    "nodeAffinity": {
        "preferredDuringSchedulingIgnoredDuringExecution": [
            {
                "weight": 100,
                "preference": {
                    "matchExpressions": [{"key": "kubernetes.io/hostname", "operator": "In", "values": [NODE_TO_BREAK]}]
                },
            }
        ]
    }
}
LOST_AFTER_5S = [
    {"key": f"node.kubernetes.io/{taint}", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 5}
    for taint in ("not-ready", "unreachable")
]
OUT_OF_SERVICE = "node.kubernetes.io/out-of-service"


@pytest.fixture
def node(control_plane: ControlPlane) -> Iterator[str]:
    """The node to break; mended afterwards, whatever the test did."""
    yield NODE_TO_BREAK
    control_plane.power_on(NODE_TO_BREAK)
    control_plane.resume(f"{NODE_TO_BREAK}/kubelet")
    control_plane.kubectl("uncordon", NODE_TO_BREAK)
    if OUT_OF_SERVICE in taints(control_plane, NODE_TO_BREAK):
        control_plane.kubectl("taint", "node", NODE_TO_BREAK, f"{OUT_OF_SERVICE}-")
    deadline = time.monotonic() + 60
    while taints(control_plane, NODE_TO_BREAK) != [TO_BREAK]:
        assert time.monotonic() < deadline, f"{NODE_TO_BREAK} is not mended: {taints(control_plane, NODE_TO_BREAK)}"
        time.sleep(0.3)


def taints(control_plane: ControlPlane, node: str) -> list[str]:
    return control_plane.kubectl("get", "node", node, "-o=jsonpath={.spec.taints[*].key}").split()


def node_of(pod: Object) -> str:
    return str(pod["spec"].get("nodeName"))


def is_ready(user: RealUser, node: str) -> str:
    """True, False or Unknown."""
    path = '-o=jsonpath={.status.conditions[?(@.type=="Ready")].status}'
    return user.control_plane.kubectl("get", "node", node, path)


def test_a_node_is_drained_under_load_and_no_request_is_lost(user: RealUser, node: str) -> None:
    serving = container(TERM_SECONDS="4")
    there = template(serving, grace=10, affinity=RATHER_THERE, tolerations=TOLERATES)
    user.apply(model("mi", role(workers=1, pod=there)))
    user.apply(model("other", role(workers=1, pod=template(serving, grace=10))))
    user.kubectl("apply", "-f-", input=json.dumps(both_fronts()))
    user.wait_available("mi")
    user.wait_available("other")
    before = user.uids_of("mi")
    assert {node_of(user.pods[name]) for name in before} == {node}
    user.start_asking("asker", f"http://front.{user.namespace}:{PORT}/")
    began = time.monotonic()
    user.control_plane.kubectl("drain", node, "--pod-selector=modelinfer.volcano.sh/name=mi", "--timeout=60s")
    user.wait_recreated("mi", before, set(before))
    counts = user.counts("asker")
    print(f"{node} drained and 2 pods recreated elsewhere in {time.monotonic() - began:.1f} s; requests: {counts}")
    assert node not in {node_of(user.pods[name]) for name in before}
    assert counts["failed"] == 0, counts


def test_a_drain_hands_groups_over_one_at_a_time_and_no_request_is_lost(user: RealUser, node: str) -> None:
    """Pods that end at once, of groups that are all on the node: label and budget are all that keeps them serving."""
    there = template(affinity=RATHER_THERE, tolerations=TOLERATES, grace=1)
    drained = {"drain": {"timeoutSeconds": 4}}
    hands_over = {"nodeDrainPolicy": "HandOver", "recoveryPolicy": "InferGroupRecreate"}
    user.apply(model("mi", role(workers=1, pod=there), replicas=3, template=drained, **hands_over, **update()))
    user.kubectl("apply", "-f-", input=json.dumps(front("mi", serving="true")))
    user.wait_available("mi")
    before = user.uids_of("mi")
    assert {node_of(user.pods[name]) for name in before} == {node}
    user.start_asking("asker", f"http://front.{user.namespace}:{PORT}/")
    began = time.monotonic()
    # Evicts by name until the budget lets it or the name is free: it ends by itself when the last group has moved.
    user.control_plane.kubectl("drain", node, "--pod-selector=modelinfer.volcano.sh/name=mi", "--timeout=180s")
    drained_after = time.monotonic() - began
    user.wait_recreated("mi", before, set(before))
    counts = user.counts("asker")
    print(f"3 groups of 2 pods handed over, {node} drained in {drained_after:.1f} s; requests: {counts}")
    assert node not in {node_of(user.pods[name]) for name in before}
    assert all(len(uids_seen(user, name)) == 2 for name in before), "a pod was moved twice"
    assert lowest_available(user, before) == 2
    assert counts["failed"] == 0, counts


def uids_seen(user: RealUser, name: str) -> set[str]:
    return {change.object["metadata"]["uid"] for change in user.watch("pods").changes if change.name == name}


def lowest_available(user: RealUser, pods: Iterable[str]) -> int:
    """The fewest groups of these pods that were whole, from the time on when all were: each pod ready and serving."""
    pods, serving, lowest = set(pods), set[str](), None
    for change in user.watch("pods").changes:
        serves = change.type != "DELETED" and is_pod_ready(change.object) and label(change.object, "serving") == "true"
        (serving.add if serves else serving.discard)(change.name)
        if lowest is not None or pods <= serving:
            whole = {group_of(pod) for pod in pods} - {group_of(pod) for pod in pods - serving}
            lowest = min(len(whole), lowest if lowest is not None else len(whole))
    assert lowest is not None, "they were never all ready"
    return lowest


def group_of(pod: str) -> str:
    return pod.rsplit("-", 3)[0]


def both_fronts() -> Object:
    """The Service of every entry pod in the namespace."""
    service = front("mi")
    service["spec"]["selector"] = {"modelinfer.volcano.sh/entry": "true"}
    return service


def test_nothing_is_recreated_while_a_kubelet_hangs(user: RealUser, node: str) -> None:
    user.apply(model("mi", role(workers=1, pod=template(**ON_NODE_TO_BREAK)), recoveryPolicy="InferGroupRecreate"))
    user.wait_available("mi")
    before = user.uids_of("mi")
    began = time.monotonic()
    user.control_plane.pause(f"{node}/kubelet")
    user.wait(lambda: user.condition("mi", "Available").get("status") == "False", "unavailable")
    assert is_ready(user, node) == "Unknown"
    time.sleep(max(0.0, began + 30 - time.monotonic()))
    assert user.uids_of("mi") == before
    assert all(container_processes(uid) for uid in before.values())
    user.control_plane.resume(f"{node}/kubelet")
    user.wait_available("mi")
    assert user.uids_of("mi") == before


def test_pods_of_a_node_without_power_are_recreated_once_it_is_out_of_service(user: RealUser, node: str) -> None:
    there = template(affinity=RATHER_THERE, tolerations=[*TOLERATES, *LOST_AFTER_5S])
    user.apply(model("mi", role("prefill"), role("decode", workers=1, pod=there)))
    user.wait_available("mi")
    before = user.uids_of("mi")
    lost = {name for name in before if node_of(user.pods[name]) == node}
    assert lost == {"mi-0-decode-0-0", "mi-0-decode-0-1"}
    began = time.monotonic()
    user.control_plane.power_off(node)
    user.wait(lambda: all(is_terminating(user.pods[name]) for name in lost), "evicted")
    evicted = time.monotonic()
    # Nobody can say that their processes have ended: their names stay taken until an administrator says so.
    assert user.uids_of("mi") == before
    user.control_plane.kubectl("taint", "node", node, f"{OUT_OF_SERVICE}=nodeshutdown:NoExecute")
    user.wait_recreated("mi", before, lost, timeout=90)
    print(f"evicted {evicted - began:.1f} s after the power cut, back {time.monotonic() - evicted:.1f} s after that")
    assert node not in {node_of(user.pods[name]) for name in lost}


def is_terminating(pod: Object) -> bool:
    return "deletionTimestamp" in pod["metadata"]
