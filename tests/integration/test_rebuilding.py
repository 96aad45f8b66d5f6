"""Recovery: which pods get new UIDs, which keep theirs, when, and what the user is told."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import Any

import pytest
from controller_process import ControllerProcess
from models import model, pod, role, update
from rollout_rules import created, ordinal_of
from user import User, is_ready, label
from watched import Change, Object

# The victims: the pod of an instance of one, the entry of several, a worker of several; group 3 is never touched.
VICTIMS = ("mi-0-decode-0-0", "mi-1-prefill-0-0", "mi-2-prefill-1-1")
INSTANCES = {"mi-0-decode-0-0", "mi-1-prefill-0-0", "mi-1-prefill-0-1", "mi-2-prefill-1-0", "mi-2-prefill-1-1"}
POLICIES = ("RoleRecreate", "InferGroupRecreate", "None")


def templates(**kind: bool) -> Any:
    return {"entryTemplate": pod(**kind), "workerTemplate": pod(**kind)}


def trigger(user: User, kind: str) -> None:
    match kind:
        case "deleted":
            user.delete_pods(*VICTIMS)
        case "drained":
            for name in VICTIMS:  # as `kubectl drain` does it
                eviction = f'{{"apiVersion":"policy/v1","kind":"Eviction","metadata":{{"name":"{name}"}}}}'
                path = f"/api/v1/namespaces/{user.namespace}/pods/{name}/eviction"
                user.kubectl("create", f"--raw={path}", "-f-", input=eviction)
        case "evicted-and-failed":
            user.annotate_pods(*VICTIMS, fail_after="0s", reason="Evicted")
        case "succeeded":
            user.annotate_pods(*VICTIMS, succeed_after="0s")
        case "container-restarted":
            user.annotate_pods(*VICTIMS, restart_after="0s")
        case "init-container-restarted" | "sidecar-restarted":
            user.annotate_pods(*VICTIMS, init_restart_now="1")


@pytest.mark.parametrize(
    "kind",
    [
        "deleted",
        "drained",
        "evicted-and-failed",
        "succeeded",
        "container-restarted",
        "init-container-restarted",
        "sidecar-restarted",
    ],
)
@pytest.mark.parametrize("policy", POLICIES)
def test_each_policy_rebuilds_just_what_it_says(user: User, policy: str, kind: str) -> None:
    containers = templates(init=kind == "init-container-restarted", sidecar=kind == "sidecar-restarted")
    prefill = {**role("prefill", replicas=2, workers=1), **containers}
    decode = {**role("decode"), "entryTemplate": containers["entryTemplate"]}
    user.apply(model("mi", prefill, decode, replicas=4, recoveryPolicy=policy))
    user.wait_settled("mi")
    before, since = user.uids, len(user.watch("pods").changes)
    all_of_the_groups = {name for name in before if ordinal_of("mi", name) < 3}
    restarted = kind.endswith("restarted")
    expected = {
        "RoleRecreate": INSTANCES,
        "InferGroupRecreate": all_of_the_groups,
        "None": set() if restarted else set(VICTIMS),
    }[policy]

    trigger(user, kind)
    if policy == "None" and restarted:
        user.wait(lambda: all(restarts(user.pods[name]) == 1 for name in VICTIMS), "the kubelet has restarted them")
    user.wait_rebuilt(before, expected, "mi")
    changes = user.watch("pods").changes[since:]
    assert sorted(created(changes, 0)) == sorted(expected)
    assert_gone_before_made_again(changes, before, expected, policy)
    if policy != "None":
        assert len(user.events("Rebuilding")) == 3


def restarts(pod: Object) -> int:
    statuses = pod["status"].get("initContainerStatuses", []) + pod["status"].get("containerStatuses", [])
    return sum(status["restartCount"] for status in statuses)


def assert_gone_before_made_again(
    changes: list[Change], before: dict[str, str], rebuilt: set[str], policy: str
) -> None:
    """Everything that is rebuilt together was gone before the first of it was made."""
    for scope in {scope_of(name, policy) for name in rebuilt}:
        left = {before[name] for name in rebuilt if scope_of(name, policy) == scope}
        for change in changes:
            if change.type == "DELETED":
                left.discard(change.object["metadata"]["uid"])
            elif change.type == "ADDED" and scope_of(change.name, policy) == scope:
                assert not left, f"{change.name} was made while pods of {scope} were still there"


def scope_of(name: str, policy: str) -> str:
    cut = {"RoleRecreate": 1, "InferGroupRecreate": 3, "None": 0}[policy]
    return name.rsplit("-", cut)[0]


def test_events_tell_which_pod_why_which_policy_and_which_attempt(user: User) -> None:
    user.apply(model("mi", role(workers=1), replicas=2))
    user.wait_settled("mi")
    before = user.uids
    user.annotate_pods("mi-1-decode-0-1", fail_after="0s", exit_code="137", reason="OOMKilled")
    user.wait_rebuilt(before, {"mi-1-decode-0-0", "mi-1-decode-0-1"}, "mi")
    (message,) = user.wait(lambda: user.events("Rebuilding"), "an event")
    assert "decode-0 of group 1" in message
    assert "mi-1-decode-0-1" in message
    assert "OOMKilled" in message
    assert "RoleRecreate" in message
    assert "attempt 1" in message
    assert "Rebuilding" in user.kubectl("events", "--for=modelinfer/mi")


def test_a_second_failure_in_the_middle_of_a_rebuild_starts_no_other(user: User) -> None:
    user.apply(model("mi", role(workers=2, terminate_after="1s"), recoveryPolicy="InferGroupRecreate"))
    user.wait_settled("mi")
    before = user.uids
    user.delete_pods("mi-0-decode-0-1")
    user.wait(lambda: all("deletionTimestamp" in one["metadata"] for one in user.pods.values()), "all are going")
    user.annotate_pods("mi-0-decode-0-2", fail_after="0s")
    user.delete_pods("mi-0-decode-0-0")
    user.wait_rebuilt(before, set(before), "mi")
    (message,) = user.events("Rebuilding")
    assert "attempt 1" in message


def test_a_storm_rebuilds_each_group_once(user: User) -> None:
    user.apply(model("mi", role(workers=1), replicas=12, recoveryPolicy="InferGroupRecreate"))
    user.wait_settled("mi")
    before, since = user.uids, len(user.watch("pods").changes)
    user.kubectl("annotate", "pods", "--all", "kwok.stage/fail-after=0s")
    user.wait_rebuilt(before, set(before), "mi")
    assert sorted(created(user.watch("pods").changes, since)) == sorted(before)
    rebuilds = [one["rebuilds"]["*"]["attempt"] for one in user.status("mi")["groups"].values()]
    assert rebuilds == [1] * 12


def test_a_group_edited_while_it_is_rebuilt_ends_at_the_newest_spec(user: User) -> None:
    user.apply(model("mi", role(workers=1, terminate_after="1s"), recoveryPolicy="InferGroupRecreate"))
    user.wait_settled("mi")
    since = len(user.watch("pods").changes)
    user.delete_pods("mi-0-decode-0-0")
    user.wait(
        lambda: all("deletionTimestamp" in one["metadata"] for one in user.pods.values()), "the rebuild has begun"
    )
    user.apply(model("mi", role(workers=2, image="image:2"), replicas=2, recoveryPolicy="InferGroupRecreate"))
    user.wait_settled("mi")
    assert user.pods.keys() == {f"mi-{g}-decode-0-{k}" for g in range(2) for k in range(3)}
    made = [change.object for change in user.watch("pods").changes[since:] if change.type == "ADDED"]
    assert len(made) == 6
    assert {one["spec"]["containers"][0]["image"] for one in made} == {"image:2"}


# Grace.


def test_grace(user: User, controller: ControllerProcess) -> None:
    """Who is back in time is left alone; who is not is rebuilt once, at the deadline, over a restart."""
    user.apply(model("mi", role(workers=1), replicas=2, template={"restartGracePeriodSeconds": 4}))
    user.wait_settled("mi")
    before = user.uids
    user.annotate_pods("mi-0-decode-0-1", restart_after="0s")
    user.annotate_pods("mi-1-decode-0-1", crash_loop="true", restart_every="500ms")
    user.wait(lambda: user.condition("mi", "Available").get("reason") == "WaitingForGracePeriod", "it says it waits")
    user.wait(lambda: restarts(user.pods["mi-1-decode-0-1"]) >= 3, "it crashes again and again")
    assert user.uids == before
    controller.restart()

    user.wait_rebuilt(before, {"mi-1-decode-0-0", "mi-1-decode-0-1"}, "mi")
    seen = [change.object for change in user.watch("pods").changes if change.name == "mi-1-decode-0-1"]
    dying = next(one for one in seen if "deletionTimestamp" in one["metadata"])
    # deletionTimestamp is when the pod is to be gone: 30 s of politeness after the deletion. All are whole seconds.
    deleted = moment(dying["metadata"]["deletionTimestamp"]) - timedelta(seconds=30)
    first = moment(next(finished_at(one) for one in seen if restarts(one) == 1))
    assert deleted - first >= timedelta(seconds=3)
    # The loop went on till the end, and had it moved the deadline, this would not have come.
    assert deleted - moment(finished_at(dying)) < timedelta(seconds=3)

    # Readiness lost without a restart is not a failure, and the restart that was survived is not held against it.
    rebuilt = user.uids
    user.annotate_pods("mi-0-decode-0-1", unready_after="0s")
    user.wait(lambda: user.status("mi")["availableReplicas"] == 1, "its group is not available")
    user.apply(model("mark"))
    user.wait_settled("mark")
    user.kubectl("annotate", "pod", "mi-0-decode-0-1", "kwok.stage/unready-after-")
    user.wait_settled("mi")
    assert {name: user.uids[name] for name in rebuilt} == rebuilt
    assert len(user.events("Rebuilding")) == 1


def finished_at(pod: Object) -> str:
    return str(pod["status"]["containerStatuses"][0]["lastState"]["terminated"]["finishedAt"])


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


def test_grace_changed_meanwhile(user: User) -> None:
    user.apply(model("mi", role(workers=1), template={"restartGracePeriodSeconds": 600}))
    user.wait_settled("mi")
    before = user.uids
    user.annotate_pods("mi-0-decode-0-0", crash_loop="true")
    user.wait(lambda: user.condition("mi", "Available").get("reason") == "WaitingForGracePeriod", "it waits")
    user.patch("mi", {"template": {"restartGracePeriodSeconds": 1}})
    user.wait_rebuilt(before, set(before), "mi")


# Back-off.


def test_back_off(user: User, controller: ControllerProcess) -> None:
    """The second rebuild waits for 10 s, over a restart; the failed pod stays; a rollout is not held up by it."""
    user.apply(model("mi", role(workers=1)))
    user.apply(model("rolled", role(workers=1)))
    user.wait_settled("mi", "rolled")
    for name in ("mi", "rolled"):
        before = {pod: uid for pod, uid in user.uids.items() if label(user.pods[pod], "name") == name}
        user.annotate_pods(f"{name}-0-decode-0-1", fail_after="0s")
        user.wait(lambda before=before: not set(before.values()) & set(user.uids.values()), "rebuilt at once")
    user.wait(lambda: len(user.pods) == 4 and all(map(is_ready, user.pods.values())), "all are ready")
    user.wait_settled("mi", "rolled")
    first, second = user.uids, record(user, "mi")
    assert second["attempt"] == 1

    for name in ("mi", "rolled"):
        user.annotate_pods(f"{name}-0-decode-0-1", fail_after="0s")
        waits = lambda name=name: user.condition(name, "Available").get("reason") == "WaitingForBackOff"  # noqa: E731
        user.wait(waits, f"{name} says that it waits")
    message = user.condition("mi", "Available")["message"]
    assert "mi-0-decode-0-1" in message
    assert re.search(r"ends at \d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", message)
    event, *_ = user.wait(lambda: user.events("BackOff"), "an event")
    assert "recreates it after a back-off" in event
    controller.restart()

    user.apply(model("rolled", role(workers=1, image="image:2")))
    user.wait_settled("rolled")
    assert user.pods["mi-0-decode-0-1"]["status"]["phase"] == "Failed"
    assert user.uids["mi-0-decode-0-0"] == first["mi-0-decode-0-0"]

    ours = {name: uid for name, uid in first.items() if name.startswith("mi-")}
    user.wait(lambda: not set(ours.values()) & set(user.uids.values()), "rebuilt again")
    user.wait_settled("mi")
    third = record(user, "mi")
    assert third["attempt"] == 2
    # Ten seconds from the failure on, whose time the kubelet tells in whole seconds.
    assert (moment(third["at"]) - moment(second["at"])).total_seconds() >= 9
    assert any("attempt 2" in text for text in user.events("Rebuilding"))


def record(user: User, name: str) -> Any:
    return user.status(name)["groups"]["0"]["rebuilds"]["decode-0"]


# Not failures.


@pytest.fixture
def stuck(user: User) -> User:
    entry = {**role("decode", workers=1), "workerTemplate": pod(image_pull_error="true")}
    user.apply(model("mi", entry, replicas=1, recoveryPolicy="InferGroupRecreate"))
    return user


def test_a_long_image_pull_is_no_failure(stuck: User) -> None:
    stuck.wait(lambda: "ImagePullBackOff" in stuck.condition("mi", "Available").get("message", ""), "it says why")
    before = stuck.uids
    stuck.kubectl("annotate", "modelinfer", "mi", "look=again")
    stuck.apply(model("mark"))
    stuck.wait_settled("mark")
    stuck.kubectl("annotate", "pod", "mi-0-decode-0-1", "kwok.stage/image-pull-error-")
    stuck.wait_settled("mi")
    assert {name: stuck.uids[name] for name in before} == before
    assert not stuck.events("Rebuilding")


def test_an_unschedulable_pod_is_no_failure(user: User) -> None:
    entry = role("decode", workers=1)
    entry["workerTemplate"]["spec"]["nodeSelector"] = {"gpu": user.namespace}
    user.apply(model("mi", entry, recoveryPolicy="InferGroupRecreate"))
    user.wait(lambda: user.condition("mi", "Available").get("reason") == "Unschedulable", "it says why")
    before = user.uids
    user.control_plane.add_node(f"node-{user.namespace}", labels={"gpu": user.namespace})
    try:
        user.wait_settled("mi")
        assert user.uids == before
        assert not user.events("Rebuilding")
    finally:
        user.kubectl("delete", "modelinfer", "mi")
        user.wait(lambda: not user.pods, "nothing runs on the node any more")
        user.control_plane.delete_node(f"node-{user.namespace}")


# With rollouts.


def test_a_failure_in_the_middle_of_a_rollout_breaks_no_budget(user: User) -> None:
    user.apply(model("mi", role(image="a"), replicas=4))
    user.wait_settled("mi")
    user.apply(model("mi", role(image="b", ready_after="1s"), replicas=4, **update(maxUnavailable=1)))
    user.wait(lambda: any(image(one) == "b" for one in user.pods.values()), "it has begun")
    user.delete_pods("mi-0-decode-0-0")
    user.wait_settled("mi")
    assert {image(one) for one in user.pods.values()} == {"b"}
    assert user.pods.keys() == {f"mi-{g}-decode-0-0" for g in range(4)}
    # Two are down at most: the one that the rollout took and the one that the user took.
    changes, pods = user.watch("pods").changes, dict[str, Object]()
    least = 4
    for change in changes:
        pods[change.name] = change.object
        if len(pods) == 4 and any(image(one) == "b" for one in pods.values()):
            least = min(least, sum(is_ready(one) for one in pods.values()))
    assert least >= 2


def image(pod: Object) -> str:
    return str(pod["spec"]["containers"][0]["image"])


@pytest.mark.parametrize("policy", POLICIES)
def test_a_lost_node(user: User, policy: str) -> None:
    """Its pods are to go and never do, until somebody says that they are gone; nothing is made over their names."""
    node = f"lost-{user.namespace}"
    user.control_plane.add_node(node, labels={"lost": user.namespace})
    worker = pod(terminate_after="1h")
    worker["spec"]["nodeSelector"] = {"lost": user.namespace}
    prefill = {**role("prefill", workers=1), "workerTemplate": worker}
    user.apply(model("mi", prefill, role("decode"), recoveryPolicy=policy))
    user.wait_settled("mi")
    before, since, lost = user.uids, len(user.watch("pods").changes), "mi-0-prefill-0-1"
    user.kubectl("taint", "nodes", node, "lost=now:NoExecute")
    user.wait(lambda: "deletionTimestamp" in user.pods[lost]["metadata"], "the pod is evicted")
    user.wait(lambda: user.status("mi")["availableReplicas"] == 0, "its group is not available")
    user.apply(model("mark"))
    user.wait_settled("mark")
    scope = {"RoleRecreate": "mi-0-prefill", "InferGroupRecreate": "mi-0-", "None": lost}[policy]
    expected = {name for name in before if name.startswith(scope)}
    assert created(user.watch("pods").changes, since) == ["mark-0-decode-0-0"]

    user.kubectl("taint", "nodes", node, "lost-")
    user.kubectl("delete", "pod", lost, "--force", "--grace-period=0")
    user.wait(lambda: user.uids.get(lost, before[lost]) != before[lost] and user.is_settled("mi"), "it is rebuilt")
    user.wait_settled("mi")
    assert {name for name, uid in before.items() if user.uids[name] != uid} == expected
    user.kubectl("delete", "modelinfer", "mi", "--wait=false")
    user.kubectl("delete", "pod", lost, "--force", "--grace-period=0", "--ignore-not-found")
    user.control_plane.delete_node(node)
