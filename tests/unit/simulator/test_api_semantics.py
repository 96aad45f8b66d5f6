"""What a client can rely on: versions, preconditions, patches, subresources, selectors, pages, deletion."""

from typing import Any

import pytest
from api_user import PODS, User, config_map, owned_by, pod

from modelinfer_controller.simulator.control_plane import SimulatedControlPlane

MAPS = "/api/v1/namespaces/default/configmaps"
SERVICES = "/api/v1/namespaces/default/services"
REVISIONS = "/apis/apps/v1/namespaces/default/controllerrevisions"
MODEL_INFERS = "/apis/workload.volcano.sh/v1alpha1/namespaces/default/modelinfers"
TEMPLATE = {"spec": {"containers": [{"name": "main", "image": "image"}]}}
MODEL_INFER = {
    "metadata": {"name": "mi"},
    "spec": {"template": {"roles": [{"name": "decode", "entryTemplate": TEMPLATE}]}},
}


async def test_a_taken_name_is_refused(user: User) -> None:
    await user.create(MAPS, config_map("a"))

    answer = await user.create(MAPS, config_map("a"))

    assert (answer.status, answer.reason) == (409, "AlreadyExists")
    assert answer.message == 'configmaps "a" already exists'


async def test_what_is_not_there_is_not_found(user: User) -> None:
    answer = await user.get(f"{PODS}/a")

    assert (answer.status, answer.reason) == (404, "NotFound")
    assert answer.body["details"] == {"name": "a", "kind": "pods"}


async def test_nothing_is_created_in_a_namespace_that_is_not_there(user: User) -> None:
    answer = await user.create("/api/v1/namespaces/nowhere/pods", pod("a"))

    assert (answer.status, answer.message) == (404, 'namespaces "nowhere" not found')


async def test_generated_names_are_the_prefix_and_five_letters(user: User) -> None:
    body = {"metadata": {"generateName": "a-"}, "data": {}}

    names = {(await user.create(MAPS, body)).body["metadata"]["name"] for _ in range(20)}

    assert len(names) == 20
    assert all(name.startswith("a-") and len(name) == 7 for name in names)


async def test_every_write_has_a_version_of_its_own(user: User) -> None:
    created = await user.create(MAPS, config_map("a"))
    patched = await user.patch(f"{MAPS}/a", {"data": {"a": "2"}})
    listed = await user.get(MAPS)

    assert int(created.version) < int(patched.version) == int(listed.version)


async def test_a_write_that_changes_nothing_makes_no_version(user: User) -> None:
    created = await user.create(MAPS, config_map("a"))

    assert (await user.patch(f"{MAPS}/a", {"data": {"a": "1"}})).version == created.version


@pytest.mark.parametrize("method", ["PUT", "PATCH"])
async def test_an_older_version_conflicts(user: User, method: str) -> None:
    created = await user.create(MAPS, config_map("a"))
    await user.patch(f"{MAPS}/a", {"data": {"a": "2"}})
    type_ = "application/json" if method == "PUT" else "application/merge-patch+json"

    answer = await user.send(method, f"{MAPS}/a", created.body, type_)

    assert (answer.status, answer.reason) == (409, "Conflict")
    assert answer.message == (
        'Operation cannot be fulfilled on configmaps "a": the object has been modified; '
        "please apply your changes to the latest version and try again"
    )


async def test_another_uid_is_invalid_in_a_patch_and_a_conflict_in_a_delete(user: User) -> None:
    await user.create(MAPS, config_map("a"))

    patched = await user.patch(f"{MAPS}/a", {"metadata": {"uid": "other"}, "data": {"a": "2"}})
    deleted = await user.delete(f"{MAPS}/a", {"preconditions": {"uid": "other"}})

    assert (patched.status, deleted.status) == (422, 409)
    assert "metadata.uid: Invalid value" in patched.message
    assert "the UID in the precondition (other) does not match the UID in record" in deleted.message


async def test_a_put_of_a_custom_object_needs_a_version(user: User) -> None:
    created = await user.create(MODEL_INFERS, MODEL_INFER)
    without = {**created.body, "metadata": {"name": "mi"}}

    answer = await user.send("PUT", f"{MODEL_INFERS}/mi", without)

    assert answer.status == 422
    assert "metadata.resourceVersion: Invalid value" in answer.message


async def test_generation_counts_changes_of_the_spec_only(user: User) -> None:
    path = f"{MODEL_INFERS}/mi"
    generations = [(await user.create(MODEL_INFERS, MODEL_INFER)).body["metadata"]["generation"]]
    for where, change in [
        (path, {"metadata": {"labels": {"a": "b"}}}),
        (f"{path}/status", {"status": {"replicas": 3}}),
        (path, {"spec": {"replicas": 2}}),
    ]:
        generations.append((await user.patch(where, change)).body["metadata"]["generation"])

    assert generations == [1, 1, 1, 2]


async def test_each_endpoint_writes_its_own_part(user: User) -> None:
    await user.create(MODEL_INFERS, MODEL_INFER)
    both = {"metadata": {"labels": {"a": "b"}}, "spec": {"replicas": 2}, "status": {"replicas": 3}}

    by_status = (await user.patch(f"{MODEL_INFERS}/mi/status", both)).body
    by_main = (await user.patch(f"{MODEL_INFERS}/mi", {**both, "status": {"replicas": 4}})).body

    assert (by_status["spec"]["replicas"], by_status["status"]["replicas"]) == (1, 3)
    assert "labels" not in by_status["metadata"]
    assert (by_main["spec"]["replicas"], by_main["status"]["replicas"]) == (2, 3)


async def test_scale_reads_and_writes_the_replicas(user: User) -> None:
    await user.create(MODEL_INFERS, MODEL_INFER)
    await user.patch(f"{MODEL_INFERS}/mi/status", {"status": {"replicas": 1, "labelSelector": "a=b"}})

    scaled = await user.patch(f"{MODEL_INFERS}/mi/scale", {"spec": {"replicas": 5}})

    assert scaled.body["kind"] == "Scale"
    assert (scaled.body["spec"], scaled.body["status"]) == ({"replicas": 5}, {"replicas": 1, "selector": "a=b"})
    assert (await user.get(f"{MODEL_INFERS}/mi")).body["spec"]["replicas"] == 5


async def test_scale_with_an_older_version_conflicts(user: User) -> None:
    await user.create(MODEL_INFERS, MODEL_INFER)
    scale = (await user.get(f"{MODEL_INFERS}/mi/scale")).body
    await user.patch(f"{MODEL_INFERS}/mi", {"spec": {"replicas": 2}})

    assert (await user.send("PUT", f"{MODEL_INFERS}/mi/scale", scale)).status == 409


@pytest.mark.parametrize(
    ("type_", "patch", "result"),
    [
        ("application/merge-patch+json", {"data": {"a": None, "b": "2"}}, {"b": "2"}),
        ("application/strategic-merge-patch+json", {"data": {"b": "2"}}, {"a": "1", "b": "2"}),
        (
            "application/json-patch+json",
            [{"op": "test", "path": "/data/a", "value": "1"}, {"op": "move", "from": "/data/a", "path": "/data/c"}],
            {"c": "1"},
        ),
    ],
)
async def test_patches(user: User, type_: str, patch: Any, result: dict[str, str]) -> None:
    await user.create(MAPS, config_map("a"))

    assert (await user.patch(f"{MAPS}/a", patch, type_)).body["data"] == result


async def test_a_json_patch_whose_test_fails_changes_nothing(user: User) -> None:
    await user.create(MAPS, config_map("a"))
    patch = [{"op": "remove", "path": "/data/a"}, {"op": "test", "path": "/data/b", "value": "1"}]

    assert (await user.patch(f"{MAPS}/a", patch, "application/json-patch+json")).status == 422
    assert (await user.get(f"{MAPS}/a")).body["data"] == {"a": "1"}


async def test_strategic_merge_patches_are_for_built_in_kinds(user: User) -> None:
    await user.create(MODEL_INFERS, MODEL_INFER)

    answer = await user.patch(f"{MODEL_INFERS}/mi", {}, "application/strategic-merge-patch+json")

    assert (answer.status, answer.reason) == (415, "UnsupportedMediaType")


async def test_a_strategic_merge_patch_sets_one_condition_of_several(user: User) -> None:
    await user.create(PODS, pod("a"))
    for type_ in ("PodScheduled", "Ready"):
        patch = {"status": {"conditions": [{"type": type_, "status": "False"}]}}
        patched = await user.patch(f"{PODS}/a/status", patch, "application/strategic-merge-patch+json")

    assert [one["type"] for one in patched.body["status"]["conditions"]] == ["PodScheduled", "Ready"]


async def test_a_dry_run_answers_and_stores_nothing(user: User) -> None:
    answer = await user.create(MAPS, config_map("a"), dryRun="All")

    assert answer.status == 201
    assert answer.body["metadata"]["uid"]
    assert (await user.get(f"{MAPS}/a")).status == 404


@pytest.mark.parametrize(
    ("selector", "names"),
    [
        ("app=x", ["a"]),
        ("app!=x", ["b", "c"]),
        ("app in (x, y)", ["a", "b"]),
        ("app notin (x),app", ["b"]),
        ("!app", ["c"]),
        ("app,tier==1", ["b"]),
    ],
)
async def test_label_selectors(user: User, selector: str, names: list[str]) -> None:
    await user.create(MAPS, config_map("a", labels={"app": "x"}))
    await user.create(MAPS, config_map("b", labels={"app": "y", "tier": "1"}))
    await user.create(MAPS, config_map("c"))

    assert (await user.get(MAPS, labelSelector=selector)).names == names


async def test_field_selectors(user: User) -> None:
    for name in ("a", "b"):
        await user.create(PODS, pod(name))
    await user.create(f"{PODS}/a/binding", {"target": {"name": "node-1"}})

    assert (await user.get(PODS, fieldSelector="spec.nodeName=node-1")).names == ["a"]
    assert (await user.get(PODS, fieldSelector="spec.nodeName!=node-1,metadata.name=b")).names == ["b"]
    assert (await user.get(PODS, fieldSelector="spec.hostname=x")).status == 400


async def test_pages_show_one_version_of_the_world(user: User) -> None:
    for name in ("a", "b", "c"):
        await user.create(MAPS, config_map(name))
    first = await user.get(MAPS, limit="2")
    await user.delete(f"{MAPS}/c")
    await user.create(MAPS, config_map("d"))

    second = await user.get(MAPS, limit="2", **{"continue": first.body["metadata"]["continue"]})

    assert (first.names, second.names) == (["a", "b"], ["c"])
    assert first.body["metadata"]["remainingItemCount"] == 1
    assert first.version == second.version
    assert "continue" not in second.body["metadata"]


async def test_a_page_whose_version_is_forgotten_is_expired(server: SimulatedControlPlane, user: User) -> None:
    for name in ("a", "b"):
        await user.create(MAPS, config_map(name))
    first = await user.get(MAPS, limit="1")
    await user.create(MAPS, config_map("c"))
    server.api.store.compact(("", "configmaps"))

    answer = await user.get(MAPS, limit="1", **{"continue": first.body["metadata"]["continue"]})

    assert (answer.status, answer.reason) == (410, "Expired")


async def test_lists_of_a_version(user: User) -> None:
    created = await user.create(MAPS, config_map("a"))
    await user.create(MAPS, config_map("b"))

    exact = await user.get(MAPS, resourceVersion=created.version, resourceVersionMatch="Exact")
    newer = await user.get(MAPS, resourceVersion=created.version, resourceVersionMatch="NotOlderThan")
    future = await user.get(MAPS, resourceVersion="100000")

    assert (exact.names, exact.version) == (["a"], created.version)
    assert newer.names == ["a", "b"]
    assert (future.status, future.reason) == (504, "Timeout")
    assert future.body["details"]["causes"][0]["reason"] == "ResourceVersionTooLarge"


async def test_items_of_a_list_of_built_in_kinds_do_not_repeat_their_type(user: User) -> None:
    await user.create(MAPS, config_map("a"))
    await user.create(MODEL_INFERS, MODEL_INFER)

    assert "kind" not in (await user.get(MAPS)).body["items"][0]
    assert (await user.get(MODEL_INFERS)).body["items"][0]["kind"] == "ModelInfer"


async def test_finalizers_hold_a_deleted_object(user: User) -> None:
    await user.create(MAPS, config_map("a", finalizers=["example.com/hold"]))

    held = (await user.delete(f"{MAPS}/a")).body
    added = await user.patch(f"{MAPS}/a", {"metadata": {"finalizers": ["example.com/hold", "example.com/more"]}})
    await user.patch(f"{MAPS}/a", {"metadata": {"finalizers": []}})

    assert held["metadata"]["deletionTimestamp"]
    assert "no new finalizers can be added if the object is being deleted" in added.message
    assert (await user.get(f"{MAPS}/a")).status == 404


async def test_a_pod_without_a_node_is_gone_at_once(user: User) -> None:
    await user.create(PODS, pod("a"))
    await user.delete(f"{PODS}/a")

    assert (await user.get(f"{PODS}/a")).status == 404


async def test_a_pod_on_a_node_is_terminating_until_its_kubelet_says_so(user: User) -> None:
    await user.create(PODS, pod("a"))
    await user.create(f"{PODS}/a/binding", {"target": {"name": "node-1"}})

    deleted = (await user.delete(f"{PODS}/a")).body["metadata"]
    again = (await user.delete(f"{PODS}/a", {"gracePeriodSeconds": 10})).body["metadata"]
    confirmed = await user.delete(f"{PODS}/a", {"gracePeriodSeconds": 0, "preconditions": {"uid": deleted["uid"]}})

    assert (deleted["deletionGracePeriodSeconds"], again["deletionGracePeriodSeconds"]) == (30, 10)
    assert deleted["generation"] == 2
    assert confirmed.status == 200
    assert (await user.get(f"{PODS}/a")).status == 404


async def test_the_spec_of_a_pod_is_fixed(user: User) -> None:
    await user.create(PODS, pod("a"))

    answer = await user.patch(f"{PODS}/a", {"spec": {"schedulerName": "other"}})

    assert answer.status == 422
    assert "pod updates may not change fields other than" in answer.message


async def test_a_pod_is_bound_once(user: User) -> None:
    await user.create(PODS, pod("a"))
    await user.create(f"{PODS}/a/binding", {"target": {"name": "node-1"}})

    answer = await user.create(f"{PODS}/a/binding", {"target": {"name": "node-2"}})

    assert answer.message.endswith('pod a is already assigned to node "node-1"')


@pytest.mark.parametrize("body", [pod("A"), pod("a", labels={"k": "v" * 64}), {"metadata": {"name": "a"}, "spec": {}}])
async def test_invalid_pods_are_refused(user: User, body: dict[str, Any]) -> None:
    answer = await user.create(PODS, body)

    assert (answer.status, answer.reason) == (422, "Invalid")
    assert answer.body["details"]["causes"]


async def test_a_quota_refuses_what_exceeds_it(user: User) -> None:
    quota = {"metadata": {"name": "two"}, "spec": {"hard": {"pods": "2", "requests.cpu": "10"}}}
    await user.create("/api/v1/namespaces/default/resourcequotas", quota)
    for name in ("a", "b"):
        await user.create(PODS, pod(name))

    answer = await user.create(PODS, pod("c"))

    assert (answer.status, answer.reason) == (403, "Forbidden")
    assert (
        answer.message == 'pods "c" is forbidden: exceeded quota: two, requested: pods=1, used: pods=2, limited: pods=2'
    )


async def test_services_get_an_address_unless_they_want_none(user: User) -> None:
    port = {"ports": [{"port": 80}]}
    first = await user.create(SERVICES, {"metadata": {"name": "a"}, "spec": port})
    headless = await user.create(SERVICES, {"metadata": {"name": "b"}, "spec": {"clusterIP": "None"}})
    replaced = await user.send("PUT", f"{SERVICES}/a", {"metadata": {"name": "a"}, "spec": port})

    assert first.body["spec"]["clusterIP"].startswith("10.96.")
    assert headless.body["spec"]["clusterIP"] == "None"
    assert replaced.body["spec"]["clusterIP"] == first.body["spec"]["clusterIP"]


async def test_the_data_of_a_revision_never_changes(user: User) -> None:
    await user.create(REVISIONS, {"metadata": {"name": "a"}, "data": {"x": 1}, "revision": 1})

    answer = await user.patch(f"{REVISIONS}/a", {"data": {"x": 2}})

    assert "field is immutable" in answer.message


async def test_everybody_may_do_everything_and_is_told_so(user: User) -> None:
    path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
    attributes = {"verb": "delete", "resource": "pods", "namespace": "default"}

    answer = await user.create(path, {"spec": {"resourceAttributes": attributes}})

    assert (answer.status, answer.body["status"]) == (201, {"allowed": True})
    assert (await user.get(path)).body["items"] == []


async def test_only_one_owner_controls(user: User) -> None:
    owner = (await user.create(MAPS, config_map("owner"))).body
    other = (await user.create(MAPS, config_map("other"))).body

    answer = await user.create(MAPS, config_map("a", ownerReferences=[*owned_by(owner), *owned_by(other)]))

    assert "Only one reference can have Controller set to true" in answer.message


async def test_one_seed_gives_one_world(server: SimulatedControlPlane) -> None:
    async def uids(seed: int) -> list[str]:
        user = User(SimulatedControlPlane(seed))
        return [(await user.create(MAPS, config_map(name))).body["metadata"]["uid"] for name in "abc"]

    assert await uids(1) == await uids(1) != await uids(2)
