"""Revisions: what makes a new one, their names, their history, and hashes that no release may change."""

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from modelinfer_controller.api import well_known
from modelinfer_controller.api.core import ControllerRevision
from modelinfer_controller.api.status import GroupRecord
from modelinfer_controller.planning.actions import CreatePod, DeletePod
from modelinfer_controller.planning.decide import decide
from modelinfer_controller.planning.observed import GangSupport
from modelinfer_controller.planning.revision import (
    GangScheduler,
    payload_of_spec,
    resolve,
    revision_name,
    revision_of,
)
from planning.world import NAME, Spec, World, a_role, a_spec, pod_name

GOLDEN = Path(__file__).with_name("first_release_revisions.json")


def encode(spec: Spec) -> bytes:
    return json.dumps(spec).encode()


@pytest.mark.parametrize("case", json.loads(GOLDEN.read_text()), ids=lambda case: case["about"])
def test_a_newer_version_of_the_controller_changes_no_hash(case: dict[str, Any]) -> None:
    """The specs and names as the first release wrote them. Never edit this file: add to it."""
    gang = GangScheduler(case["gangScheduler"]) if case["gangScheduler"] else None
    payload = payload_of_spec(encode(case["spec"]), gang)
    assert payload == case["payload"]
    assert revision_name("m", payload) == case["name"]


@pytest.mark.parametrize("case", json.loads(GOLDEN.read_text()), ids=lambda case: case["about"])
def test_a_revision_that_the_first_release_stored_is_found_again(case: dict[str, Any]) -> None:
    stored = msgspec.json.decode(json.dumps(case["stored"]).encode(), type=ControllerRevision)
    assert revision_of(stored, well_known.CHANGE_CAUSE).payload == case["payload"]


MUST_NOT_ROLL = {
    "replicas": {"replicas": 5},
    "role replicas": {"roles": [a_role("decode", 3, workers=1)]},
    "recovery policy": {"recoveryPolicy": "None"},
    "grace period": {"grace": 77},
    "maxUnavailable": {"max_unavailable": 3},
    "maxSurge": {"max_surge": 1},
    "partition": {"partition": 1},
    "a null": {"schedulerName": None},
    "an empty string": {"schedulerName": ""},
}


@pytest.mark.parametrize("edit", MUST_NOT_ROLL)
def test_what_must_not_roll(edit: str) -> None:
    world = World(a_spec(3, a_role("decode", 1, workers=1)))
    world.settle()
    before = world.uids()
    world.edit(**MUST_NOT_ROLL[edit])  # type: ignore[arg-type]
    world.settle()
    assert before.items() <= world.uids().items()
    assert len(world.revisions) == 1


def test_the_modelinfers_labels_and_annotations_do_not_roll() -> None:
    world = World(a_spec(2))
    world.settle()
    world.annotations["x"] = "y"
    world.generation += 1
    assert world.reconcile().actions == ()


@pytest.mark.parametrize(
    "gang",
    [{"minRoleReplicas": {"decode": 1}}, {"networkTopology": {"mode": "hard", "highestTierAllowed": 1}}],
    ids=["minRoleReplicas", "networkTopology"],
)
def test_gang_settings_do_not_roll(gang: Spec) -> None:
    world = World(a_spec(1, a_role("decode", 2), gang={}), gang_support=GangSupport(volcano=True))
    world.settle()
    world.edit(gang=gang)
    done = world.reconcile()
    assert not [a for a in done.actions if isinstance(a, CreatePod | DeletePod)]
    assert done.actions, "the PodGroup is kept in step"


def test_gang_scheduling_toggled_is_a_new_revision() -> None:
    plain, gang = (payload_of_spec(encode(a_spec()), scheduler) for scheduler in (None, GangScheduler.VOLCANO))
    assert plain != gang


def test_neither_key_order_nor_server_side_defaulting_makes_a_new_revision() -> None:
    sparse = {"template": {"roles": [{"name": "decode", "entryTemplate": {"spec": {"containers": [{"name": "c"}]}}}]}}
    sparse["topologySpreadConstraints"] = [{"topologyKey": "zone"}]  # type: ignore[assignment]
    defaulted = {
        "recoveryPolicy": "RoleRecreate",
        "replicas": 1,
        "schedulerName": None,
        "topologySpreadConstraints": [{"whenUnsatisfiable": "DoNotSchedule", "topologyKey": "zone", "maxSkew": 1}],
        "template": {
            "restartGracePeriodSeconds": 0,
            "roles": [
                {
                    "workerTemplate": None,
                    "workerReplicas": 0,
                    "replicas": 1,
                    "entryTemplate": {"metadata": {"labels": {}}, "spec": {"containers": [{"name": "c"}]}},
                    "name": "decode",
                }
            ],
        },
    }
    assert payload_of_spec(encode(sparse), None) == payload_of_spec(encode(defaulted), None)


def test_the_order_of_roles_counts_since_the_leader_is_of_the_first() -> None:
    one, other = a_spec(1, a_role("a"), a_role("b")), a_spec(1, a_role("b"), a_role("a"))
    assert payload_of_spec(encode(one), None) != payload_of_spec(encode(other), None)


def test_a_long_modelinfer_name_gets_a_valid_revision_name() -> None:
    name = revision_name("a" * 52 + "-" * 10 + "b", "{}")
    assert len(name) <= 63
    assert name.startswith("a" * 45 + "-")
    assert "--" not in name


def test_two_modelinfers_never_share_a_revision() -> None:
    assert revision_name("one", "{}") != revision_name("two", "{}")


def test_a_hash_collision_takes_another_name() -> None:
    payload = payload_of_spec(encode(a_spec()), None)
    first = resolve("m", payload, [], [], {})
    second = resolve("m", payload, [], [first.name], {})
    assert second.name != first.name
    assert second.payload == payload
    world = World(a_spec(2))
    world.name_conflicts["ControllerRevision", first.name] = "ControllerRevision of another"
    world.settle()
    assert list(world.revisions) == [second.name]
    assert len(world.pods) == 2


def test_the_10_newest_unused_revisions_and_all_in_use_are_kept() -> None:
    world = World(a_spec(3, partition=2))
    for number in range(20):
        world.edit(image=f"v{number}")
        world.settle()
    used = {pod.metadata.labels[well_known.REVISION] for pod in world.pods.values()}
    assert used <= set(world.revisions)
    numbers = sorted(stored.revision for name, stored in world.revisions.items() if name not in used)
    assert numbers == list(range(10, 20))


def test_a_roll_back_moves_the_old_revision_to_the_top_of_the_history_and_keeps_its_data() -> None:
    world = World(a_spec(1))
    world.settle()
    (first,) = world.revisions.values()
    for image in ("v2", "v3", "v1"):
        world.edit(image=image)
        world.settle()
    again = world.revisions[first.metadata.name]
    assert again.revision == max(stored.revision for stored in world.revisions.values()) == 4
    assert (again.data, again.metadata.uid) == (first.data, first.metadata.uid)
    assert len(world.revisions) == 3


def test_an_update_revision_that_a_record_names_before_it_is_stored_is_the_newest_of_the_history() -> None:
    """The status is written first, and somebody may stop the controller right after that."""
    world = World(a_spec(2, max_unavailable=2))
    world.settle()
    (old,) = world.revisions
    world.edit(image="v2")
    goal = decide(world.observe(), world.now).revisions.update.name
    world.status = msgspec.structs.replace(world.status, groups={"0-1": GroupRecord(goal)})
    world.settle()
    assert {name: stored.revision for name, stored in world.revisions.items()} == {old: 1, goal: 2}


def test_the_change_cause_is_kept_with_the_revision() -> None:
    world = World(a_spec(1))
    world.annotations[well_known.CHANGE_CAUSE] = "first"
    world.settle()
    (stored,) = world.revisions.values()
    assert stored.metadata.annotations == {well_known.CHANGE_CAUSE: "first"}
    assert stored.metadata.name.startswith(f"{NAME}-")


def test_pods_of_a_revision_that_somebody_deleted_are_left_as_they_are_and_it_is_said() -> None:
    world = World(a_spec(2, partition=1))
    world.settle()
    world.edit(image="v2")
    world.settle()
    old = world.pods[pod_name(0)].metadata
    del world.revisions[old.labels[well_known.REVISION]]
    world.unready(pod_name(0))
    assert world.reconcile().actions == ()
    assert world.condition("Available").reason == "RevisionMissing"
    world.edit(partition=0)
    world.settle()
    assert world.groups() == {0: {"v2"}, 1: {"v2"}}


def test_a_pod_without_a_revision_label_is_inferred_not_punished() -> None:
    world = World(a_spec(1))
    world.settle()
    before, pod = world.uids(), world.pods[pod_name(0)]
    bare = {key: value for key, value in pod.metadata.labels.items() if key != well_known.REVISION}
    metadata = msgspec.structs.replace(pod.metadata, labels=bare)
    world.pods[pod_name(0)] = msgspec.structs.replace(pod, metadata=metadata)
    world.settle()
    assert world.uids() == before
    assert world.pods[pod_name(0)].metadata.labels == pod.metadata.labels
