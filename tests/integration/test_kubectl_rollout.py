"""`kubectl modelinfer rollout` in the middle of rollouts, completion and errors, through the real kubectl."""

from __future__ import annotations

import json
import os
import subprocess
from typing import Any

import pytest
import yaml
from controlplane.kubectl import find_kubectl
from models import model, role
from plugin import BIN, Plugin
from user import User


@pytest.fixture
def plugin(user: User) -> Plugin:
    return Plugin(user.control_plane.kubeconfig, user.namespace)


def images(user: User) -> dict[str, str]:
    return {name: pod["spec"]["containers"][0]["image"] for name, pod in sorted(user.pods.items())}


def in_the_middle(user: User, name: str, **behaviour: str) -> None:
    """A rollout of four groups of which two are done."""
    user.apply(model(name, replicas=4))
    user.wait_settled(name)
    user.apply(model(name, role(image="image:2", **(behaviour or {"ready_after": "8s"})), replicas=4))
    user.wait(lambda: user.status(name).get("updatedReplicas", 0) >= 2, "two groups are updated")


def test_pause_and_resume_in_the_middle(user: User, plugin: Plugin) -> None:
    in_the_middle(user, "paused")
    done = plugin.run("rollout", "pause", "paused")
    told = "paused: no group is taken down for an update; recovery and scaling go on\n"
    assert (done.code, done.out) == (0, f"modelinfer.workload.volcano.sh/paused {told}")
    user.wait(lambda: user.status("paused").get("availableReplicas") == 4, "all are available")
    user.wait(lambda: user.condition("paused", "Progressing").get("reason") == "Paused", "the conditions say so")
    halfway = images(user)
    assert set(halfway.values()) == {"image:1", "image:2"}
    status = plugin.run("rollout", "status", "paused")
    assert status.code == 1
    assert "is paused; `kubectl modelinfer rollout resume paused` goes on" in status.err
    assert images(user) == halfway

    assert plugin.run("rollout", "resume", "paused").code == 0
    status = plugin.run("rollout", "status", "paused")
    assert status.code == 0
    assert "all 4 groups are available at revision" in status.out
    assert set(images(user).values()) == {"image:2"}
    assert "paused" not in user.model("paused")["spec"]


def test_undo_in_the_middle(user: User, plugin: Plugin) -> None:
    in_the_middle(user, "undone")
    first = {name: pod["metadata"]["uid"] for name, pod in user.pods.items() if images(user)[name] == "image:1"}
    assert plugin.run("rollout", "undo", "undone").code == 0
    assert plugin.run("rollout", "status", "undone").code == 0
    assert set(images(user).values()) == {"image:1"}
    kept = {name: uid for name, uid in first.items() if user.uids.get(name) == uid}
    assert kept  # groups that the rollout had not come to are not touched
    history = plugin.document("rollout", "history", "undone")["revisions"]
    assert [entry["isCurrent"] for entry in history] == [False, True]


def test_a_stuck_rollout_fails_with_the_reason(user: User, plugin: Plugin) -> None:
    user.apply(model("stuck", replicas=2))
    user.wait_settled("stuck")
    user.apply(model("stuck", role(image="image:2", image_pull_error="true"), replicas=2))
    done = plugin.run("rollout", "status", "stuck", "--stuck-after=2s")
    assert done.code == 1
    assert done.err.startswith("error: the rollout of stuck is stuck: pod stuck-1-decode-0-0: ImagePullBackOff: ")
    assert len(done.err.splitlines()) == 1


def test_a_printed_change_is_what_kubectl_patch_takes_and_changes_nothing_by_itself(user: User, plugin: Plugin) -> None:
    user.apply(model("git"))
    user.wait_settled("git")
    generation = user.model("git")["metadata"]["generation"]
    done = plugin.run("rollout", "restart", "git", "--dry-run=client", "-o", "yaml")
    change = yaml.safe_load(done.out)
    assert change["metadata"] == {"name": "git", "namespace": user.namespace}
    assert user.model("git")["metadata"]["generation"] == generation
    before = user.uids
    patch = json.dumps({"spec": change["spec"]})
    user.kubectl("patch", "modelinfer", "git", "--type=merge", f"--patch={patch}")
    user.wait(lambda: user.status("git").get("observedGeneration") == generation + 1, "the controller has seen it")
    user.wait_settled("git")
    assert user.uids.keys() == before.keys()
    assert not set(user.uids.values()) & set(before.values())


def test_tree_shows_every_pod_and_where_it_runs(user: User, plugin: Plugin) -> None:
    user.apply(model("tree", role(workers=1), replicas=2))
    user.wait_settled("tree")
    done = plugin.run("tree", "tree", columns=160)
    for name, pod in user.pods.items():
        (line,) = [line for line in done.out.splitlines() if f" {name} " in line]
        assert pod["spec"]["nodeName"] in line
        assert "zone-" in line
    assert "\x1b" not in done.out
    document = plugin.document("tree", "tree")
    assert document["availableGroups"] == 2
    assert [group["isAvailable"] for group in document["groups"]] == [True, True]


def test_kubectl_completes_names(user: User, plugin: Plugin) -> None:
    user.apply(model("complete-me"))
    user.wait_settled("complete-me")
    environ = {**os.environ, "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}", "KUBECONFIG": str(plugin.kubeconfig)}
    command = [str(find_kubectl()), "__complete", "modelinfer", "explain", f"-n={user.namespace}", "comp"]
    done = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=30, check=True)
    assert done.stdout.splitlines() == ["complete-me", ":4"]


def test_errors_are_one_line_that_says_what_to_do(user: User, plugin: Plugin) -> None:
    user.apply(model("deepseek"))
    user.wait_settled("deepseek")
    done = plugin.run("explain", "deepsek")
    told = f'error: no ModelInfer "deepsek" in namespace {user.namespace}; the nearest names: deepseek\n'
    assert (done.code, done.err) == (1, told)

    user.kubectl("create", "serviceaccount", "nobody")
    poor = Plugin(user.control_plane.service_account_kubeconfig(user.namespace, "nobody"), user.namespace)
    refused = poor.run("tree", "deepseek")
    assert refused.code == 1
    need = (
        f"error: forbidden: you need the verb 'get' on 'modelinfers.workload.volcano.sh' in namespace {user.namespace}"
    )
    assert refused.err.startswith(need)
    assert len(refused.err.splitlines()) == 1


def test_reading_needs_rights_to_read_and_no_others(user: User, plugin: Plugin) -> None:
    """What changes something is refused to who may only read, and nothing else is."""
    user.apply(model("read", replicas=2))
    user.wait_settled("read")
    user.kubectl("create", "serviceaccount", "reader")
    kinds = "modelinfers.workload.volcano.sh,pods,services,controllerrevisions.apps,events"
    user.kubectl("create", "role", "reader", "--verb=get,list,watch", f"--resource={kinds}")
    user.kubectl("create", "rolebinding", "reader", "--role=reader", f"--serviceaccount={user.namespace}:reader")
    reader = Plugin(user.control_plane.service_account_kubeconfig(user.namespace, "reader"), user.namespace)
    changed: Any = model("read", role(image="image:2"), replicas=2)
    for arguments, code in (
        (["tree", "read"], 0),
        (["explain", "read"], 0),
        (["plan", "read"], 0),
        (["plan", "-f", "-"], 2),
        (["rollout", "history", "read"], 0),
        (["rollout", "status", "read"], 0),
        (["rollout", "restart", "read", "--dry-run"], 0),
        (["rollout", "restart", "read"], 1),
    ):
        done = reader.run(*arguments, input=json.dumps(changed))
        assert done.code == code, f"{arguments}: {done.err}"
    assert "you need the verb 'patch' on 'modelinfers.workload.volcano.sh'" in done.err
