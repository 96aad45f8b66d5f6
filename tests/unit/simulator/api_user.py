"""Somebody who talks to the simulated API server as with curl, and bodies to send."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from modelinfer_controller.kube.transport import Request
from modelinfer_controller.simulator.apiserver.transport import InProcessTransport
from modelinfer_controller.simulator.control_plane import SimulatedControlPlane

PODS = "/api/v1/namespaces/default/pods"
MERGE = "application/merge-patch+json"


@dataclass(frozen=True)
class Answer:
    status: int
    body: dict[str, Any]
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def message(self) -> str:
        return str(self.body["message"])

    @property
    def reason(self) -> str:
        return str(self.body["reason"])

    @property
    def version(self) -> str:
        return str(self.body["metadata"]["resourceVersion"])

    @property
    def names(self) -> list[str]:
        return [item["metadata"]["name"] for item in self.body["items"]]


class User:
    """Somebody with curl."""

    def __init__(self, cluster: SimulatedControlPlane) -> None:
        self.transport = InProcessTransport(cluster.api, user_agent="user")

    async def send(
        self, method: str, path: str, body: Any = None, type_: str = "application/json", **query: str
    ) -> Answer:
        raw = None if body is None else json.dumps(body).encode()
        response = await self.transport.request(Request(method, path, query, {"Content-Type": type_}, raw))
        return Answer(response.status, json.loads(response.body), response.headers)

    async def get(self, path: str, **query: str) -> Answer:
        return await self.send("GET", path, **query)

    async def create(self, path: str, body: Any, **query: str) -> Answer:
        return await self.send("POST", path, body, **query)

    async def patch(self, path: str, body: Any, type_: str = MERGE, **query: str) -> Answer:
        return await self.send("PATCH", path, body, type_, **query)

    async def delete(self, path: str, body: Any = None, **query: str) -> Answer:
        return await self.send("DELETE", path, body, **query)


def pod(name: str, *, labels: Mapping[str, str] | None = None, cpu: str = "1", **spec: Any) -> dict[str, Any]:
    annotations = spec.pop("annotations", {})
    container = {"name": "main", "image": "image:1", "resources": {"requests": {"cpu": cpu}}}
    metadata = {"name": name, "labels": dict(labels or {}), "annotations": annotations}
    return {"metadata": metadata, "spec": {"containers": [container], **spec}}


def config_map(name: str, **metadata: Any) -> dict[str, Any]:
    return {"metadata": {"name": name, **metadata}, "data": {"a": "1"}}


def owned_by(owner: Mapping[str, Any], *, blocks: bool = True) -> list[dict[str, Any]]:
    metadata = owner["metadata"]
    identity = {
        "apiVersion": owner["apiVersion"],
        "kind": owner["kind"],
        "name": metadata["name"],
        "uid": metadata["uid"],
    }
    return [{**identity, "controller": True, "blockOwnerDeletion": blocks}]
