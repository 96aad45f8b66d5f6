"""The component kube-state-metrics, in that program itself, with the rights that the component grants and no others."""

from __future__ import annotations

import http.client
import re
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest
import yaml
from controlplane import ControlPlane
from controlplane.processes import free_ports, spawn
from controlplane.tools import KUBE_STATE_METRICS, ensure_module
from models import model
from user import User

COMPONENT = Path(__file__).parents[2] / "manifests" / "components" / "kube-state-metrics"
NAMESPACE, ACCOUNT = "default", "kube-state-metrics"
SAMPLE = re.compile(r"kube_modelinfer_(\w+)\{(.*)\} (\S+)")
LABEL = re.compile(r'(\w+)="([^"]*)"')
Samples = Mapping[tuple[str, str], float]


@pytest.fixture(scope="module")
def port(managed_control_plane: ControlPlane) -> Iterator[int]:
    cluster = managed_control_plane
    cluster.kubectl("apply", "-f", str(COMPONENT / "rbac.yaml"))
    cluster.kubectl(f"--namespace={NAMESPACE}", "create", "serviceaccount", ACCOUNT)
    role = "--clusterrole=modelinfer-kube-state-metrics"
    cluster.kubectl("create", "clusterrolebinding", ACCOUNT, role, f"--serviceaccount={NAMESPACE}:{ACCOUNT}")
    port, own = free_ports(2)
    process = spawn(
        [
            str(ensure_module(KUBE_STATE_METRICS)["kube-state-metrics"]),
            f"--kubeconfig={cluster.service_account_kubeconfig(NAMESPACE, ACCOUNT)}",
            "--custom-resource-state-only",
            f"--custom-resource-state-config-file={COMPONENT / 'config.yaml'}",
            *("--host=127.0.0.1", f"--port={port}", "--telemetry-host=127.0.0.1", f"--telemetry-port={own}"),
        ],
        cluster.logs / "kube-state-metrics.log",
    )
    yield port
    process.kill()
    process.wait()


def scrape(port: int) -> str:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", "/metrics")
        return connection.getresponse().read().decode()
    except ConnectionError:
        return ""
    finally:
        connection.close()


def samples(port: int, namespace: str) -> Samples:
    """By (metric, type of the condition or "") of the ModelInfers of a namespace."""
    found = {}
    for name, text, value in SAMPLE.findall(scrape(port)):
        labels = dict(LABEL.findall(text))
        if labels["namespace"] == namespace and labels["modelinfer"] == "mi":
            found[name, labels.get("type", "")] = float(value)
    return found


def eventually(look: Callable[[], Samples], holds: Callable[[Samples], bool]) -> Samples:
    deadline = time.monotonic() + 60
    while not holds(seen := look()):
        assert time.monotonic() < deadline, seen
        time.sleep(0.2)
    return seen


def test_what_it_shows_is_what_the_object_says(user: User, port: int) -> None:
    user.apply(model("mi", replicas=2, paused=True))
    user.wait_settled("mi")
    shown = eventually(
        lambda: samples(port, user.namespace), lambda seen: seen.get(("status_condition", "Available")) == 1
    )
    wanted = {
        one["name"]
        for one in yaml.safe_load((COMPONENT / "config.yaml").read_text())["spec"]["resources"][0]["metrics"]
    }
    assert {name for name, _ in shown} == wanted
    assert shown["spec_replicas", ""] == shown["status_available_replicas", ""] == 2
    assert (shown["spec_paused", ""], shown["spec_suspend", ""]) == (1, 0)
    assert shown["status_condition", "UpdateInProgress"] == 0

    user.kubectl("delete", "modelinfer", "mi")
    assert eventually(lambda: samples(port, user.namespace), lambda seen: not seen) == {}
