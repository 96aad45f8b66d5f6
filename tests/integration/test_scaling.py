"""replicas and role replicas: ordinal sets, filled and emptied from the highest."""

from __future__ import annotations

from models import model, role
from rollout_rules import created, taken_down
from user import User


def entries(*ordinals: int) -> set[str]:
    return {f"mi-{ordinal}-decode-0-0" for ordinal in ordinals}


def test_groups_are_added_and_removed_at_the_top_and_the_others_stay(user: User) -> None:
    user.apply(model("mi", role(workers=1), replicas=2))
    user.wait_settled("mi")
    first = user.uids

    user.kubectl("scale", "modelinfer", "mi", "--replicas=4")
    user.wait_settled("mi")
    assert user.pods.keys() == {f"mi-{g}-decode-0-{k}" for g in range(4) for k in range(2)}
    assert user.services.keys() == entries(0, 1, 2, 3)
    assert {name: user.uids[name] for name in first} == first
    assert user.status("mi")["replicas"] == 4

    user.kubectl("scale", "modelinfer", "mi", "--replicas=1")
    user.wait_settled("mi")
    user.wait(lambda: user.services.keys() == entries(0), "the Services of removed groups are gone")
    assert user.uids == {name: uid for name, uid in first.items() if name.startswith("mi-0-")}
    status = user.status("mi")
    assert [status["replicas"], status["updatedReplicas"], status["availableReplicas"]] == [1, 1, 1]


def test_to_zero_and_back(user: User) -> None:
    user.apply(model("mi", role(workers=1), replicas=2))
    user.wait_settled("mi")
    before = user.uids

    user.kubectl("scale", "modelinfer", "mi", "--replicas=0")
    user.wait(lambda: not user.pods and not user.services and user.is_settled("mi"), "nothing is left")
    status = user.status("mi")
    counts = ("replicas", "currentReplicas", "updatedReplicas", "availableReplicas")
    assert [status[count] for count in counts] == [0, 0, 0, 0]
    assert user.condition("mi", "Available")["reason"] == "NoReplicas"

    user.kubectl("scale", "modelinfer", "mi", "--replicas=2")
    user.wait(lambda: user.is_settled("mi") and user.status("mi")["availableReplicas"] == 2, "both groups again")
    assert user.uids.keys() == before.keys()
    assert not set(user.uids.values()) & set(before.values())
    assert len(user.revisions) == 1


def test_eleven_groups_are_counted_by_number_and_not_by_name(user: User) -> None:
    user.apply(model("mi", replicas=12))
    user.wait_settled("mi")
    kept = {name: uid for name, uid in user.uids.items() if name in entries(0, 1, 2)}
    user.kubectl("scale", "modelinfer", "mi", "--replicas=3")
    user.wait_settled("mi")
    assert user.uids == kept


def test_a_name_that_is_still_going_away_is_not_taken(user: User) -> None:
    user.apply(model("mi", role(terminate_after="1s"), replicas=3))
    user.wait_settled("mi")
    before = user.uids
    since = len(user.watch("pods").changes)
    user.kubectl("scale", "modelinfer", "mi", "--replicas=0")
    user.wait(lambda: all("deletionTimestamp" in pod["metadata"] for pod in user.pods.values()), "all are going away")
    user.kubectl("scale", "modelinfer", "mi", "--replicas=3")
    user.wait(lambda: user.is_settled("mi") and not set(user.uids.values()) & set(before.values()), "all are new")
    assert user.uids.keys() == entries(0, 1, 2)
    assert sorted(created(user.watch("pods").changes, since)) == sorted(entries(0, 1, 2))
    assert not user.events("NameCollision")


def test_a_role_is_scaled_in_every_group_and_its_siblings_stay(user: User) -> None:
    user.apply(model("mi", role("prefill", workers=1), role("decode"), replicas=2))
    user.wait_settled("mi")
    before = user.uids

    user.apply(model("mi", role("prefill", workers=1, replicas=3), role("decode", replicas=2), replicas=2))
    user.wait_settled("mi")
    prefill = {f"mi-{g}-prefill-{r}-{k}" for g in range(2) for r in range(3) for k in range(2)}
    assert user.pods.keys() == prefill | {f"mi-{g}-decode-{r}-0" for g in range(2) for r in range(2)}
    assert user.services.keys() == {f"mi-{g}-prefill-{r}-0" for g in range(2) for r in range(3)}
    assert {name: user.uids[name] for name in before} == before
    assert len(user.revisions) == 1

    user.apply(model("mi", role("prefill", workers=1), role("decode", replicas=0), replicas=2))
    user.wait_settled("mi")
    user.wait(lambda: len(user.services) == 2, "the Services of removed instances are gone")
    assert user.uids == {name: uid for name, uid in before.items() if "prefill" in name}


def test_two_namespaces_with_the_same_names_do_not_meet(user: User, other_user: User) -> None:
    for each, replicas in ((user, 1), (other_user, 2)):
        each.apply(model("mi", role(workers=1), replicas=replicas))
    user.wait_settled("mi")
    other_user.wait_settled("mi")
    there = other_user.uids
    assert len(there) == 4

    user.kubectl("delete", "modelinfer", "mi", "--wait=false")
    user.wait(lambda: not user.pods and not user.services, "the first one's children are gone")
    other_user.kubectl("scale", "modelinfer", "mi", "--replicas=3")
    other_user.wait_settled("mi")
    assert {name: other_user.uids[name] for name in there} == there


def test_scaling_down_takes_the_highest_first(user: User) -> None:
    user.apply(model("mi", replicas=3))
    user.wait_settled("mi")
    since = len(user.watch("pods").changes)
    for replicas in (2, 1, 0):
        user.kubectl("scale", "modelinfer", "mi", f"--replicas={replicas}")
    user.wait(lambda: not user.pods, "all are gone")
    assert taken_down(user.watch("pods").changes, "mi", since) == [2, 1, 0]
