"""What `kubectl modelinfer plan` says of a change is what then happens to the pods."""

from __future__ import annotations

import copy
import json
import random
from typing import Any

import pytest
from models import DOMAIN, model, role, update
from plugin import Plugin
from user import User

CHANGES = 30


@pytest.fixture
def plugin(user: User) -> Plugin:
    return Plugin(user.control_plane.kubeconfig, user.namespace)


def group_of(pod: Any) -> int:
    return int(pod["metadata"]["labels"][f"{DOMAIN}/group-name"].rpartition("-")[2])


def changed(manifest: Any, rng: random.Random, number: int) -> Any:  # noqa: C901 # one case for each change
    """One to two random changes of a ModelInfer, such as people make."""
    made = copy.deepcopy(manifest)
    spec = made["spec"]
    rolling = spec["rolloutStrategy"]["rollingUpdateConfiguration"]
    for _ in range(rng.randint(1, 2)):
        chosen = rng.choice(spec["template"]["roles"])
        match rng.randrange(8):
            case 0 | 1:
                for template in ("entryTemplate", "workerTemplate"):
                    if template in chosen:
                        chosen[template]["spec"]["containers"][0]["image"] = f"image:{number}"
            case 2:
                spec["replicas"] = rng.randint(1, 5)
            case 3:
                chosen["replicas"] = rng.randint(1, 2)
            case 4:
                rolling["maxUnavailable"] = rng.choice([1, 2, "50%"])
            case 5:
                rolling["maxSurge"] = rng.choice([0, 1, 2])
            case 6:
                rolling["partition"] = rng.choice([0, 0, 1, 2])
            case 7:
                spec["recoveryPolicy"] = rng.choice(["RoleRecreate", "InferGroupRecreate", "None"])
    return made


def test_thirty_random_changes_go_as_planned(user: User, plugin: Plugin) -> None:
    rng = random.Random(9)
    manifest = model("mi", role("prefill"), role("decode", workers=1), replicas=4, **update(maxUnavailable=1))
    user.apply(manifest)
    user.wait_settled("mi")
    restarts = 0
    for number in range(2, CHANGES + 2):
        manifest = changed(manifest, rng, number)
        told = json.loads(_plan(plugin, manifest))
        before, mark = dict(user.pods), len(user.watch("pods").changes)
        status_mark = len(user.watch("modelinfers").changes)
        user.apply(manifest)
        user.wait_settled("mi", timeout=90)
        changes = user.watch("pods").changes[mark:]
        what = f"change {number}: {json.dumps(told['changes'])}"

        after = dict(user.pods)
        assert sum(each.type == "ADDED" for each in changes) == told["podsCreated"], what
        assert sum(each.type == "DELETED" for each in changes) == told["podsDeleted"], what
        replaced = {group_of(pod) for name, pod in before.items() if name in after and _uid(after[name]) != _uid(pod)}
        assert replaced == set(told["restarted"]), what
        assert {group_of(pod) for pod in after.values()} == set(told["unchanged"]) | replaced | set(told["created"])
        went = list(dict.fromkeys(group_of(each.object) for each in changes if _is_deletion(each)))
        assert_in_order([group for group in went if group in replaced], told["restarted"], manifest, what)
        told_later = [one.object for one in user.watch("modelinfers").changes[status_mark:] if "status" in one.object]
        counts = [one["status"]["availableReplicas"] for one in told_later] or [told["availableNow"]]
        lowest = min(counts)
        assert lowest >= told["lowestAvailable"], what
        restarts += bool(replaced)
    assert restarts >= CHANGES / 4  # the changes are worth the name


def _plan(plugin: Plugin, manifest: Any) -> str:
    done = plugin.run("plan", "--filename=-", "--output=json", input=json.dumps(manifest))
    told = json.loads(done.out or "{}")
    assert done.code == (2 if told.get("restarts") else 0), done.err
    assert told["obstacle"] == ""
    return done.out


def _uid(pod: Any) -> str:
    return str(pod["metadata"]["uid"])


def _is_deletion(change: Any) -> bool:
    return change.type == "MODIFIED" and "deletionTimestamp" in change.object["metadata"]


def assert_in_order(went: list[int], told: list[int], manifest: Any, what: str) -> None:
    """Groups that go at the same time may overtake each other, and no others."""
    rolling = manifest["spec"]["rolloutStrategy"]["rollingUpdateConfiguration"]
    most = rolling["maxUnavailable"]
    replicas = manifest["spec"]["replicas"]
    together = (replicas // 2 if most == "50%" else most) + rolling.get("maxSurge", 0)
    for place, group in enumerate(told):
        assert abs(went.index(group) - place) < max(together, 1), f"{went} is not {told}: {what}"


def test_a_new_model_infer_restarts_nothing(plugin: Plugin) -> None:
    told = json.loads(_plan(plugin, model("new", role(workers=1), replicas=3)))
    assert (told["created"], told["restarted"], told["podsCreated"]) == ([0, 1, 2], [], 6)
    assert told["seconds"] is None


def test_a_spec_that_admission_refuses_is_refused_here_too(plugin: Plugin) -> None:
    wrong = model("wrong", role(), **update(maxUnavailable=0, maxSurge=0))
    done = plugin.run("plan", "-f", "-", input=json.dumps(wrong))
    assert done.code == 1
    assert "maxUnavailable and maxSurge must not both be 0" in done.err
    assert len(done.err.splitlines()) == 1


def test_usage_errors_are_no_answer(plugin: Plugin) -> None:
    assert plugin.run("plan", "mi", "--filenam=x").code == 1
    assert plugin.run("plan", "mi", "-f", "no-such-file.yaml").code == 1
