"""An admission webhook for pods of one namespace that refuses, hangs, or changes what it sees."""

from __future__ import annotations

import asyncio
import base64
import json
from pathlib import Path
from typing import Any, Literal

from aiohttp import web

from chaos.fault_proxy import FaultProxy

Mode = Literal["refuses", "hangs", "mutates"]
TIMEOUT_SECONDS = 2

# What a service mesh does: a container more, a label and an annotation.
_INJECTED = [
    {"op": "add", "path": "/spec/containers/-", "value": {"name": "mesh", "image": "mesh:1"}},
    {"op": "add", "path": "/metadata/labels/mesh", "value": "yes"},
]


class Webhook:
    """Answers on a port of loopback, by its mode at the moment."""

    def __init__(self, proxy: FaultProxy) -> None:
        self.mode: Mode = "mutates"
        self._port = proxy.serve(self._answer)
        self._authority = proxy.authority

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        review = json.loads(await request.read())
        answer: dict[str, Any] = {"uid": review["request"]["uid"], "allowed": self.mode != "refuses"}
        if self.mode == "hangs":
            await asyncio.sleep(TIMEOUT_SECONDS + 5)
        elif self.mode == "refuses":
            answer["status"] = {"code": 403, "message": "chaos refuses it"}
        else:
            answer["patchType"] = "JSONPatch"
            answer["patch"] = base64.b64encode(json.dumps(_INJECTED).encode()).decode()
        return web.json_response({"apiVersion": review["apiVersion"], "kind": "AdmissionReview", "response": answer})

    def configuration(self, name: str, namespace: str) -> dict[str, Any]:
        """A MutatingWebhookConfiguration of that name, for pods that are created in that namespace."""
        pods = {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}
        webhook = {
            "name": "chaos.example.com",
            "clientConfig": {"url": f"https://127.0.0.1:{self._port}/", "caBundle": _encoded(self._authority)},
            "rules": [pods],
            "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}},
            "failurePolicy": "Fail",
            "sideEffects": "None",
            "admissionReviewVersions": ["v1"],
            "timeoutSeconds": TIMEOUT_SECONDS,
        }
        return {
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": "MutatingWebhookConfiguration",
            "metadata": {"name": name},
            "webhooks": [webhook],
        }


def _encoded(path: Path) -> str:
    return base64.b64encode(path.read_bytes()).decode()
