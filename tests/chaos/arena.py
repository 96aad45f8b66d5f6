"""Where it happens: the control plane, the controllers, the proxy between them, and hands that try again."""

from __future__ import annotations

import http.client
import json
import random
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from controller_process import install
from controlplane import ControlPlane, ControlPlaneError
from controlplane.rest import RestError
from user import PATHS, User

from chaos.fault_proxy import FaultProxy
from chaos.fleet import Fleet
from chaos.webhook import Webhook

CRDS = Path(__file__).parents[2] / "manifests" / "crd"
NAMESPACE = "chaos"
PATIENCE = 90.0
MERGE_PATCH = "application/merge-patch+json"
T = TypeVar("T")


class Arena:
    """Everything is of the one namespace, but for what says otherwise."""

    def __init__(self, control_plane: ControlPlane, seed: int) -> None:
        install(control_plane, CRDS)
        control_plane.create_namespace(NAMESPACE)
        self.control_plane = control_plane
        self.random = random.Random(seed)
        self.proxy = FaultProxy(control_plane.server, control_plane.layout.authority, random.Random(seed))
        self.fleet = Fleet(control_plane, self.proxy)
        self.webhook = Webhook(self.proxy)
        self.user = User(control_plane, NAMESPACE)
        for resource in ("pods", "services", "modelinfers"):
            self.user.watch(resource)

    def close(self) -> None:
        self.user.close()
        self.fleet.end()
        self.proxy.close()

    def sleep(self, seconds: float) -> None:
        """Controllers that end meanwhile are started again."""
        deadline = time.monotonic() + seconds
        while True:
            self.fleet.keep_running()
            left = deadline - time.monotonic()
            if left <= 0:
                return
            time.sleep(min(0.05, left))

    def until(self, look: Callable[[], object], what: str, timeout: float = PATIENCE) -> None:
        deadline = time.monotonic() + timeout
        while not look():
            assert time.monotonic() < deadline, f"not within {timeout:g} s: {what}"
            self.sleep(0.1)

    # -- what the user and the administrator do -----------------------------------------------------------------------

    def insist(self, attempt: Callable[[], T]) -> T:
        """The server may be away: again, until it is not."""
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                return attempt()
            except (OSError, http.client.HTTPException, ControlPlaneError, RestError) as error:
                if isinstance(error, RestError) and error.status in (400, 403, 404, 409, 422):
                    raise
                if time.monotonic() > deadline:
                    raise
                self.sleep(0.2)

    def request(
        self, method: str, path: str, body: Mapping[str, Any] | list[Any] | None = None, type_: str = ""
    ) -> Any:
        """The decoded answer. Raises RestError where the server refuses."""
        encoded = None if body is None else json.dumps(body).encode()

        def attempt() -> Any:
            client = self.control_plane.rest()
            try:
                return json.loads(client.request(method, path, encoded, type_ or "application/json"))
            finally:
                client.close()

        return self.insist(attempt)

    def create(self, path: str, body: Mapping[str, Any]) -> None:
        """Or it is there: an answer that was lost does not say so."""
        try:
            self.request("POST", path, body)
        except RestError as error:
            if error.status != http.client.CONFLICT:
                raise

    def delete(self, path: str) -> None:
        try:
            self.request("DELETE", path)
        except RestError as error:
            if error.status != http.client.NOT_FOUND:
                raise

    def patch(self, path: str, body: Mapping[str, Any]) -> None:
        """A merge patch."""
        self.request("PATCH", path, body, MERGE_PATCH)

    def path(self, resource: str, name: str = "", namespace: str = NAMESPACE) -> str:
        return PATHS[resource].format(namespace) + (f"/{name}" if name else "")

    def catch_up(self) -> None:
        for resource in ("modelinfers", "services", "pods"):
            self.insist(self.user.watch(resource).catch_up)
