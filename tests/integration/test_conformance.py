"""One suite for both planes: what is asserted of the simulator is asserted of a real kube-apiserver, word for word.

A case for one of them only says why. What only the simulator can be asked (faults, virtual time, forgotten versions)
is in tests/unit/simulator.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from admission_cases import CASES, Case
from controller_process import install

from modelinfer_controller.kube.aiohttp_transport import connect
from modelinfer_controller.kube.clock import SystemClock
from modelinfer_controller.kube.transport import Request, Transport
from modelinfer_controller.simulator.control_plane import SimulatedControlPlane

CRDS = Path(__file__).parents[2] / "manifests" / "crd"
MERGE = "application/merge-patch+json"
JSON_PATCH = "application/json-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"
TEMPLATE = {"spec": {"containers": [{"name": "main", "image": "image"}]}}
MODEL: dict[str, Any] = {
    "apiVersion": "workload.volcano.sh/v1alpha1",
    "kind": "ModelInfer",
    "metadata": {"name": "mi"},
    "spec": {"template": {"roles": [{"name": "decode", "entryTemplate": TEMPLATE}]}},
}
SIMULATED, REAL = "simulated", "real"


@dataclass(frozen=True)
class Answer:
    status: int
    body: Any

    @property
    def reason(self) -> str:
        return str(self.body.get("reason"))

    @property
    def message(self) -> str:
        return str(self.body.get("message"))

    @property
    def version(self) -> str:
        return str(self.body["metadata"]["resourceVersion"])

    @property
    def uid(self) -> str:
        return str(self.body["metadata"]["uid"])

    @property
    def names(self) -> list[str]:
        return [one["metadata"]["name"] for one in self.body["items"]]


@dataclass(frozen=True)
class Plane:
    """Either control plane, with a namespace to work in."""

    kind: str
    transport: Transport
    namespace: str

    def path(self, plural: str, name: str = "") -> str:
        prefix = {"modelinfers": "/apis/workload.volcano.sh/v1alpha1", "controllerrevisions": "/apis/apps/v1"}
        return f"{prefix.get(plural, '/api/v1')}/namespaces/{self.namespace}/{plural}" + (f"/{name}" if name else "")

    async def send(
        self, method: str, path: str, body: Any = None, type_: str = "application/json", **query: str
    ) -> Answer:
        raw = None if body is None else json.dumps(body).encode()
        response = await self.transport.request(Request(method, path, query, {"Content-Type": type_}, raw, 30.0))
        return Answer(response.status, json.loads(response.body))

    async def create(self, plural: str, body: Any, **query: str) -> Answer:
        return await self.send("POST", self.path(plural), body, **query)

    async def get(self, plural: str, name: str = "", **query: str) -> Answer:
        return await self.send("GET", self.path(plural, name), **query)

    async def patch(self, plural: str, name: str, body: Any, type_: str = MERGE, **query: str) -> Answer:
        return await self.send("PATCH", self.path(plural, name), body, type_, **query)

    async def delete(self, plural: str, name: str, **options: Any) -> Answer:
        body = {"apiVersion": "v1", "kind": "DeleteOptions", **options}
        return await self.send("DELETE", self.path(plural, name), body)

    async def until_gone(self, plural: str, name: str) -> None:
        await self.until(plural, name, lambda answer: answer.status == 404)

    async def until(self, plural: str, name: str, holds: Callable[[Answer], bool]) -> Answer:
        # A garbage collector learns within 30 s of a kind that was just installed, and what it failed at before then
        # waits out a back-off as long again.
        async with asyncio.timeout(90):
            while True:
                answer = await self.get(plural, name)
                if holds(answer):
                    return answer
                await asyncio.sleep(0.05)

    @asynccontextmanager
    async def watching(self, plural: str, version: str, **query: str) -> AsyncIterator[AsyncIterator[Any]]:
        """The decoded events of a watch from a version on."""
        asked = {"watch": "1", "resourceVersion": version, "timeoutSeconds": "30", **query}
        async with self.transport.stream(Request("GET", self.path(plural), asked, {}, None, 30.0)) as response:
            yield (json.loads(line) async for line in response.lines())


@pytest_asyncio.fixture(params=[SIMULATED, REAL])
async def plane(request: pytest.FixtureRequest) -> AsyncIterator[Plane]:
    if request.param == SIMULATED:
        clock = SystemClock()
        async with SimulatedControlPlane(definitions=sorted(CRDS.glob("*.yaml")), clock=clock) as cluster:
            yield Plane(SIMULATED, cluster.transport("conformance"), "default")
        return
    control_plane = request.getfixturevalue("control_plane")
    install(control_plane, CRDS)
    namespace = request.getfixturevalue("namespace")
    transport = await connect(environ={}, clock=SystemClock(), kubeconfig=str(control_plane.kubeconfig))
    try:
        yield Plane(REAL, transport, namespace)
    finally:
        await transport.close()


def config_map(name: str, **metadata: Any) -> dict[str, Any]:
    return {"metadata": {"name": name, **metadata}, "data": {"a": "1"}}


def pod(name: str, **annotations: str) -> dict[str, Any]:
    kwok = {f"kwok.stage/{key.replace('_', '-')}": value for key, value in annotations.items()}
    return {"metadata": {"name": name, "annotations": kwok}, "spec": {"containers": [{"name": "main", "image": "i"}]}}


def owned_by(owner: Answer, kind: str, api_version: str = "v1") -> list[dict[str, Any]]:
    name = owner.body["metadata"]["name"]
    reference = {"apiVersion": api_version, "kind": kind, "name": name, "uid": owner.uid}
    return [{**reference, "controller": True, "blockOwnerDeletion": True}]


# -- refusals --------------------------------------------------------------------------------------------------------


async def test_a_taken_name_is_refused(plane: Plane) -> None:
    await plane.create("configmaps", config_map("a"))
    answer = await plane.create("configmaps", config_map("a"))
    assert (answer.status, answer.reason) == (409, "AlreadyExists")
    assert answer.message == 'configmaps "a" already exists'
    assert answer.body["details"] == {"name": "a", "kind": "configmaps"}


async def test_what_is_not_there_is_not_found(plane: Plane) -> None:
    for plural, kind in (("pods", "pods"), ("modelinfers", "modelinfers")):
        answer = await plane.get(plural, "a")
        assert (answer.status, answer.reason) == (404, "NotFound")
        assert answer.body["details"]["name"] == "a"
        assert answer.body["details"]["kind"] == kind


async def test_a_broken_spec_names_its_fields(plane: Plane) -> None:
    broken = {**MODEL, "spec": {"replicas": -1, "recoveryPolicy": "Never"}}
    answer = await plane.create("modelinfers", broken)
    assert (answer.status, answer.reason) == (422, "Invalid")
    causes = {(one["field"], one["reason"]) for one in answer.body["details"]["causes"]}
    assert {("spec.replicas", "FieldValueInvalid"), ("spec.recoveryPolicy", "FieldValueNotSupported")} <= causes
    assert ("spec.template", "FieldValueRequired") in causes


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
async def test_admission(plane: Plane, case: Case) -> None:
    answer = await plane.create("modelinfers", case.manifest, dryRun="All")
    case.check(answer.status, answer.body)


async def test_defaults_are_filled_in_and_unknown_fields_dropped(plane: Plane) -> None:
    answer = await plane.create("modelinfers", {**MODEL, "spec": {**MODEL["spec"], "colour": "blue"}})
    assert answer.status == 201
    spec = answer.body["spec"]
    assert (spec["replicas"], spec["recoveryPolicy"]) == (1, "RoleRecreate")
    assert "colour" not in spec
    strict = {**MODEL, "metadata": {"name": "strict"}, "spec": {**MODEL["spec"], "colour": "blue"}}
    assert (await plane.create("modelinfers", strict, fieldValidation="Strict")).status == 400


# -- versions and preconditions --------------------------------------------------------------------------------------


async def test_a_write_that_changes_nothing_makes_no_version(plane: Plane) -> None:
    created = await plane.create("configmaps", config_map("a"))
    same = await plane.patch("configmaps", "a", {"data": {"a": "1"}})
    other = await plane.patch("configmaps", "a", {"data": {"a": "2"}})
    assert created.version == same.version
    assert int(other.version) > int(same.version)


@pytest.mark.parametrize(("method", "type_"), [("PUT", "application/json"), ("PATCH", MERGE)])
async def test_an_older_version_conflicts(plane: Plane, method: str, type_: str) -> None:
    created = await plane.create("configmaps", config_map("a"))
    await plane.patch("configmaps", "a", {"data": {"a": "2"}})
    body = {"metadata": {"name": "a", "resourceVersion": created.version}, "data": {"a": "3"}}
    answer = await plane.send(method, plane.path("configmaps", "a"), body, type_)
    assert (answer.status, answer.reason) == (409, "Conflict")
    assert "the object has been modified; please apply your changes to the latest version" in answer.message


@pytest.mark.parametrize(
    ("plural", "subresource", "change"),
    [
        ("configmaps", "", {"data": {"a": "2"}}),
        ("pods", "", {"metadata": {"labels": {"a": "2"}}}),
        ("pods", "/status", {"status": {"phase": "Running"}}),
        ("modelinfers", "", {"spec": {"replicas": 2}}),
        ("controllerrevisions", "", {"revision": 2}),
        ("services", "", {"spec": {"selector": {"a": "2"}}}),
    ],
)
async def test_a_patch_with_another_uid_is_invalid(plane: Plane, plural: str, subresource: str, change: Any) -> None:
    """The precondition that the controller's own patches carry."""
    bodies = {
        "configmaps": config_map("mi"),
        "pods": {**pod("mi"), "spec": {**pod("mi")["spec"], "schedulerName": "nobody"}},
        "modelinfers": MODEL,
        "controllerrevisions": {"metadata": {"name": "mi"}, "revision": 1, "data": {}},
        "services": {"metadata": {"name": "mi"}, "spec": {"clusterIP": "None", "selector": {"a": "1"}}},
    }
    created = await plane.create(plural, bodies[plural])
    assert created.status == 201, created.message
    uid = "7a4e6cf2-61ee-4d5d-92f3-000000000000"
    wrong = {**change, "metadata": {**change.get("metadata", {}), "uid": uid}}
    answer = await plane.patch(plural, f"mi{subresource}", wrong)
    assert (answer.status, answer.reason) == (422, "Invalid"), answer.message
    assert "metadata.uid: Invalid value" in answer.message, answer.message
    assert "field is immutable" in answer.message, answer.message
    right = {**change, "metadata": {**change.get("metadata", {}), "uid": created.uid}}
    assert (await plane.patch(plural, f"mi{subresource}", right)).status == 200


async def test_a_status_patch_of_a_custom_object_minds_the_uid_only_where_it_tests_it(plane: Plane) -> None:
    """Which is why the controller writes its status by JSON patch."""
    created = await plane.create("modelinfers", MODEL)
    merged = {"metadata": {"uid": "other"}, "status": {"replicas": 2}}
    assert (await plane.patch("modelinfers", "mi/status", merged)).status == 200
    add = {"op": "add", "path": "/status", "value": {"replicas": 3}}
    test = {"op": "test", "path": "/metadata/uid", "value": "other"}
    refused = await plane.patch("modelinfers", "mi/status", [test, add], JSON_PATCH)
    assert refused.status == 422
    written = await plane.patch("modelinfers", "mi/status", [{**test, "value": created.uid}, add], JSON_PATCH)
    assert written.body["status"]["replicas"] == 3


async def test_a_delete_with_another_uid_or_version_conflicts(plane: Plane) -> None:
    created = await plane.create("configmaps", config_map("a"))
    by_uid = await plane.delete("configmaps", "a", preconditions={"uid": "other"})
    assert (by_uid.status, by_uid.reason) == (409, "Conflict")
    assert f"the UID in the precondition (other) does not match the UID in record ({created.uid})" in by_uid.message
    by_version = await plane.delete("configmaps", "a", preconditions={"resourceVersion": "1"})
    assert by_version.status == 409
    assert (await plane.delete("configmaps", "a", preconditions={"uid": created.uid})).status == 200


async def test_generation_counts_changes_of_the_spec_only(plane: Plane) -> None:
    generations = [(await plane.create("modelinfers", MODEL)).body["metadata"]["generation"]]
    for name, change in [
        ("mi", {"metadata": {"labels": {"a": "b"}}}),
        ("mi/status", {"status": {"replicas": 3}}),
        ("mi", {"spec": {"replicas": 1}}),
        ("mi", {"spec": {"replicas": 2}}),
    ]:
        generations.append((await plane.patch("modelinfers", name, change)).body["metadata"]["generation"])
    assert generations == [1, 1, 1, 1, 2]


# -- patches and subresources ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("type_", "patch", "result"),
    [
        (MERGE, {"data": {"a": None, "b": "2"}}, {"b": "2"}),
        (STRATEGIC, {"data": {"b": "2"}}, {"a": "1", "b": "2"}),
        (JSON_PATCH, [{"op": "test", "path": "/data/a", "value": "1"}, {"op": "remove", "path": "/data/a"}], {}),
    ],
)
async def test_patches(plane: Plane, type_: str, patch: Any, result: Mapping[str, str]) -> None:
    await plane.create("configmaps", config_map("a"))
    assert (await plane.patch("configmaps", "a", patch, type_)).body.get("data", {}) == result


async def test_a_json_patch_whose_test_fails_and_a_patch_of_no_known_kind_are_refused(plane: Plane) -> None:
    await plane.create("modelinfers", MODEL)
    failing = [{"op": "test", "path": "/spec/replicas", "value": 9}]
    assert (await plane.patch("modelinfers", "mi", failing, JSON_PATCH)).status == 422
    assert (await plane.patch("modelinfers", "mi", {}, STRATEGIC)).status == 415


async def test_each_endpoint_writes_its_own_part(plane: Plane) -> None:
    await plane.create("modelinfers", MODEL)
    both = {"metadata": {"labels": {"a": "b"}}, "spec": {"replicas": 2}, "status": {"replicas": 3}}
    by_status = (await plane.patch("modelinfers", "mi/status", both)).body
    by_main = (await plane.patch("modelinfers", "mi", {**both, "status": {"replicas": 4}})).body
    assert (by_status["spec"]["replicas"], by_status["status"]["replicas"]) == (1, 3)
    assert "labels" not in by_status["metadata"]
    assert (by_main["spec"]["replicas"], by_main["status"]["replicas"]) == (2, 3)


async def test_scale(plane: Plane) -> None:
    await plane.create("modelinfers", MODEL)
    await plane.patch("modelinfers", "mi/status", {"status": {"replicas": 1, "labelSelector": "a=b"}})
    before = await plane.get("modelinfers", "mi/scale")
    assert (before.body["apiVersion"], before.body["kind"]) == ("autoscaling/v1", "Scale")
    assert (before.body["spec"], before.body["status"]) == ({"replicas": 1}, {"replicas": 1, "selector": "a=b"})
    scaled = await plane.patch("modelinfers", "mi/scale", {"spec": {"replicas": 5}})
    assert scaled.body["spec"] == {"replicas": 5}
    assert (await plane.get("modelinfers", "mi")).body["spec"]["replicas"] == 5
    stale = await plane.send("PUT", plane.path("modelinfers", "mi/scale"), before.body)
    assert stale.status == 409
    assert (await plane.patch("modelinfers", "mi/scale", {"spec": {"replicas": -1}})).status == 422


# -- lists and watches -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("selector", "names"),
    [
        ("app=x", ["a"]),
        ("app!=x,app", ["b"]),
        ("app in (x, y)", ["a", "b"]),
        ("app notin (x),app", ["b"]),
        ("!app,mine", ["c"]),
    ],
)
async def test_label_selectors(plane: Plane, selector: str, names: list[str]) -> None:
    await plane.create("configmaps", config_map("a", labels={"app": "x"}))
    await plane.create("configmaps", config_map("b", labels={"app": "y"}))
    await plane.create("configmaps", config_map("c", labels={"mine": ""}))
    assert (await plane.get("configmaps", labelSelector=selector)).names == names


async def test_pages_show_one_version_of_the_world(plane: Plane) -> None:
    for name in ("a", "b", "c"):
        await plane.create("configmaps", config_map(name, labels={"paged": ""}))
    first = await plane.get("configmaps", limit="2", labelSelector="paged")
    await plane.delete("configmaps", "c")
    rest = await plane.get(
        "configmaps", limit="2", labelSelector="paged", **{"continue": first.body["metadata"]["continue"]}
    )
    assert (first.names, rest.names) == (["a", "b"], ["c"])
    assert rest.version == first.version


async def test_a_watch_shows_what_came_after_its_version(plane: Plane) -> None:
    listed = await plane.get("configmaps", labelSelector="w")
    created = await plane.create("configmaps", config_map("a", labels={"w": ""}))
    async with plane.watching("configmaps", listed.version, labelSelector="w") as events:
        await plane.patch("configmaps", "a", {"data": {"a": "2"}})
        await plane.patch("configmaps", "a", {"metadata": {"labels": {"w": None}}})
        seen = [await anext(events) for _ in range(3)]
    assert [one["type"] for one in seen] == ["ADDED", "MODIFIED", "DELETED"]
    assert seen[0]["object"]["metadata"]["resourceVersion"] == created.version
    versions = [int(one["object"]["metadata"]["resourceVersion"]) for one in seen]
    assert versions == sorted(set(versions))


async def test_a_streaming_list_ends_with_its_bookmark(plane: Plane) -> None:
    await plane.create("configmaps", config_map("a", labels={"w": ""}))
    query = {"sendInitialEvents": "true", "allowWatchBookmarks": "true", "resourceVersionMatch": "NotOlderThan"}
    async with plane.watching("configmaps", "", labelSelector="w", **query) as events:
        seen = [await anext(events) for _ in range(2)]
    assert [one["type"] for one in seen] == ["ADDED", "BOOKMARK"]
    assert seen[1]["object"]["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}


# -- deletion --------------------------------------------------------------------------------------------------------


async def test_finalizers_hold_a_deleted_object(plane: Plane) -> None:
    await plane.create("configmaps", config_map("a", finalizers=["example.com/hold"]))
    deleted = await plane.delete("configmaps", "a")
    assert deleted.body["metadata"]["deletionTimestamp"]
    assert (await plane.create("configmaps", config_map("a"))).status == 409
    await plane.patch("configmaps", "a", {"metadata": {"finalizers": None}})
    assert (await plane.get("configmaps", "a")).status == 404


async def test_a_pod_without_a_node_is_gone_at_once(plane: Plane) -> None:
    body = pod("a")
    body["spec"]["schedulerName"] = "nobody"
    await plane.create("pods", body)
    assert (await plane.delete("pods", "a")).status == 200
    assert (await plane.get("pods", "a")).status == 404


async def test_a_running_pod_is_terminating_first(plane: Plane) -> None:
    await plane.create("pods", pod("a", terminate_after="1s"))
    await plane.until("pods", "a", lambda answer: answer.body.get("status", {}).get("phase") == "Running")
    deleted = await plane.delete("pods", "a")
    assert deleted.status == 200
    metadata = deleted.body["metadata"]
    assert metadata["deletionTimestamp"]
    assert metadata["deletionGracePeriodSeconds"] == 30
    assert (await plane.create("pods", pod("a"))).status == 409, "the name is reserved"
    await plane.until_gone("pods", "a")


async def create_owner_with_child(plane: Plane, **metadata: Any) -> None:
    """ModelInfer mi and its ConfigMap child."""
    owner = await plane.create("modelinfers", MODEL)
    reference = owned_by(owner, "ModelInfer", "workload.volcano.sh/v1alpha1")
    await plane.create("configmaps", config_map("child", ownerReferences=reference, **metadata))


async def test_background_deletion_takes_the_owner_first(plane: Plane) -> None:
    await create_owner_with_child(plane)
    await plane.delete("modelinfers", "mi", propagationPolicy="Background")
    assert (await plane.get("modelinfers", "mi")).status == 404
    await plane.until_gone("configmaps", "child")


async def test_foreground_deletion_waits_for_the_dependents(plane: Plane) -> None:
    await create_owner_with_child(plane, finalizers=["example.com/hold"])
    deleted = await plane.delete("modelinfers", "mi", propagationPolicy="Foreground")
    assert deleted.body["metadata"]["finalizers"] == ["foregroundDeletion"]
    await plane.until("configmaps", "child", lambda answer: "deletionTimestamp" in answer.body["metadata"])
    assert (await plane.get("modelinfers", "mi")).status == 200
    await plane.patch("configmaps", "child", {"metadata": {"finalizers": None}})
    await plane.until_gone("modelinfers", "mi")


async def test_orphaned_dependents_stay_without_the_owner(plane: Plane) -> None:
    await create_owner_with_child(plane)
    await plane.delete("modelinfers", "mi", propagationPolicy="Orphan")
    await plane.until_gone("modelinfers", "mi")
    assert "ownerReferences" not in (await plane.get("configmaps", "child")).body["metadata"]


async def test_a_child_of_nobody_is_collected(plane: Plane) -> None:
    owner = await plane.create("configmaps", config_map("owner"))
    nobody = [{**owned_by(owner, "ConfigMap")[0], "uid": "7a4e6cf2-61ee-4d5d-92f3-000000000000"}]
    await plane.create("configmaps", config_map("child", ownerReferences=nobody))
    await plane.until_gone("configmaps", "child")
    assert (await plane.get("configmaps", "owner")).status == 200


# -- built-in kinds --------------------------------------------------------------------------------------------------


async def test_the_data_of_a_revision_never_changes(plane: Plane) -> None:
    await plane.create("controllerrevisions", {"metadata": {"name": "r"}, "revision": 1, "data": {"a": 1}})
    answer = await plane.patch("controllerrevisions", "r", {"data": {"a": 2}})
    assert (answer.status, answer.reason) == (422, "Invalid")


async def test_only_one_owner_controls(plane: Plane) -> None:
    owner = await plane.create("configmaps", config_map("owner"))
    two = [*owned_by(owner, "ConfigMap"), {**owned_by(owner, "ConfigMap")[0], "name": "b", "uid": "x"}]
    answer = await plane.create("configmaps", config_map("child", ownerReferences=two))
    assert (answer.status, answer.reason) == (422, "Invalid")


async def test_a_quota_refuses_what_exceeds_it(plane: Plane) -> None:
    await plane.create("resourcequotas", {"metadata": {"name": "q"}, "spec": {"hard": {"pods": "0"}}})
    if plane.kind == REAL:  # a quota counts only once its controller has written its status
        await plane.until("resourcequotas", "q", lambda answer: "hard" in answer.body.get("status", {}))
    answer = await plane.create("pods", pod("a"))
    assert (answer.status, answer.reason) == (403, "Forbidden")
    assert "exceeded quota: q" in answer.message


async def test_a_headless_service_stays_one(plane: Plane) -> None:
    spec = {"clusterIP": "None", "selector": {"a": "b"}, "publishNotReadyAddresses": True}
    created = await plane.create("services", {"metadata": {"name": "s"}, "spec": spec})
    assert created.status == 201, created.message
    assert created.body["spec"]["clusterIP"] == "None"
    assert (await plane.patch("services", "s", {"spec": {"clusterIP": "10.0.0.77"}})).status == 422
