"""Revisions are equal when they mean the same to the API server: defaults written out or left out restart no pod."""

import copy
import json
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from pod_spec_with_defaults import KEPT, WRITTEN

from modelinfer_controller.api import well_known
from modelinfer_controller.api.core import ControllerRevision
from modelinfer_controller.planning.observed import GangSupport
from modelinfer_controller.planning.pod_defaults import without_defaults
from modelinfer_controller.planning.revision import (
    payload_of_spec,
    restore,
    revision_name,
    revision_of,
)
from planning.world import NAME, Spec, World, a_role, a_spec


def roles_of(pod_spec: Spec) -> list[Spec]:
    template = {"spec": pod_spec}
    return [{"name": "decode", "workerReplicas": 1, "entryTemplate": template, "workerTemplate": template}]


def test_a_spec_with_every_default_means_what_the_one_without_means() -> None:
    assert without_defaults(KEPT) == without_defaults(WRITTEN)


@pytest.mark.parametrize(("before", "after"), [(WRITTEN, KEPT), (KEPT, WRITTEN)], ids=["gained", "lost"])
@pytest.mark.parametrize("support", [GangSupport(), GangSupport(volcano=True, kubernetes=True)], ids=["", "gang"])
def test_defaults_that_a_crd_gains_or_loses_restart_no_pod(before: Spec, after: Spec, support: GangSupport) -> None:
    fields: dict[str, Any] = {"gangSchedule": {}} if support.volcano else {}
    spec = a_spec(3, a_role("decode", 1))
    spec["template"] |= {"roles": roles_of(before), **fields}
    world = World(spec, gang_support=support)
    world.settle()
    pods, revisions = world.uids(), set(world.revisions)
    world.edit(lambda spec: spec["template"].update(roles=roles_of(after)))
    world.settle()
    assert (world.uids(), set(world.revisions)) == (pods, revisions)


def change(*path: Any, to: Any) -> Callable[[Spec], None]:
    def changed(spec: Spec) -> None:
        *parents, last = path
        node: Any = spec
        for step in parents:
            node = node[step]
        node[last] = to

    return changed


@pytest.mark.parametrize(
    "edit",
    [
        change("restartPolicy", to="Never"),
        change("terminationGracePeriodSeconds", to=31),
        change("nodeSelector", to={"zone": ""}),
        change("tolerations", to=[{"operator": "Exists"}]),
        change("containers", 0, "imagePullPolicy", to="Always"),
        change("containers", 0, "ports", 0, "protocol", to="UDP"),
        change("containers", 0, "env", 0, "value", to="0"),
        change("containers", 0, "resources", "requests", to={"cpu": "1"}),
        change("containers", 0, "readinessProbe", "periodSeconds", to=11),
        change("volumes", 0, "emptyDir", to={"medium": "Memory"}),
        change("volumes", 1, "secret", "defaultMode", to=256),
        change("volumes", 6, "ephemeral", "volumeClaimTemplate", "spec", "storageClassName", to=""),
        change("shareProcessNamespace", to=1),  # no boolean: the server refuses it, it is not false
    ],
)
def test_what_means_something_else_is_another_revision(edit: Callable[[Spec], None]) -> None:
    changed = copy.deepcopy(KEPT)
    edit(changed)
    assert without_defaults(changed) != without_defaults(KEPT)


MEANS = [
    # equal in meaning: what is written, and what the same is without its defaults
    ({"containers": None, "volumes": []}, {}),
    ({"serviceAccount": "s", "serviceAccountName": "s"}, {"serviceAccountName": "s"}),
    ({"overhead": {"cpu": "1000m"}}, {"overhead": {"cpu": "1"}}),
    ({"resources": {"limits": {"cpu": "1000m"}, "requests": {"cpu": 1}}}, {"resources": {"limits": {"cpu": "1"}}}),
    ({"hostNetwork": False}, {}),
]
MEANS_OF_A_CONTAINER = [
    ({"resizePolicy": [{"resourceName": "cpu", "restartPolicy": "NotRequired"}]}, {}),
    ({"imagePullPolicy": ""}, {}),
    ({"resources": {"limits": {"cpu": "lots"}}}, {"resources": {"limits": {"cpu": "lots"}}}),  # the server refuses it
    ({"resources": 3}, {"resources": 3}),
]
MEANS_OF_A_VOLUME = [
    ({"emptyDir": {"sizeLimit": "1024Mi", "medium": ""}}, {"emptyDir": {"sizeLimit": "1073741824"}}),
    ({}, {"emptyDir": {}}),
    ({"image": {"reference": "m:latest", "pullPolicy": "Always"}}, {"image": {"reference": "m:latest"}}),
    ({"image": {"reference": "m:1", "pullPolicy": "Never"}}, {"image": {"reference": "m:1", "pullPolicy": "Never"}}),
    ({"hostPath": None}, {"emptyDir": {}}),
]


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        *MEANS,
        *(({"containers": [written]}, {"containers": [meant]}) for written, meant in MEANS_OF_A_CONTAINER),
        *(({"volumes": [written]}, {"volumes": [meant]}) for written, meant in MEANS_OF_A_VOLUME),
        # what is no object at all, for the server to refuse
        ({"containers": ["x"], "volumes": ["y"]}, {"containers": ["x"], "volumes": ["y"]}),
    ],
    ids=lambda value: json.dumps(value),
)
def test_fields_have_one_form(written: Spec, meant: Spec) -> None:
    before = copy.deepcopy(written)
    assert without_defaults(written) == meant
    assert without_defaults(meant) == meant
    assert written == before


def test_on_the_hosts_network_a_port_is_the_hosts() -> None:
    ports = [{"containerPort": 80, "hostPort": 80}, {"containerPort": 81, "hostPort": 8081}]
    spec = {"containers": [{"ports": ports}]}
    assert without_defaults(spec) == spec
    on_host = without_defaults({**spec, "hostNetwork": True})
    assert on_host["containers"] == [{"ports": [{"containerPort": 80}, {"containerPort": 81, "hostPort": 8081}]}]


def payload_of(spec: Spec) -> str:
    return payload_of_spec(json.dumps(spec).encode(), None)


def test_a_lost_revision_is_restored_where_its_hash_proves_what_it_was() -> None:
    first, second = (payload_of(a_spec(1, a_role(image=image))) for image in ("v1", "v2"))
    name = revision_name(NAME, first)
    restored = restore(NAME, name, [second, first], number=3)
    assert restored is not None
    assert (restored.name, restored.number, restored.payload, restored.is_stored) == (name, 3, first, False)
    assert restore(NAME, name, [second]) is None
    assert restore("another", name, [first]) is None


def test_names_that_fit_are_as_ever_and_two_long_ones_that_begin_alike_differ() -> None:
    payload = payload_of(a_spec(1))
    assert revision_name("n" * 52, payload).startswith("n" * 52 + "-")
    long = [f"{'n' * 52}-{end}" for end in "ab"]
    names = [revision_name(owner, payload) for owner in long]
    assert names[0] != names[1]
    assert all(len(name) <= 63 for name in names)
    # The first release cut the name alone.
    before = "n" * 52 + "-" + names[0].rpartition("-")[2]
    assert restore(long[0], before, [payload]) is not None


@pytest.mark.parametrize(
    "data",
    [{"roles": [{"replicas": 1}]}, {}, {"roles": []}, {"roles": 3}, {"roles": [{"name": "a", "entryTemplate": 1}]}],
)
def test_a_revision_with_data_of_another_shape_cannot_be_used_and_stops_nothing(data: dict[str, Any]) -> None:
    stored = ControllerRevision(revision=7, data=msgspec.Raw(json.dumps(data).encode()))
    assert not revision_of(stored, well_known.CHANGE_CAUSE).is_usable
    world = World(a_spec(2))
    world.settle()
    (name,) = world.revisions
    foreign = msgspec.structs.replace(
        world.revisions[name],
        metadata=msgspec.structs.replace(world.revisions[name].metadata, name="m-foreign", uid="uid-foreign"),
        data=stored.data,
        revision=9,
    )
    world.revisions["m-foreign"] = foreign
    world.edit(image="v2")
    world.settle()
    assert world.status.observed_generation == world.generation
    assert world.status.available_replicas == world.status.updated_replicas == 2
