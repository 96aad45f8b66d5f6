"""Groups below the partition keep their revision, whatever happens to them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from controller_process import ControllerProcess
from models import model, role, update
from rollout_rules import Rules, check, ordinal_of
from user import User, label

SLOWLY = {"ready_after": "2s"}


def apply(
    user: User,
    image: str,
    *,
    partition: int,
    replicas: int = 4,
    role_replicas: int = 1,
    behaviour: Mapping[str, str] | None = None,
    **budget: Any,
) -> None:
    decode = role(image=image, replicas=role_replicas, workers=1, **(behaviour or {}))
    user.apply(model("mi", decode, replicas=replicas, **update(partition=partition, **budget)))


def images(user: User) -> list[set[str]]:
    """The images of each group's pods, by ordinal."""
    found: dict[int, set[str]] = {}
    for name, pod in user.pods.items():
        found.setdefault(ordinal_of("mi", name), set()).add(pod["spec"]["containers"][0]["image"])
    assert sorted(found) == list(range(len(found)))
    return [found[ordinal] for ordinal in range(len(found))]


def revisions(user: User) -> set[tuple[int, str]]:
    return {(ordinal_of("mi", name), label(pod, "revision")) for name, pod in user.pods.items()}


@pytest.fixture
def half(user: User) -> User:
    """Four groups, of which a partition of 2 holds back the lower two at image a while the others are at b."""
    apply(user, "a", partition=0)
    user.wait_settled("mi")
    apply(user, "b", partition=2)
    user.wait_settled("mi")
    assert images(user) == [{"a"}, {"a"}, {"b"}, {"b"}]
    return user


def test_the_status_tells_who_is_held(half: User) -> None:
    status = half.status("mi")
    counts = ("replicas", "currentReplicas", "updatedReplicas", "availableReplicas")
    assert [status[count] for count in counts] == [4, 2, 2, 4]
    assert status["currentRevision"] != status["updateRevision"]
    assert half.condition("mi", "UpdateInProgress")["reason"] == "HeldByPartition"


def test_a_deleted_pod_and_a_deleted_group_come_back_at_their_own_revision(half: User) -> None:
    before, at = half.uids, revisions(half)
    half.delete_pods("mi-0-decode-0-1", "mi-1-decode-0-0", "mi-1-decode-0-1", "mi-3-decode-0-0")
    half.wait_rebuilt(before, {name for name in before if ordinal_of("mi", name) in (0, 1, 3)}, "mi")
    assert images(half) == [{"a"}, {"a"}, {"b"}, {"b"}]
    assert revisions(half) == at


def test_a_group_that_was_lost_while_the_controller_was_down_comes_back_at_its_own_revision(
    half: User, controller: ControllerProcess
) -> None:
    before = half.uids
    controller.kill()
    half.delete_pods("mi-0-decode-0-0", "mi-0-decode-0-1")
    half.wait(lambda: len(half.pods) == 6, "the group is gone")
    controller.start()
    half.wait_rebuilt(before, {"mi-0-decode-0-0", "mi-0-decode-0-1"}, "mi")
    assert images(half) == [{"a"}, {"a"}, {"b"}, {"b"}]


def test_roles_are_scaled_on_both_sides_each_at_its_revision(half: User) -> None:
    before = half.uids
    apply(half, "b", partition=2, role_replicas=2)
    half.wait_settled("mi")
    assert images(half) == [{"a"}, {"a"}, {"b"}, {"b"}]
    assert len(half.pods) == 16
    assert {name: half.uids[name] for name in before} == before


def test_lowering_it_goes_on_and_raising_it_stops(half: User) -> None:
    since, before = len(half.watch("pods").changes), half.uids
    apply(half, "b", partition=1)
    half.wait_settled("mi")
    assert images(half) == [{"a"}, {"b"}, {"b"}, {"b"}]
    apply(half, "c", partition=3)
    half.wait_settled("mi")
    assert images(half) == [{"a"}, {"b"}, {"b"}, {"c"}]
    apply(half, "c", partition=0)
    half.wait_settled("mi")
    assert images(half) == [{"c"}] * 4
    check(half.watch("pods").changes, "mi", Rules(4), since)
    assert not set(half.uids.values()) & set(before.values())


def test_raised_mid_way_the_rest_stays(user: User) -> None:
    apply(user, "a", partition=0)
    user.wait_settled("mi")
    before = user.status("mi")["updateRevision"]
    apply(user, "b", partition=0, behaviour=SLOWLY)
    user.wait(lambda: any(label(p, "revision") != before for p in user.pods.values()), "begun")
    apply(user, "b", partition=4, behaviour=SLOWLY)
    user.wait_settled("mi")
    found = images(user)
    updated = found.index({"b"})
    assert 1 <= updated <= 3
    assert found == [{"a"}] * updated + [{"b"}] * (4 - updated)


def test_scaled_up_and_down_with_it(half: User) -> None:
    before = half.uids
    apply(half, "b", partition=2, replicas=5)
    half.wait_settled("mi")
    assert images(half) == [{"a"}, {"a"}, {"b"}, {"b"}, {"b"}]
    apply(half, "b", partition=2, replicas=1)
    half.wait_settled("mi")
    assert images(half) == [{"a"}]
    assert {name: half.uids[name] for name in half.pods} == {name: before[name] for name in half.pods}
    # A held group that is made anew is made at the revision that the rollout started from.
    apply(half, "b", partition=2, replicas=3)
    half.wait_settled("mi")
    assert images(half) == [{"a"}, {"a"}, {"b"}]


def test_above_replicas_it_holds_everything(user: User) -> None:
    apply(user, "a", partition=0, replicas=2)
    user.wait_settled("mi")
    before = user.uids
    apply(user, "b", partition=9, replicas=2, maxSurge=1)
    user.wait_settled("mi")
    assert user.uids == before
    assert user.condition("mi", "UpdateInProgress")["reason"] == "HeldByPartition"


def test_with_surge_the_end_is_the_same(user: User) -> None:
    apply(user, "a", partition=0, replicas=3)
    user.wait_settled("mi")
    since = len(user.watch("pods").changes)
    apply(user, "b", partition=1, replicas=3, maxSurge=1, maxUnavailable=0)
    user.wait_settled("mi")
    assert images(user) == [{"a"}, {"b"}, {"b"}]
    check(user.watch("pods").changes, "mi", Rules(3, max_unavailable=0, max_surge=1), since)


def test_a_restart_moves_nothing(half: User, controller: ControllerProcess) -> None:
    before = half.uids
    controller.restart()
    half.apply(model("mark"))
    half.wait_settled("mi", "mark")
    assert {name: half.uids[name] for name in before} == before
