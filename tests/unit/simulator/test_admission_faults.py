"""What may stand between a client and the store: policies, webhooks, limits of size, a definition that changes."""

import asyncio
from typing import Any

import pytest
from api_user import MERGE, PODS, User, config_map, pod

from modelinfer_controller.kube.transport import Request, TransportError
from modelinfer_controller.simulator.control_plane import SimulatedControlPlane
from modelinfer_controller.simulator.faults.admission import (
    CREATE,
    DELETE,
    UPDATE,
    Deny,
    Hang,
    Match,
    StripAnnotations,
)

CONFIG_MAPS = "/api/v1/namespaces/default/configmaps"


async def test_a_policy_refuses_what_it_matches_and_nothing_else(server: SimulatedControlPlane, user: User) -> None:
    with server.api.admission.added(Deny(Match({CREATE}, "pods", "decode"), "no decode", "p")):
        refused = await user.create(PODS, pod("m-0-decode-0-0"))
        assert (refused.status, refused.reason) == (422, "Invalid")
        why = "ValidatingAdmissionPolicy 'p' with binding 'p' denied request: no decode"
        assert refused.message == f'pods "m-0-decode-0-0" is forbidden: {why}'
        assert (await user.create(PODS, pod("m-0-prefill-0-0"))).status == 201
        assert (await user.create(CONFIG_MAPS, config_map("decode"))).status == 201
    assert (await user.create(PODS, pod("m-0-decode-0-0"))).status == 201


async def test_a_policy_refuses_deletions_and_updates(server: SimulatedControlPlane, user: User) -> None:
    await user.create(CONFIG_MAPS, config_map("a"))
    with server.api.admission.added(Deny(Match({DELETE, UPDATE}, "configmaps"))):
        assert (await user.delete(f"{CONFIG_MAPS}/a")).status == 422
        assert (await user.patch(f"{CONFIG_MAPS}/a", {"data": {"a": "2"}})).status == 422
    assert (await user.get(f"{CONFIG_MAPS}/a")).body["data"] == {"a": "1"}


async def test_a_status_is_a_subresource_of_its_own(server: SimulatedControlPlane, user: User) -> None:
    await user.create(PODS, pod("a"))
    with server.api.admission.added(Deny(Match({UPDATE}, "pods", subresource="status"))):
        assert (await user.patch(f"{PODS}/a/status", {"status": {"phase": "Running"}})).status == 422
        assert (await user.patch(f"{PODS}/a", {"metadata": {"labels": {"b": "c"}}})).status == 200


async def test_a_webhook_that_hangs_fails_after_its_time(server: SimulatedControlPlane, user: User) -> None:
    began = asyncio.get_running_loop().time()
    with server.api.admission.added(Hang(Match({CREATE}, "pods", "a"), 10.0)):
        refused = await user.create(PODS, pod("a"))
        assert asyncio.get_running_loop().time() - began == pytest.approx(10.0)
        assert (refused.status, refused.reason) == (500, "InternalError")
        assert 'failed calling webhook "hangs.example.com"' in refused.message
        request = Request("POST", PODS, {}, {}, b'{"metadata":{"name":"a"}}', timeout=2.0)
        with pytest.raises(TransportError):
            await user.transport.request(request)
    assert (await user.get(f"{PODS}/a")).status == 404


async def test_a_webhook_may_strip_annotations(server: SimulatedControlPlane, user: User) -> None:
    annotations = {"ours/x": "1", "theirs": "2"}
    with server.api.admission.added(StripAnnotations(Match({CREATE}, "pods"), "ours/")):
        await user.create(PODS, pod("a", annotations=annotations))
    assert (await user.get(f"{PODS}/a")).body["metadata"]["annotations"] == {"theirs": "2"}


async def test_what_etcd_cannot_hold_is_refused(user: User) -> None:
    await user.create(CONFIG_MAPS, config_map("a"))
    large = await user.patch(f"{CONFIG_MAPS}/a", {"data": {"b": "x" * 1_600_000}})
    assert (large.status, large.message) == (500, "etcdserver: request is too large")
    assert (await user.patch(f"{CONFIG_MAPS}/a", {"data": {"b": "x" * 1_500_000}})).status == 200
    assert (await user.patch(f"{CONFIG_MAPS}/a", {"data": {"b": "x" * 3_200_000}})).status == 413


def definition(**properties: Any) -> dict[str, Any]:
    spec = {"type": "object", "properties": {"size": {"type": "integer"}, **properties}}
    version = {
        "name": "v1",
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": {"type": "object", "properties": {"spec": spec}}},
    }
    names = {"kind": "Thing", "plural": "things"}
    group: dict[str, Any] = {"group": "example.com", "scope": "Namespaced", "names": names, "versions": [version]}
    return {"apiVersion": "apiextensions.k8s.io/v1", "metadata": {"name": "things.example.com"}, "spec": group}


async def test_a_default_that_a_definition_gains_shows_on_what_is_stored(
    server: SimulatedControlPlane, user: User
) -> None:
    server.install(definition(color={"type": "string"}))
    things = "/apis/example.com/v1/namespaces/default/things"
    made = await user.create(things, {"metadata": {"name": "a"}, "spec": {"size": 1}})
    server.replace_definition(definition(color={"type": "string", "default": "red"}))
    read = await user.get(f"{things}/a")
    assert read.body["spec"] == {"size": 1, "color": "red"}
    assert read.version == made.version, "nobody wrote it"
    labelled = await user.patch(f"{things}/a", {"metadata": {"labels": {"b": "c"}}}, MERGE)
    assert labelled.body["metadata"]["generation"] == 1, "its spec is no other than what was read"


async def test_a_definition_that_changes_ends_the_watches_of_its_kind(server: SimulatedControlPlane) -> None:
    server.install(definition())
    watch = server.api.watch(Request("GET", "/apis/example.com/v1/things", {"watch": "1", "resourceVersion": "0"}))
    server.replace_definition(definition(color={"type": "string"}))
    assert [line async for line in watch.lines()] == []
