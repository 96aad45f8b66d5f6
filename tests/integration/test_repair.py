"""Children that somebody deleted or edited are put right; those of others are left alone."""

from __future__ import annotations

import json

import pytest
from models import DOMAIN, model, role
from user import User, is_ready, label

POD = "mi-0-decode-0-1"
SERVICE = "mi-0-decode-0-0"


@pytest.fixture
def settled(user: User) -> User:
    user.apply(model("mi", role(workers=1)))
    user.wait_settled("mi")
    user.wait(lambda: SERVICE in user.services, "the Service")
    return user


@pytest.mark.parametrize("key", ["group-name", "role", "role-id", "revision"])
def test_a_changed_label_of_a_pod_is_repaired(settled: User, key: str) -> None:
    uids, right = settled.uids, label(settled.pods[POD], key)
    settled.kubectl("label", "pod", POD, f"{DOMAIN}/{key}=wrong", "--overwrite")
    if key == "revision":
        # A pod that says it is of another revision than its group does not belong there: it is made anew.
        settled.wait(lambda: POD in settled.uids and settled.uids[POD] != uids[POD], "the pod is replaced")
        settled.wait_settled("mi")
    else:
        settled.wait(lambda: label(settled.pods[POD], key) == right, "the label is right again")
        assert settled.uids == uids


def test_a_removed_label_of_a_pod_is_repaired(settled: User) -> None:
    uids = settled.uids
    settled.kubectl("label", "pod", POD, f"{DOMAIN}/role-id-", f"{DOMAIN}/group-name-", f"{DOMAIN}/revision-")
    settled.wait(lambda: label(settled.pods[POD], "revision"), "the labels are back")
    assert label(settled.pods[POD], "role-id") == "decode-0"
    assert label(settled.pods[POD], "group-name") == "mi-0"
    assert settled.uids == uids


def test_a_worker_that_was_made_an_entry_is_a_worker_again(settled: User) -> None:
    settled.kubectl("label", "pod", POD, f"{DOMAIN}/entry=true")
    settled.wait(lambda: not label(settled.pods[POD], "entry"), "the label is gone")


def test_a_pod_without_our_name_is_found_again(settled: User) -> None:
    """Without the label it is out of the controller's sight, but its name is taken and its owner known."""
    settled.kubectl("label", "pod", POD, f"{DOMAIN}/name-")
    settled.wait(lambda: label(settled.pods.get(POD, {"metadata": {}}), "name") == "mi", "the label is back")
    settled.wait(lambda: len(settled.pods) == 2 and all(map(is_ready, settled.pods.values())), "both pods are ready")
    settled.wait_settled("mi")


def test_labels_and_annotations_of_others_are_left_alone(settled: User) -> None:
    uids = settled.uids
    settled.kubectl("label", "pod", POD, "team=blue", f"{DOMAIN}/role=wrong", "--overwrite")
    settled.kubectl("annotate", "pod", POD, "note=mine")
    settled.wait(lambda: label(settled.pods[POD], "role") == "decode", "ours is repaired")
    assert settled.pods[POD]["metadata"]["labels"]["team"] == "blue"
    assert settled.pods[POD]["metadata"]["annotations"]["note"] == "mine"
    assert settled.uids == uids


def test_a_deleted_service_comes_back_and_no_pod_is_touched(settled: User) -> None:
    uids, before = settled.uids, settled.services[SERVICE]["metadata"]["uid"]
    settled.kubectl("delete", "service", SERVICE)
    settled.wait(
        lambda: settled.services.get(SERVICE, {}).get("metadata", {}).get("uid", before) != before, "it is back"
    )
    assert settled.services[SERVICE]["spec"]["clusterIP"] == "None"
    assert settled.uids == uids


@pytest.mark.parametrize(
    "patch",
    [
        {"spec": {"selector": {f"{DOMAIN}/entry": None}}},
        {"spec": {"selector": {f"{DOMAIN}/revision": "stale"}}},
        {"spec": {"publishNotReadyAddresses": False}},
        {"metadata": {"labels": {f"{DOMAIN}/role-id": "decode-7"}}},
    ],
    ids=["selects-workers-too", "selects-too-little", "hides-pods-that-are-not-ready", "label"],
)
def test_a_changed_service_is_repaired(settled: User, patch: object) -> None:
    before, uids = settled.services[SERVICE], settled.uids

    def looks_as_before() -> bool:
        now = settled.services[SERVICE]
        changed = now["metadata"]["resourceVersion"] != before["metadata"]["resourceVersion"]
        return changed and now["spec"] == before["spec"] and now["metadata"]["labels"] == before["metadata"]["labels"]

    settled.kubectl("patch", "service", SERVICE, "--type=merge", f"--patch={json.dumps(patch)}")
    settled.wait(looks_as_before, "the Service is as it was")
    assert settled.services[SERVICE]["metadata"]["uid"] == before["metadata"]["uid"]
    assert settled.uids == uids


def test_a_deleted_revision_comes_back_under_its_name(settled: User) -> None:
    """Its pods run on: what they were made from is what the spec still says."""
    uids, (name,) = settled.uids, settled.revisions
    before = settled.revisions[name]
    settled.kubectl("delete", "controllerrevision", name)
    settled.wait(lambda: name in settled.revisions and settled.revisions[name] != before, "the revision is back")
    assert settled.revisions[name]["data"] == before["data"]
    assert settled.uids == uids
