"""Rolling updates, with the availability rule and the pace rule checked at every pod event and not only at the end."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from models import model, role, update
from rollout_rules import Rules, check, created, ordinal_of, taken_down
from user import User, label

NEVER_READY = {"never_ready": "true"}


class Rollout:
    """A ModelInfer `mi` with what is needed to check a rollout of it."""

    def __init__(self, user: User, replicas: int = 5, **configuration: Any) -> None:
        self.user = user
        self.replicas = replicas
        self.configuration = configuration
        self.since = 0

    def apply(self, image: str = "image:1", *, replicas: int | None = None, **behaviour: str) -> None:
        self.replicas = self.replicas if replicas is None else replicas
        self.since = len(self.user.watch("pods").changes)
        roles = role(image=image, **behaviour)
        self.user.apply(model("mi", roles, replicas=self.replicas, **update(**self.configuration)))

    def started(self, image: str = "image:1", **behaviour: str) -> Rollout:
        self.apply(image, **behaviour)
        self.user.wait_settled("mi")
        return self

    def check(self, max_unavailable: int = 1, max_surge: int = 0, *, since: int | None = None) -> None:
        rules = Rules(self.replicas, max_unavailable, max_surge)
        check(self.user.watch("pods").changes, "mi", rules, self.since if since is None else since)

    @property
    def images(self) -> dict[int, str]:
        """By ordinal; a group without a pod has none."""
        pods = self.user.pods.items()
        return {ordinal_of("mi", name): image_of(pod) for name, pod in pods if label(pod, "name") == "mi"}

    @property
    def taken_down(self) -> list[int]:
        return taken_down(self.user.watch("pods").changes, "mi", self.since)

    @property
    def made(self) -> list[int]:
        names = created(self.user.watch("pods").changes, self.since)
        return [ordinal_of("mi", name) for name in names if name.startswith("mi-")]


def image_of(pod: Mapping[str, Any]) -> str:
    return str(pod["spec"]["containers"][0]["image"])


def test_one_group_at_a_time_from_the_highest_by_default(user: User) -> None:
    rollout = Rollout(user).started()
    rollout.apply("image:2")
    user.wait_settled("mi")
    rollout.check(max_unavailable=1)
    assert rollout.taken_down == [4, 3, 2, 1, 0]
    assert rollout.made == [4, 3, 2, 1, 0]
    assert rollout.images == dict.fromkeys(range(5), "image:2")
    status = user.status("mi")
    counts = ("replicas", "currentReplicas", "updatedReplicas", "availableReplicas")
    assert [status[count] for count in counts] == [5, 5, 5, 5]
    assert status["currentRevision"] == status["updateRevision"]


@pytest.mark.parametrize(
    ("configuration", "max_unavailable", "max_surge"),
    [
        ({"maxUnavailable": 2}, 2, 0),
        ({"maxUnavailable": "40%"}, 2, 0),
        ({"maxUnavailable": 9}, 5, 0),
        ({"maxSurge": 1}, 1, 1),
        ({"maxSurge": 2, "maxUnavailable": 0}, 0, 2),
        ({"maxSurge": "25%", "maxUnavailable": 0}, 0, 2),
        ({"maxSurge": 9, "maxUnavailable": 0}, 0, 5),
        ({"maxSurge": 1, "maxUnavailable": 0}, 0, 1),
        ({"maxSurge": 2, "maxUnavailable": 2}, 2, 2),
    ],
    ids=str,
)
def test_the_budget_holds_at_every_instant(
    user: User, configuration: dict[str, Any], max_unavailable: int, max_surge: int
) -> None:
    rollout = Rollout(user, 5, **configuration).started()
    rollout.apply("image:2", ready_after="100ms")
    user.wait_settled("mi")
    rollout.check(max_unavailable, max_surge)
    assert rollout.images == dict.fromkeys(range(5), "image:2")
    assert max(rollout.made) <= 4 + max_surge
    if max_surge:
        assert 5 in rollout.made
    # As many at a time as the budget allows: a rollout that is slower than asked for is wrong, too.
    assert sorted(rollout.taken_down[:max_unavailable], reverse=True) == [
        o for o in (4, 3, 2, 1, 0) if o in rollout.taken_down[:max_unavailable]
    ]


def test_surge_groups_have_services_and_leave_nothing_behind(user: User) -> None:
    def apply(image: str) -> None:
        roles = role(workers=1, image=image, ready_after="100ms")
        user.apply(model("mi", roles, replicas=3, **update(maxSurge=1, maxUnavailable=0)))

    apply("image:1")
    user.wait_settled("mi")
    services = user.watch("services")
    since = len(user.watch("pods").changes)
    apply("image:2")
    user.wait_settled("mi")
    user.wait(lambda: user.services.keys() == {f"mi-{g}-decode-0-0" for g in range(3)}, "the surge's Service is gone")
    assert "mi-3-decode-0-0" in [change.name for change in services.changes]
    assert user.pods.keys() == {f"mi-{g}-decode-0-{k}" for g in range(3) for k in range(2)}
    check(user.watch("pods").changes, "mi", Rules(3, max_unavailable=0, max_surge=1), since)


def test_kubectl_waits_for_a_rollout(user: User) -> None:
    rollout = Rollout(user, 2)
    rollout.apply()
    user.kubectl("wait", "modelinfer/mi", "--for=condition=Available", "--timeout=60s")
    user.wait_settled("mi")
    rollout.apply("image:2")
    user.wait(lambda: user.condition("mi", "UpdateInProgress").get("status") == "True", "the rollout has begun")
    user.kubectl("wait", "modelinfer/mi", "--for=condition=UpdateInProgress=False", "--timeout=60s")
    assert rollout.images == {0: "image:2", 1: "image:2"}
    user.kubectl("wait", "modelinfer/mi", "--for=condition=Available", "--timeout=60s")


def test_broken_old_groups_do_not_block_the_fix(user: User) -> None:
    rollout = Rollout(user, 3)
    rollout.apply("broken", **NEVER_READY)
    user.wait(lambda: len(user.pods) == 3, "all groups exist")
    rollout.apply("fixed")
    user.wait_settled("mi")
    assert rollout.images == dict.fromkeys(range(3), "fixed")


def test_a_bad_image_hurts_no_more_than_the_pace_rule_allows_and_the_next_good_one_goes_on_from_there(
    user: User,
) -> None:
    rollout = Rollout(user, 5, maxUnavailable=2).started()
    first, begin = user.uids, len(user.watch("pods").changes)
    rollout.apply("bad", **NEVER_READY)
    user.wait(lambda: sorted(rollout.images.values()).count("bad") == 2, "two groups are hurt")
    # Something that is bound to come after a third would have: another model, and a change to this one.
    user.apply(model("other"))
    user.wait_settled("other")
    assert [rollout.images[ordinal] for ordinal in range(5)] == ["image:1", "image:1", "image:1", "bad", "bad"]
    assert user.status("mi")["availableReplicas"] == 3
    assert user.condition("mi", "UpdateInProgress")["status"] == "True"

    rollout.apply("good")
    user.wait_settled("mi")
    rollout.check(max_unavailable=2, since=begin)
    assert sorted(rollout.taken_down[:2]) == [3, 4]
    own = {name: uid for name, uid in user.uids.items() if name.startswith("mi-")}
    assert not set(own.values()) & set(first.values())
    images = {image_of(pod) for name, pod in user.pods.items() if name.startswith("mi-")}
    assert images == {"good"}


def test_of_a_then_b_then_c_b_is_drained_first(user: User) -> None:
    rollout = Rollout(user, 4).started("a")
    rollout.apply("b", ready_after="2s")
    user.wait(lambda: list(rollout.images.values()).count("b") == 2, "two groups are at b")
    begin = rollout.since
    at_b = {ordinal for ordinal, image in rollout.images.items() if image == "b"}
    rollout.apply("c")
    user.wait_settled("mi")
    rollout.check(since=begin)
    assert rollout.images == dict.fromkeys(range(4), "c")
    assert rollout.taken_down[0] in at_b
    assert len(user.revisions) == 3


def test_back_to_a_mid_way_changes_only_what_had_changed(user: User) -> None:
    # "<&>" too: a revision that comes back is renumbered, which the server refuses if its data changed by a byte.
    rollout = Rollout(user, 4).started("a", note="<&> ü \u2028")
    first, revisions = user.uids, user.revisions
    rollout.apply("b", ready_after="2s")
    user.wait(lambda: list(rollout.images.values()).count("b") == 2, "two groups are at b")
    rollout.apply("a", note="<&> ü \u2028")
    user.wait_settled("mi")
    rollout.check()
    assert rollout.images == dict.fromkeys(range(4), "a")
    kept = {name for name, uid in user.uids.items() if first[name] == uid}
    assert kept == {"mi-0-decode-0-0", "mi-1-decode-0-0"}
    assert len(user.revisions) == 2
    (a,) = revisions
    user.wait(lambda: user.revisions[a]["revision"] == 3, "a is the newest revision again")
    assert user.revisions[a]["data"] == revisions[a]["data"]


def test_scaled_mid_way(user: User) -> None:
    rollout = Rollout(user, 4).started("a")
    rollout.apply("b", ready_after="100ms")
    user.wait(lambda: "b" in rollout.images.values(), "it has begun")
    rollout.check()
    rollout.apply("b", ready_after="100ms", replicas=6)
    user.wait(lambda: len(user.pods) == 6, "all groups exist")
    assert [rollout.images[ordinal] for ordinal in (4, 5)] == ["b", "b"]
    rollout.apply("b", ready_after="100ms", replicas=2)
    user.wait_settled("mi")
    assert rollout.images == {0: "b", 1: "b"}
    rollout.apply("c")
    user.wait(lambda: "c" in rollout.images.values(), "it has begun")
    rollout.apply("c", replicas=0)
    user.wait(lambda: not user.pods and user.is_settled("mi"), "nothing is left")


def test_role_replicas_and_template_in_one_edit_make_no_pod_in_a_group_about_to_be_replaced(user: User) -> None:
    user.apply(model("mi", role(image="a"), replicas=3))
    user.wait_settled("mi")
    since = len(user.watch("pods").changes)
    user.apply(model("mi", role(image="b", replicas=2), replicas=3))
    user.wait_settled("mi")
    changes = user.watch("pods").changes
    assert sorted(created(changes, since)) == sorted(f"mi-{g}-decode-{r}-0" for g in range(3) for r in range(2))
    assert all(image_of(change.object) == "b" for change in changes[since:] if change.type == "ADDED")
    check(changes, "mi", Rules(3), since)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ([role("a")], [role("a"), role("b", workers=1)]),
        ([role("a"), role("b", workers=1)], [role("a")]),
        ([role("a"), role("b", workers=1)], [role("a"), role("c", workers=1)]),
        ([role("a", workers=1)], [role("a", workers=2)]),
        ([role("a", workers=2)], [role("a")]),
    ],
    ids=["a-role-more", "a-role-less", "a-role-renamed", "a-worker-more", "no-workers-any-more"],
)
def test_roles_and_workers_change(user: User, before: list[Any], after: list[Any]) -> None:
    user.apply(model("mi", *before, replicas=2))
    user.wait_settled("mi")
    first, since = user.uids, len(user.watch("pods").changes)
    user.apply(model("mi", *after, replicas=2))
    user.wait_settled("mi")
    expected = {
        f"mi-{g}-{one['name']}-0-{k}" for g in range(2) for one in after for k in range(one["workerReplicas"] + 1)
    }
    assert user.pods.keys() == expected
    assert not set(user.uids.values()) & set(first.values())
    with_workers = {f"mi-{g}-{one['name']}-0-0" for g in range(2) for one in after if one["workerReplicas"]}
    user.wait(lambda: user.services.keys() == with_workers, "a Service for each instance with workers, and no other")
    assert taken_down(user.watch("pods").changes, "mi", since) == [1, 0]


def test_what_must_not_roll_does_not(user: User) -> None:
    roles = [role("a", replicas=2), role("b", workers=1)]
    user.apply(model("mi", *roles, replicas=2))
    user.wait_settled("mi")
    first = user.uids
    gentle: list[dict[str, Any]] = [
        {"replicas": 3},
        {"recoveryPolicy": "InferGroupRecreate"},
        {"template": {"restartGracePeriodSeconds": 30}},
        update(maxSurge=1, partition=1),
        update(maxSurge=None, partition=None),
    ]
    for spec in gentle:
        user.patch("mi", spec)
    user.kubectl("label", "modelinfer", "mi", "team=blue")
    user.kubectl("annotate", "modelinfer", "mi", "note=new")
    spec = user.model("mi")["spec"]
    scaled = [{**one, "replicas": one["replicas"] + 1} for one in spec["template"]["roles"]]
    reordered = [dict(reversed(one.items())) for one in scaled]  # key order means nothing
    user.patch("mi", {"template": {"roles": reordered}})
    user.wait_settled("mi")
    assert {name: user.uids[name] for name in first} == first
    assert len(user.pods) == 3 * (3 + 4)
    assert len(user.revisions) == 1
    assert {label(pod, "revision") for pod in user.pods.values()} == set(user.revisions)
