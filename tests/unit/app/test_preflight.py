"""What is looked at before anything starts, and what is said where it is not as it must be."""

import json
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest

from modelinfer_controller.api.names import ObjectName
from modelinfer_controller.app.preflight import check_cluster
from modelinfer_controller.exits import Exit, ExitCode
from modelinfer_controller.kube.client import Client
from modelinfer_controller.kube.transport import Request, Response, StreamResponse, TransportError

Answer = Callable[[Request], Response]
CRD = "/apis/workload.volcano.sh/v1alpha1"
VOLCANO = "/apis/scheduling.volcano.sh/v1beta1"


class Cluster:
    """Answers discovery of `served`, and reviews of access by `allows`."""

    def __init__(self, served: set[str], allows: Callable[[dict[str, str]], bool] = lambda asked: True) -> None:
        self.served = served
        self.asked: list[dict[str, str]] = []
        self._allows = allows

    async def request(self, request: Request) -> Response:
        if request.path.endswith("selfsubjectaccessreviews"):
            assert request.body is not None
            asked = json.loads(request.body)["spec"]["resourceAttributes"]
            self.asked.append(asked)
            return _json(201, {"status": {"allowed": self._allows(asked)}})
        plural = "modelinfers" if request.path == CRD else "podgroups"
        if request.path in self.served:
            return _json(200, {"resources": [{"name": plural}]})
        return _json(404, {"kind": "Status", "reason": "NotFound", "message": "not found", "code": 404})

    def stream(self, request: Request) -> AbstractAsyncContextManager[StreamResponse]:
        raise NotImplementedError

    async def close(self) -> None: ...


class Refusing(Cluster):
    """Answers everything in one way."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(set())
        self._answer = answer

    async def request(self, request: Request) -> Response:
        return self._answer(request)


def _json(status: int, body: dict[str, Any]) -> Response:
    return Response(status, json.dumps(body).encode())


async def check(cluster: Cluster, *namespaces: str, lease: ObjectName | None = None) -> None:
    await check_cluster(Client(cluster), namespaces, lease=lease)


async def test_everything_needed_is_asked_for_and_nothing_else() -> None:
    cluster = Cluster({CRD})
    await check(cluster)
    asked = {(one["resource"], one["subresource"], one["verb"]) for one in cluster.asked}
    written = {
        (resource, "", verb)
        for resource in ("pods", "services", "controllerrevisions")
        for verb in ("get", "list", "watch", "create", "patch", "delete")
    }
    assert asked == written | {
        ("modelinfers", "", "list"),
        ("modelinfers", "", "watch"),
        ("modelinfers", "status", "patch"),
    }
    assert {one["namespace"] for one in cluster.asked} == {""}


async def test_without_pod_groups_everything_else_works_and_the_lease_is_asked_for() -> None:
    cluster = Cluster({CRD, VOLCANO}, lambda asked: asked["resource"] != "podgroups")
    await check(cluster, "a", "b", lease=ObjectName("system", "lock"))
    asked = {(one["resource"], one["group"], one["namespace"], one["verb"], one["name"]) for one in cluster.asked}
    assert ("pods", "", "b", "create", "") in asked
    assert {one for one in asked if one[0] == "leases"} == {
        ("leases", "coordination.k8s.io", "system", "create", ""),
        ("leases", "coordination.k8s.io", "system", "get", "lock"),
        ("leases", "coordination.k8s.io", "system", "update", "lock"),
    }


def _unreachable(request: Request) -> Response:
    raise TransportError("GET /apis: refused")


def _status(code: int, reason: str, message: str) -> Answer:
    return lambda request: _json(code, {"kind": "Status", "reason": reason, "message": message, "code": code})


@pytest.mark.parametrize(
    ("cluster", "code", "expected"),
    [
        (Cluster(set()), ExitCode.CRD_MISSING, "`kubectl apply -f manifests/crd` installs it"),
        (Refusing(_unreachable), ExitCode.NO_CLUSTER, "no cluster: nobody answers: GET /apis: refused"),
        (Refusing(_status(401, "Unauthorized", "who are you")), ExitCode.FORBIDDEN, "unauthorized: "),
        (Refusing(_status(403, "Forbidden", "no discovery")), ExitCode.FORBIDDEN, "forbidden: no discovery"),
        (Refusing(_status(500, "InternalError", "oh")), ExitCode.NO_CLUSTER, "answers with status 500: oh"),
        (Refusing(lambda request: Response(502, b"<html>bad gateway</html>")), ExitCode.NO_CLUSTER, "bad gateway"),
        (
            Cluster({CRD}, lambda asked: asked["resource"] != "services" or asked["verb"] != "create"),
            ExitCode.FORBIDDEN,
            "forbidden: may not create services in all namespaces: `kubectl apply -k manifests/rbac` grants",
        ),
        (Cluster({CRD}, lambda asked: False), ExitCode.FORBIDDEN, " and 15 more"),
    ],
)
async def test_what_is_said_when_something_is_missing(cluster: Cluster, code: ExitCode, expected: str) -> None:
    with pytest.raises(Exit) as ended:
        await check(cluster)
    assert ended.value.code is code
    assert expected in str(ended.value)


async def test_what_is_forbidden_is_told_with_its_namespace() -> None:
    cluster = Cluster({CRD}, lambda asked: asked["resource"] != "modelinfers")
    with pytest.raises(Exit) as ended:
        await check(cluster, "team-a")
    assert "list modelinfers.workload.volcano.sh in namespace team-a" in str(ended.value)
    assert "patch modelinfers/status.workload.volcano.sh in namespace team-a" in str(ended.value)


async def test_who_authorizes_scrapes_must_be_allowed_to_ask_for_it() -> None:
    cluster = Cluster({CRD}, lambda asked: not asked["resource"].endswith("reviews"))
    await check(cluster)
    with pytest.raises(Exit, match=r"create tokenreviews\.authentication\.k8s\.io .*secure-metrics"):
        await check_cluster(Client(cluster), (), lease=None, authorizes_scrapes=True)
