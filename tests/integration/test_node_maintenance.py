"""`kubectl drain` on a real control plane: it waits for the budget, groups are handed over, and it ends by itself."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest
from controller_process import ControllerProcess
from models import DOMAIN, model, role, update
from user import User

NODES = ("leaving-1", "leaving-2", "leaving-3")
DRAIN = ("--ignore-daemonsets", "--delete-emptydir-data", "--timeout=120s", f"--pod-selector={DOMAIN}/name=mi")


@pytest.fixture
def on_three_nodes(user: User) -> Iterator[User]:
    """Somebody whose pods run on three nodes of their own."""
    for node in NODES:
        user.control_plane.add_node(node, labels={"pool": "leaving"})
    yield user
    user.kubectl("delete", "modelinfers", "--all", "--cascade=foreground")
    for node in NODES:
        user.control_plane.delete_node(node)


def quartets() -> Any:
    """Groups of one entry pod and three workers."""
    one = role(workers=3, ready_after="1s")
    for template in ("entryTemplate", "workerTemplate"):
        one[template]["spec"]["nodeSelector"] = {"pool": "leaving"}
    return model(
        "mi",
        one,
        replicas=6,
        nodeDrainPolicy="HandOver",
        recoveryPolicy="InferGroupRecreate",
        **update(maxUnavailable=1),
    )


def pods_on(user: User, node: str) -> list[str]:
    return [name for name, pod in user.pods.items() if pod["spec"].get("nodeName") == node]


def busiest(user: User) -> str:
    return max(NODES, key=lambda node: len(pods_on(user, node)))


def group_of(pod: str) -> str:
    return pod.rsplit("-", 3)[0]


def lowest_available(user: User, since: int) -> int:
    """The fewest groups that had all their pods ready, by what the watch has shown since."""
    ready = {name: _is_ready(pod) for name, pod in user.pods.items()}
    changes = user.watch("pods").changes
    seen: dict[str, bool] = {}
    for change in changes[:since]:
        seen[change.object["metadata"]["name"]] = change.type != "DELETED" and _is_ready(change.object)
    lowest = 6
    for change in changes[since:]:
        seen[change.object["metadata"]["name"]] = change.type != "DELETED" and _is_ready(change.object)
        whole = [group for group in {group_of(name) for name in seen} if _is_whole(group, seen)]
        lowest = min(lowest, len(whole))
    assert len(ready) == 24
    return lowest


def _is_whole(group: str, seen: dict[str, bool]) -> bool:
    return sum(is_ready for name, is_ready in seen.items() if group_of(name) == group) == 4


def _is_ready(pod: Any) -> bool:
    conditions = {one["type"]: one["status"] for one in pod.get("status", {}).get("conditions", ())}
    return "deletionTimestamp" not in pod["metadata"] and conditions.get("Ready") == "True"


def drain(user: User, node: str) -> str:
    return user.control_plane.kubectl("drain", node, *DRAIN)


def test_kubectl_drain_waits_for_the_budget_and_ends_when_the_groups_have_moved(on_three_nodes: User) -> None:
    user = on_three_nodes
    user.apply(quartets())
    user.wait_settled("mi")
    before, mark = user.uids, len(user.watch("pods").changes)
    published = user.watch("poddisruptionbudgets").by_name["mi"]["metadata"]["annotations"][f"{DOMAIN}/leaving-taints"]
    assert "node.kubernetes.io/unschedulable" in published.split(",")
    node = busiest(user)
    affected = {group_of(pod) for pod in pods_on(user, node)}
    said = drain(user, node)
    assert "drained" in said
    user.wait_settled("mi")
    assert pods_on(user, node) == []
    assert lowest_available(user, mark) == 5
    moved = {group_of(name) for name, uid in user.uids.items() if before[name] != uid}
    assert moved == affected
    assert any(f"moves off node {node}, which is cordoned" in told for told in user.events("HandingOver"))


def test_a_drain_ends_while_the_controller_is_killed_every_three_seconds(
    on_three_nodes: User, controller: ControllerProcess
) -> None:
    user = on_three_nodes
    user.apply(quartets())
    user.wait_settled("mi")
    mark, is_over, node = len(user.watch("pods").changes), threading.Event(), busiest(user)

    def kill() -> None:
        while not is_over.wait(3):
            controller.restart()

    killing = threading.Thread(target=kill)
    killing.start()
    try:
        drain(user, node)
    finally:
        is_over.set()
        killing.join()
        controller.restart()  # a process ends with the thread that has started it
    user.wait_settled("mi")
    assert pods_on(user, node) == []
    assert lowest_available(user, mark) == 5
