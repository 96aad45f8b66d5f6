"""Deleting a ModelInfer in each of the three ways, and making it again under its name."""

from __future__ import annotations

import json

import pytest
from models import model, role
from rollout_rules import created
from user import User


@pytest.fixture
def settled(user: User) -> User:
    user.apply(model("mi", role(workers=1, terminate_after="500ms"), replicas=2))
    user.wait_settled("mi")
    user.wait(lambda: len(user.services) == 2 and len(user.revisions) == 1, "Services and a revision")
    return user


@pytest.mark.parametrize("cascade", ["background", "foreground"])
def test_all_children_go_and_none_is_made_meanwhile(settled: User, cascade: str) -> None:
    since = {kind: len(settled.watch(kind).changes) for kind in ("pods", "services", "controllerrevisions")}
    settled.kubectl("delete", "modelinfer", "mi", f"--cascade={cascade}", "--wait=false")
    settled.wait(
        lambda: not (settled.pods or settled.services or settled.revisions or settled.watch("modelinfers").by_name),
        "nothing is left",
    )
    for kind, position in since.items():
        assert created(settled.watch(kind).changes, position) == []
    if cascade == "foreground":
        last_pod = max(int(change.object["metadata"]["resourceVersion"]) for change in settled.watch("pods").changes)
        assert int(settled.watch("modelinfers").changes[-1].object["metadata"]["resourceVersion"]) > last_pod


def test_orphans_live_on_and_are_not_taken_back(settled: User) -> None:
    uids = settled.uids
    settled.kubectl("delete", "modelinfer", "mi", "--cascade=orphan")
    settled.wait(
        lambda: all("ownerReferences" not in pod["metadata"] for pod in settled.pods.values()), "they are orphans"
    )
    assert settled.uids == uids
    # A child whose owner is not this very ModelInfer is never adopted, not even an orphan of its own name.
    settled.apply(model("mi", role(workers=1), replicas=2))
    settled.wait(lambda: settled.condition("mi", "Available").get("reason") == "NameCollision", "it says so")
    assert settled.uids == uids
    settled.delete_pods(*uids)
    settled.kubectl("delete", "services,controllerrevisions", "--all")
    settled.wait_settled("mi")
    assert settled.uids.keys() == uids.keys()
    assert not set(settled.uids.values()) & set(uids.values())


def test_one_made_anew_at_once_has_only_new_children(settled: User) -> None:
    before, old = settled.uids, settled.model("mi")["metadata"]["uid"]
    settled.kubectl("delete", "modelinfer", "mi", "--wait=false")
    settled.apply(model("mi", role(workers=1, terminate_after="500ms"), replicas=2))
    settled.wait(lambda: settled.model("mi")["metadata"]["uid"] != old and settled.is_settled("mi"), "it runs again")
    new = settled.model("mi")["metadata"]["uid"]
    assert settled.uids.keys() == before.keys()
    for child in (*settled.pods.values(), *settled.services.values(), *settled.revisions.values()):
        assert [owner["uid"] for owner in child["metadata"]["ownerReferences"]] == [new]
    assert not set(settled.uids.values()) & set(before.values())


def test_a_finalizer_of_somebody_else_keeps_it_but_makes_nothing(settled: User) -> None:
    finalizer = {"metadata": {"finalizers": ["example.com/held"]}}
    settled.kubectl("patch", "modelinfer", "mi", "--type=merge", f"--patch={json.dumps(finalizer)}")
    settled.kubectl("delete", "modelinfer", "mi", "--wait=false")
    since = len(settled.watch("pods").changes)
    settled.delete_pods("mi-0-decode-0-0", "mi-0-decode-0-1")
    # Another one, made after that, is a sign that the controller has seen it.
    settled.apply(model("later"))
    settled.wait_settled("later")
    assert created(settled.watch("pods").changes, since) == ["later-0-decode-0-0"]
    settled.kubectl("patch", "modelinfer", "mi", "--type=merge", '--patch={"metadata":{"finalizers":null}}')
    settled.wait(lambda: settled.pods.keys() == {"later-0-decode-0-0"}, "its children go with it")
