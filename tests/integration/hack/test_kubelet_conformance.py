"""The pods of hack/cluster's simulated nodes say what a real kubelet said in the same state (tests/e2e/fixtures)."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from controlplane import ControlPlane
from kubelet_statuses import SCRIPTS, annotations, fixture, shape


@pytest.mark.parametrize("name", SCRIPTS)
def test_simulated_pods_say_what_a_real_kubelet_says(control_plane: ControlPlane, namespace: str, name: str) -> None:
    script = SCRIPTS[name]

    def kubectl(*arguments: str, input: str | None = None) -> str:
        return control_plane.kubectl(f"--namespace={namespace}", *arguments, input=input)

    def seen() -> Any:
        return shape(json.loads(kubectl("get", "pod", name, "-o", "json"))["status"])

    kubectl("create", "-f-", input=json.dumps({"apiVersion": "v1", "kind": "Pod", **script.pod(name)}))
    if script.then:
        kubectl("wait", f"pod/{name}", "--for=condition=Ready", "--timeout=15s")
        kubectl("annotate", "pod", name, *(f"{key}={value}" for key, value in annotations(script.then).items()))
    deadline = time.monotonic() + 15
    while seen() != shape(fixture(name)) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert seen() == shape(fixture(name))
