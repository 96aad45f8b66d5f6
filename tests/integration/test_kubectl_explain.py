"""Each cause that `kubectl modelinfer explain` names, provoked on the real control plane, with what comes next."""

from __future__ import annotations

import json
import subprocess
from typing import Any

import pytest
from models import model, pod, role, update
from plugin import Plugin
from user import User


@pytest.fixture
def plugin(user: User) -> Plugin:
    return Plugin(user.control_plane.kubeconfig, user.namespace)


def with_selector(name: str, value: str) -> Any:
    made = pod()
    made["spec"]["nodeSelector"] = {name: value}
    return {"name": "decode", "entryTemplate": made}


def next_texts(told: Any) -> str:
    return "; ".join(step["text"] for step in told["next"])


def test_all_is_well_in_one_line(user: User, plugin: Plugin) -> None:
    user.apply(model("well", replicas=2))
    user.wait_settled("well")
    done = plugin.run("explain", "well")
    revision = user.status("well")["updateRevision"]
    assert done.out == f"{user.namespace}/well: all 2 groups are available at revision {revision}\n"
    assert plugin.explain("well")["isWell"] is True


def test_an_unschedulable_pod_in_the_schedulers_own_words(user: User, plugin: Plugin) -> None:
    user.control_plane.add_node("tainted-for-explain", labels={"explain": "yes"})
    try:
        user.control_plane.kubectl("taint", "node", "tainted-for-explain", "explain=no:NoSchedule")
        user.apply(model("tainted", with_selector("explain", "yes")))
        told = plugin.explain_until("tainted", "Unschedulable")
        condition = next(
            one for one in user.pods["tainted-0-decode-0-0"]["status"]["conditions"] if one["type"] == "PodScheduled"
        )
        assert condition["message"] in told["message"]
        assert "untolerated taint" in told["message"]
        assert "until the scheduler finds room for the pods" in next_texts(told)
        assert told["since"]
    finally:
        user.control_plane.delete_node("tainted-for-explain")


def test_an_image_that_cannot_be_pulled(user: User, plugin: Plugin) -> None:
    user.apply(model("pull", role(image_pull_error="true"), replicas=2))
    told = plugin.explain_until("pull", "ImagePullBackOff")
    assert "pull-0-decode-0-0" in told["message"]
    assert any("is on node" in detail for detail in told["details"])


def test_a_crash_loop_with_its_last_exit_code(user: User, plugin: Plugin) -> None:
    user.apply(model("crash", role(crash_loop="true", exit_code="137", reason="OOMKilled"), recoveryPolicy="None"))
    told = plugin.explain_until("crash", "CrashLoopBackOff")
    assert "exited with code 137 (OOMKilled)" in told["message"]
    assert "leaves restarts to the kubelet (recoveryPolicy None)" in next_texts(told)


def test_a_backoff_says_until_when_and_what_then(user: User, plugin: Plugin) -> None:
    user.apply(model("backoff", role(crash_loop="true", restart_every="300ms")))
    told = plugin.explain_until("backoff", "WaitingForBackOff")
    (step,) = told["next"]
    assert step["rule"] == "back-off"
    assert step["at"] > told["since"]
    assert "recreates decode-0 of group 0 at " in step["text"]
    assert "(RoleRecreate)" in step["text"]


def test_a_grace_period_says_until_when(user: User, plugin: Plugin) -> None:
    user.apply(model("grace", role(), template={"restartGracePeriodSeconds": 600}))
    user.wait_settled("grace")
    user.annotate_pods("grace-0-decode-0-0", fail_after="0s")
    told = plugin.explain_until("grace", "WaitingForGracePeriod")
    assert told["next"][0]["rule"] == "grace period"
    assert "not if it is ready by then" in told["next"][0]["text"]


def test_a_quota_is_told_of_where_there_is_no_pod_to_tell_it(user: User, plugin: Plugin) -> None:
    quota = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "few"}, "spec": {"hard": {"pods": "1"}}}
    user.kubectl("create", "-f-", input=json.dumps(quota))
    user.kubectl("wait", "resourcequota/few", "--for=jsonpath={.status.hard.pods}=1", "--timeout=20s")
    user.apply(model("poor", role(workers=1), replicas=2))
    unavailable = lambda: user.condition("poor", "Available").get("reason") == "QuotaExceeded"  # noqa: E731
    user.wait(unavailable, "the condition says so")
    told = plugin.explain("poor")["groups"]
    assert [each["reason"] for each in told] == ["QuotaExceeded", "QuotaExceeded"]
    assert "exceeded quota: few" in told[1]["message"]
    assert "tries again, at least every 60s" in next_texts(told[1])
    user.kubectl("delete", "resourcequota", "few")
    user.wait_settled("poor", timeout=90)
    assert plugin.explain("poor")["isWell"] is True


def test_a_stuck_finalizer(user: User, plugin: Plugin) -> None:
    user.apply(model("kept"))
    user.wait_settled("kept")
    finalizers = {"metadata": {"finalizers": ["example.com/hold"]}}
    user.kubectl("patch", "pod", "kept-0-decode-0-0", "--type=merge", f"--patch={json.dumps(finalizers)}")
    user.delete_pods("kept-0-decode-0-0")
    told = plugin.explain_until("kept", "WaitingForTermination")
    assert "pod kept-0-decode-0-0 is kept by the finalizer example.com/hold" in told["details"]
    assert "creates 1 pod when kept-0-decode-0-0 is gone" in next_texts(told)
    free = {"metadata": {"finalizers": None}}
    user.kubectl("patch", "pod", "kept-0-decode-0-0", "--type=merge", f"--patch={json.dumps(free)}")
    user.wait_settled("kept")


@pytest.mark.parametrize("is_labelled", [False, True])
def test_a_foreign_object_in_the_way(user: User, plugin: Plugin, is_labelled: bool) -> None:
    labels = {"modelinfer.volcano.sh/name": "foreign"} if is_labelled else {}
    metadata = {"name": "foreign-0-decode-0-0", "labels": labels}
    other = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": pod()["spec"]}
    user.kubectl("create", "-f-", input=json.dumps(other))
    user.apply(model("foreign"))
    told = plugin.explain_until("foreign", "NameCollision")
    assert "Pod foreign-0-decode-0-0 is in the way: it has no controller" in told["message"]
    assert any(step["rule"] == "retry" for step in told["next"])


def test_groups_held_by_the_partition(user: User, plugin: Plugin) -> None:
    user.apply(model("held", replicas=3))
    user.wait_settled("held")
    user.apply(model("held", role(image="image:2"), replicas=3, **update(partition=2)))
    user.wait(lambda: user.status("held").get("updatedReplicas") == 1, "one is updated")
    user.wait_settled("held")
    (waiting,) = plugin.explain("held")["waiting"]
    assert waiting["ordinals"] == [0, 1]
    assert (waiting["next"]["rule"], waiting["next"]["limit"]) == ("partition", 2)
    assert "partition 2 keeps ordinals below it at their revision" in waiting["next"]["text"]


def test_the_pace_rule_with_its_numbers(user: User, plugin: Plugin) -> None:
    user.apply(model("pace", replicas=5))
    user.wait_settled("pace")
    user.apply(model("pace", role(image="image:2", never_ready="true"), replicas=5))
    told = plugin.explain_until("pace", "PodsNotReady", group=4)
    assert told["since"]
    document = plugin.explain("pace")
    assert document["summary"] == "1 group of 5 not available (maxUnavailable 1)"
    (waiting,) = document["waiting"]
    assert waiting["ordinals"] == [0, 1, 2, 3]
    assert waiting["next"]["rule"] == "maxUnavailable of updated groups"
    assert (waiting["next"]["count"], waiting["next"]["limit"]) == (1, 1)
    assert "1 of 1 updated groups that may be unavailable is (maxUnavailable)" in waiting["next"]["text"]


def test_the_availability_rule_with_its_numbers(user: User, plugin: Plugin) -> None:
    """An old group that lost its readiness uses up the budget, and its replacement is to come first."""
    user.apply(model("avail", replicas=3))
    user.wait_settled("avail")
    user.apply(model("avail", role(image="image:2"), replicas=3, **update(partition=1, maxUnavailable=1)))
    user.wait_settled("avail")
    user.annotate_pods("avail-0-decode-0-0", unready_after="0s")
    user.wait(lambda: user.status("avail").get("availableReplicas") == 2, "one is down")
    user.apply(model("avail", role(image="image:3"), replicas=3, **update(partition=1, maxUnavailable=1)))
    user.wait(lambda: user.condition("avail", "UpdateInProgress").get("status") == "True", "the rollout began")
    document = plugin.explain("avail")
    waiting = {tuple(each["ordinals"]): each["next"] for each in document["waiting"]}
    assert waiting[(1, 2)]["rule"] == "maxUnavailable"
    assert "2 groups are available and 2 must stay so (maxUnavailable)" in waiting[(1, 2)]["text"]
    (held,) = document["groups"]
    assert held["ordinal"] == 0
    assert [step["rule"] for step in held["next"]] == ["partition"]


def test_a_spec_that_the_controller_has_not_seen(user: User, plugin: Plugin, controller: Any) -> None:
    user.apply(model("unseen"))
    user.wait_settled("unseen")
    controller.kill()
    user.patch("unseen", {"replicas": 2})
    told = plugin.explain("unseen")
    assert any("is the controller running?" in remark for remark in told["remarks"])
    assert told["groups"][0]["next"][0]["text"] == "now: create 1 pod"


def test_the_watched_tree_follows_every_change_until_the_model_infer_is_gone(user: User, plugin: Plugin) -> None:
    user.apply(model("watched", replicas=1))
    user.wait_settled("watched")
    with plugin.following("tree", "watched", "--watch") as tree:
        _read_until(tree, "watched-0")
        user.kubectl("scale", "modelinfer", "watched", "--replicas=2")
        _read_until(tree, "watched-1")
        user.kubectl("delete", "modelinfer", "watched", "--wait=false")
        assert "ModelInfer watched is gone" in _read_until(tree, "is gone")
        assert tree.wait(timeout=30) == 1


def _read_until(process: subprocess.Popen[str], text: str) -> str:
    """The line that holds it. The pipe ends with the process, and with it the waiting."""
    assert process.stdout is not None
    for line in process.stdout:
        if text in line:
            return line
    raise AssertionError(f"{text!r} was not told")
