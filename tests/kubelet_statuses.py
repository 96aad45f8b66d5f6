"""What a real kubelet writes into the status of a pod, as the measure of what the simulated ones write.

tests/e2e/fixtures/ holds statuses that a real kubelet wrote (tests/e2e/test_statuses.py). For each there is a script:
the pod, and the annotations kwok.stage/... that make a simulated kubelet bring it into the same state.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

_FIXTURES = Path(__file__).parent / "e2e" / "fixtures"
# Which other condition there is, a controller does not read: PodReadyToStartContainers is left out.
_CONDITIONS = ("PodScheduled", "Initialized", "ContainersReady", "Ready")


@dataclass(frozen=True)
class Script:
    """`spec` is added to the pod's; `first` are annotations at its creation, `then` those that it gets once ready."""

    first: Mapping[str, str] = field(default_factory=dict)
    then: Mapping[str, str] = field(default_factory=dict)
    spec: Mapping[str, Any] = field(default_factory=dict)

    def pod(self, name: str) -> dict[str, Any]:
        metadata = {"name": name, "annotations": annotations(self.first)}
        return {"metadata": metadata, "spec": {"containers": [{"name": "main", "image": "image:1"}], **self.spec}}


_NEVER = {"restartPolicy": "Never"}
_SIDECAR = {"initContainers": [{"name": "proxy", "image": "image:1", "restartPolicy": "Always"}]}
SCRIPTS = {
    "ready": Script(),
    "unready": Script(then={"unready-after": "0s"}),
    "restarted": Script(then={"restart-after": "0s", "exit-code": "3"}),
    "killed": Script(then={"restart-after": "0s", "exit-code": "137"}),
    "out-of-memory": Script(then={"restart-after": "0s", "exit-code": "137", "reason": "OOMKilled"}),
    "crash-loop": Script(first={"crash-loop": "true", "exit-code": "3"}),
    "failed": Script(then={"fail-after": "0s", "exit-code": "5"}, spec=_NEVER),
    "succeeded": Script(then={"succeed-after": "0s"}, spec=_NEVER),
    "image-pull-error": Script(first={"image-pull-error": "true"}),
    "sidecar-restarted": Script(then={"init-restart-now": "1"}, spec=_SIDECAR),
}
# States of a real pod that no annotation brings about: the back-off of an init container, which a simulated one
# does not wait for, and the last status of a deleted pod, which simulated nodes do not write.
WITHOUT_SCRIPT = {"init-crash-loop", "deleted"}


def annotations(given: Mapping[str, str]) -> dict[str, str]:
    return {f"kwok.stage/{key}": value for key, value in given.items()}


def fixture(name: str) -> Any:
    return json.loads((_FIXTURES / f"{name}.json").read_text())


def fixture_names() -> set[str]:
    return {path.stem for path in _FIXTURES.glob("*.json")}


def shape(status: Mapping[str, Any]) -> dict[str, Any]:
    """What of a status a controller decides by, or tells its user."""
    conditions = {one["type"]: (one["status"], one.get("reason")) for one in status.get("conditions", [])}
    return {
        "phase": status.get("phase"),
        "reason": status.get("reason"),
        "conditions": {type_: conditions.get(type_) for type_ in _CONDITIONS},
        "containers": [_container(each) for each in status.get("containerStatuses", [])],
        "init containers": [_container(each) for each in status.get("initContainerStatuses", [])],
    }


def _container(status: Mapping[str, Any]) -> dict[str, Any]:
    plain = {key: status.get(key) for key in ("name", "ready", "started", "restartCount")}
    return {**plain, "state": _state(status.get("state")), "last state": _state(status.get("lastState"))}


def _state(state: Mapping[str, Any] | None) -> dict[str, Any]:
    """The times are left out, but for whether they are there."""
    return {
        kind: {
            **{key: value for key, value in details.items() if key in ("reason", "exitCode")},
            "times": sorted(key for key in details if key.endswith("At") and details[key]),
        }
        for kind, details in (state or {}).items()
    }
