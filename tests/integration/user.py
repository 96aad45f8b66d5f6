"""A user of one namespace: does things with kubectl, and watches what becomes of them."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from controlplane import ControlPlane
from models import DOMAIN
from watched import Access, Object, Watched, wait_for

T = TypeVar("T")
PATHS = {
    "pods": "/api/v1/namespaces/{}/pods",
    "services": "/api/v1/namespaces/{}/services",
    "poddisruptionbudgets": "/apis/policy/v1/namespaces/{}/poddisruptionbudgets",
    "events": "/api/v1/namespaces/{}/events",
    "controllerrevisions": "/apis/apps/v1/namespaces/{}/controllerrevisions",
    "modelinfers": "/apis/workload.volcano.sh/v1alpha1/namespaces/{}/modelinfers",
}
TIMEOUT = 60.0


class User:
    """Everything is of the one namespace. What it watches it watches from the first mention on."""

    def __init__(self, control_plane: ControlPlane, namespace: str) -> None:
        self.control_plane = control_plane
        self.namespace = namespace
        self._access = Access(control_plane.kubeconfig)
        self._news = threading.Condition()
        self._watched: dict[str, Watched] = {}

    def close(self) -> None:
        for watched in self._watched.values():
            watched.stop()

    # What the user does.

    def kubectl(self, *arguments: str, input: str | None = None) -> str:
        """Returns when what is watched shows what kubectl did."""
        said = self.control_plane.kubectl(f"--namespace={self.namespace}", *arguments, input=input)
        if arguments[0] not in ("get", "wait"):
            self._catch_up()
        return said

    def _catch_up(self) -> None:
        """Several watches are not in step: what one shows, another may yet lack."""
        for watched in self._watched.values():
            watched.catch_up()

    def apply(self, manifest: Mapping[str, Any]) -> None:
        """Applies, and watches from before on."""
        for resource in ("pods", "modelinfers"):
            self.watch(resource)
        self.kubectl("apply", "--server-side", "--force-conflicts", "-f-", input=json.dumps(manifest))

    def patch(self, name: str, spec: Mapping[str, Any]) -> None:
        """A merge patch of the spec of a ModelInfer."""
        self.kubectl("patch", "modelinfer", name, "--type=merge", f"--patch={json.dumps({'spec': spec})}")

    def delete_pods(self, *names: str) -> None:
        self.kubectl("delete", "pods", *names, "--wait=false")

    def annotate_pods(self, *names: str, **annotations: str) -> None:
        """annotate_pods("pod", fail_after="0s") makes the simulated kubelet let it fail now."""
        keys = [f"kwok.stage/{key.replace('_', '-')}={value}" for key, value in annotations.items()]
        self.kubectl("annotate", "pods", *names, *keys)

    # What the user sees.

    def watch(self, resource: str) -> Watched:
        if resource not in self._watched:
            self._watched[resource] = Watched(self._access, PATHS[resource].format(self.namespace), self._news)
        return self._watched[resource]

    @property
    def pods(self) -> dict[str, Object]:
        return dict(self.watch("pods").by_name)

    @property
    def services(self) -> dict[str, Object]:
        return dict(self.watch("services").by_name)

    @property
    def revisions(self) -> dict[str, Object]:
        return dict(self.watch("controllerrevisions").by_name)

    @property
    def uids(self) -> dict[str, str]:
        return {name: found["metadata"]["uid"] for name, found in self.pods.items()}

    def model(self, name: str) -> Object:
        return self.watch("modelinfers").by_name[name]

    def status(self, name: str) -> Any:
        return self.watch("modelinfers").by_name.get(name, {}).get("status", {})

    def condition(self, name: str, type_: str) -> Any:
        """The condition, or {}."""
        found = [one for one in self.status(name).get("conditions", []) if one["type"] == type_]
        return found[0] if found else {}

    def events(self, reason: str) -> list[str]:
        """The messages of the Events about ModelInfers with this reason, oldest first."""
        return [event["message"] for event in self._events(reason)]

    def event_counts(self, reason: str) -> dict[str, int]:
        """How often each message was told."""
        return {event["message"]: (event.get("series") or event).get("count", 1) for event in self._events(reason)}

    def _events(self, reason: str) -> list[Object]:
        events = self.watch("events").by_name.values()
        found = [one for one in events if one["reason"] == reason and one["involvedObject"]["kind"] == "ModelInfer"]
        return sorted(found, key=lambda event: int(event["metadata"]["resourceVersion"]))

    # What the user waits for.

    def wait(self, look: Callable[[], T], what: str, timeout: float = TIMEOUT) -> T:
        """What `look` returns as soon as that is true. `what` says for people what it was to be."""
        return wait_for(self._news, look, timeout, lambda: f"not within {timeout:g} s: {what}\n{self._describe()}")

    def wait_settled(self, *names: str, timeout: float = TIMEOUT) -> None:
        """Until the status says of the newest spec that everything is as specified."""
        self.watch("modelinfers")
        self.wait(lambda: all(map(self.is_settled, names)), f"{', '.join(names)} settled", timeout)
        self._catch_up()

    def is_settled(self, name: str) -> bool:
        model = self.watch("modelinfers").by_name.get(name)
        if model is None or model.get("status", {}).get("observedGeneration") != model["metadata"]["generation"]:
            return False
        found = {one["type"]: one["status"] for one in model["status"].get("conditions", [])}
        return found.items() >= {"Available": "True", "Progressing": "False", "UpdateInProgress": "False"}.items()

    def wait_rebuilt(self, before: Mapping[str, str], expected: set[str], *names: str) -> None:
        """Until exactly the expected pods have been replaced and all is as specified; `before` are their old UIDs."""
        self.wait(
            lambda: self._replaced(before) >= expected and self._all_ready() and all(map(self.is_settled, names)),
            f"rebuilt: {sorted(expected)}; replaced are {sorted(self._replaced(before))}",
        )
        self._catch_up()
        assert self._replaced(before) == expected
        assert self.uids.keys() == before.keys()

    def _replaced(self, before: Mapping[str, str]) -> set[str]:
        return {name for name, uid in self.uids.items() if before.get(name) != uid}

    def _all_ready(self) -> bool:
        return all(map(is_ready, self.watch("pods").by_name.values()))

    def _describe(self) -> str:
        """For the message of a failed wait; it is called with the lock on what is watched."""
        lines = [
            f"{pod['metadata']['name']} {pod['status'].get('phase')} {'ready ' if is_ready(pod) else ''}"
            f"{'terminating ' if 'deletionTimestamp' in pod['metadata'] else ''}"
            f"revision {pod['metadata'].get('labels', {}).get(f'{DOMAIN}/revision')} uid {pod['metadata']['uid']}"
            for pod in self._seen("pods")
        ]
        statuses = [json.dumps(model.get("status"), indent=1) for model in self._seen("modelinfers")]
        events = [f"{one['reason']}: {one['message']}" for one in self._seen("events")]
        return "\n".join([*lines, *statuses, *events])

    def _seen(self, resource: str) -> list[Object]:
        return list(self._watched[resource].by_name.values()) if resource in self._watched else []


def is_ready(pod: Object) -> bool:
    """Ready in the sense of the contract: not terminating, Running, condition Ready=True."""
    conditions = {one["type"]: one["status"] for one in pod["status"].get("conditions", [])}
    alive = "deletionTimestamp" not in pod["metadata"]
    return alive and pod["status"].get("phase") == "Running" and conditions.get("Ready") == "True"


def label(pod: Object, key: str) -> str:
    return str(pod["metadata"].get("labels", {}).get(f"{DOMAIN}/{key}", ""))
