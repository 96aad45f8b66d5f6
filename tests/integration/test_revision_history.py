"""ControllerRevisions: how many are kept, whose they are, and what their names are."""

from __future__ import annotations

import json

import pytest
from controller_process import ControllerProcess
from models import API_VERSION, DOMAIN, model, role, update
from user import User


def test_the_ten_newest_unused_and_those_in_use_are_kept(user: User) -> None:
    # One group is held back at the first revision; twelve more come and go.
    user.apply(model("mi", role(image="image:0"), replicas=1, **update(partition=1)))
    user.wait_settled("mi")
    (first,) = user.revisions
    for number in range(1, 14):
        user.apply(model("mi", role(image=f"image:{number}"), replicas=1, **update(partition=1)))
        user.wait_settled("mi")
    # In use: the first (pods, current) and the newest (update); ten more are history.
    user.wait(lambda: len(user.revisions) == 12, "12 revisions")
    numbers = sorted(revision["revision"] for revision in user.revisions.values())
    assert numbers == [1, *range(4, 15)]
    assert user.revisions[first]["revision"] == 1


def test_two_model_infers_with_the_same_template_do_not_share_a_revision(user: User) -> None:
    user.apply(model("one"))
    user.apply(model("two"))
    user.wait_settled("one", "two")
    revision_one, revision_two = (user.status(name)["updateRevision"] for name in ("one", "two"))
    assert revision_one.removeprefix("one-") == revision_two.removeprefix("two-")
    user.kubectl("delete", "modelinfer", "one")
    user.wait(lambda: user.revisions.keys() == {revision_two}, "only its own is gone")
    assert user.is_settled("two")


def test_a_long_name_gets_a_valid_revision_name(user: User) -> None:
    name = "n" * 52
    user.apply(model(name, role("d")))
    user.wait_settled(name)
    (revision,) = user.revisions
    assert len(revision) <= 63
    (pod,) = user.pods.values()
    assert pod["metadata"]["labels"][f"{DOMAIN}/revision"] == revision


@pytest.mark.parametrize("is_own", [True, False], ids=["hash-collision", "foreign"])
def test_a_revision_name_that_is_taken_is_gone_round(user: User, controller: ControllerProcess, is_own: bool) -> None:
    user.apply(model("mi"))
    user.wait_settled("mi")
    (name,) = user.revisions
    user.kubectl("delete", "modelinfer", "mi")
    user.wait(lambda: not user.revisions and not user.pods, "all is gone")
    controller.kill()
    user.apply(model("mi"))
    owner = {"apiVersion": API_VERSION, "kind": "ModelInfer", "name": "mi", "controller": True}
    owners = [{**owner, "uid": user.model("mi")["metadata"]["uid"]}] if is_own else []
    metadata = {"name": name, "labels": {f"{DOMAIN}/name": "mi"}, "ownerReferences": owners}
    other = {"apiVersion": "apps/v1", "kind": "ControllerRevision", "metadata": metadata, "revision": 7}
    user.kubectl("create", "-f-", input=json.dumps({**other, "data": {"roles": []}}))

    controller.start()
    user.wait_settled("mi")
    assert user.revisions[name]["data"] == {"roles": []}
    assert user.status("mi")["updateRevision"] != name
    assert user.status("mi")["updateRevision"] in user.revisions


# As the first release stored it: another name or other data for the same template would restart every pod on upgrade.
FIRST_RELEASE = {
    "name": "mi-ec1e538541",
    "data": {
        "roleReplicas": {"Prefill": 1, "decode": 1},
        "roles": [
            {
                "entryTemplate": {"spec": {"containers": [{"image": "image:1", "name": "main"}]}},
                "name": "Prefill",
                "workerReplicas": 1,
                "workerTemplate": {"spec": {"containers": [{"image": "image:1", "name": "main"}]}},
            },
            {
                "entryTemplate": {"spec": {"containers": [{"image": "image:1", "name": "main"}]}},
                "name": "decode",
                "workerReplicas": 0,
            },
        ],
    },
}


def test_a_revision_of_the_first_release_is_known_again(user: User, controller: ControllerProcess) -> None:
    controller.kill()
    user.apply(model("mi", role("Prefill", workers=1, image="image:1"), role("decode")))
    owner = {"apiVersion": API_VERSION, "kind": "ModelInfer", "name": "mi", "controller": True}
    metadata = {
        "name": FIRST_RELEASE["name"],
        "labels": {f"{DOMAIN}/name": "mi"},
        "ownerReferences": [{**owner, "uid": user.model("mi")["metadata"]["uid"]}],
    }
    stored = {"apiVersion": "apps/v1", "kind": "ControllerRevision", "metadata": metadata, "revision": 1}
    user.kubectl("create", "-f-", input=json.dumps({**stored, "data": FIRST_RELEASE["data"]}))
    controller.start()
    user.wait_settled("mi")
    assert user.revisions.keys() == {FIRST_RELEASE["name"]}
    assert user.status("mi")["updateRevision"] == FIRST_RELEASE["name"]


def test_it_is_still_written_as_the_first_release_did(user: User) -> None:
    user.apply(model("mi", role("Prefill", workers=1, image="image:1"), role("decode")))
    user.wait_settled("mi")
    (revision,) = user.revisions.values()
    assert {"name": revision["metadata"]["name"], "data": revision["data"]} == FIRST_RELEASE
