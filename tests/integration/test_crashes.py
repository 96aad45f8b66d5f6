"""The controller killed at any instant: nothing is lost, nothing is made twice."""

from __future__ import annotations

import pytest
from controller_process import ControllerProcess
from models import model, role
from rollout_rules import created
from user import User

GROUPS = {f"mi-{g}-decode-0-{k}" for g in range(5) for k in range(5)}


@pytest.mark.parametrize("pods", [1, 8, 17])
def test_killed_in_the_middle_of_creating_five_groups_of_five_pods(
    user: User, controller: ControllerProcess, pods: int
) -> None:
    # At this pace the middle is long enough to be hit.
    controller.restart("--kube-api-qps=25", "--kube-api-burst=1", "--max-in-flight=2")
    user.apply(model("mi", role(workers=4), replicas=5))
    user.wait(lambda: len(user.pods) >= pods, f"{pods} pods")
    controller.kill()
    user.watch("pods").catch_up()
    survivors = user.uids
    assert pods <= len(survivors) < 25

    controller.start()
    user.wait_settled("mi")
    assert user.pods.keys() == GROUPS
    assert {name: user.uids[name] for name in survivors} == survivors
    assert sorted(created(user.watch("pods").changes, 0)) == sorted(GROUPS)
    assert user.services.keys() == {f"mi-{g}-decode-0-0" for g in range(5)}
    assert len(user.revisions) == 1


def test_killed_again_and_again_while_it_scales(user: User, controller: ControllerProcess) -> None:
    user.apply(model("mi", role(workers=1), replicas=2))
    user.wait_settled("mi")
    for replicas in (5, 1, 4, 0, 3):
        since = len(user.watch("pods").changes)
        user.kubectl("scale", "modelinfer", "mi", f"--replicas={replicas}")
        user.wait(lambda since=since: len(user.watch("pods").changes) > since, "it has begun")
        controller.restart()
    user.wait_settled("mi")
    assert user.pods.keys() == {f"mi-{g}-decode-0-{k}" for g in range(3) for k in range(2)}
    user.wait(lambda: user.services.keys() == {f"mi-{g}-decode-0-0" for g in range(3)}, "a Service for each group")


def test_what_happened_while_it_was_down_is_put_right(user: User, controller: ControllerProcess) -> None:
    user.apply(model("mi", role(workers=1), replicas=4))
    user.apply(model("gone"))
    user.wait_settled("mi", "gone")
    before = user.uids

    controller.kill()
    user.delete_pods("mi-1-decode-0-0", "mi-1-decode-0-1", "mi-2-decode-0-1")
    user.kubectl("delete", "service", "mi-0-decode-0-0")
    user.kubectl("delete", "modelinfer", "gone", "--wait=false")
    user.kubectl("scale", "modelinfer", "mi", "--replicas=3")
    user.apply(model("new"))
    user.wait(lambda: not {"mi-1-decode-0-0", "mi-1-decode-0-1", "mi-2-decode-0-1"} & user.pods.keys(), "they are gone")

    controller.start()
    user.wait_settled("mi", "new")
    user.wait(lambda: not any(name.startswith("gone") for name in user.pods), "the deleted one's pod is gone")
    rebuilt = {f"mi-{g}-decode-0-{k}" for g in (1, 2) for k in range(2)}
    assert user.pods.keys() == {f"mi-{g}-decode-0-{k}" for g in range(3) for k in range(2)} | {"new-0-decode-0-0"}
    assert {name for name, uid in user.uids.items() if before.get(name) != uid} == rebuilt | {"new-0-decode-0-0"}
    assert user.services.keys() == {f"mi-{g}-decode-0-0" for g in range(3)}


def test_it_stops_cleanly_on_sigterm_and_another_goes_on(user: User, controller: ControllerProcess) -> None:
    user.apply(model("mi", role(workers=1), replicas=3))
    user.wait(lambda: user.pods, "it has begun")
    assert controller.stop() == 0
    controller.start()
    user.wait_settled("mi")
    assert len(created(user.watch("pods").changes, 0)) == 6
