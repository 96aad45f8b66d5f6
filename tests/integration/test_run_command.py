"""`modelinfer-controller run` on a real cluster: how it starts, how it ends, and what it says when it cannot."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from controller_process import COMMAND, wait_until_served
from controlplane import ControlPlane, Settings
from controlplane.processes import free_ports, spawn
from models import model
from running_command import PATIENCE, SYSTEM, RunningCommand
from tcp_proxy import TcpProxy
from user import User

MANIFESTS = Path(__file__).parents[2] / "manifests"


@pytest.fixture(scope="module")
def bare() -> Iterator[ControlPlane]:
    """A cluster without the CRD."""
    with ControlPlane.start(Settings(nodes=1)) as control_plane:
        yield control_plane


@pytest.fixture(scope="module")
def ready(bare: ControlPlane) -> ControlPlane:
    """The same, once it is made ready as the documentation says. Tests that need it bare come before."""
    bare.kubectl("apply", "-f", str(MANIFESTS / "crd"))
    wait_until_served(bare)
    bare.kubectl("apply", "-k", str(MANIFESTS / "rbac"))
    return bare


def token_of(kubeconfig: Path) -> str:
    return str(yaml.safe_load(kubeconfig.read_text())["users"][0]["user"]["token"])


def failed(*arguments: str) -> tuple[int, str]:
    """The exit code, and the one line beside the log."""
    done = subprocess.run([str(COMMAND), "run", *arguments], capture_output=True, text=True, timeout=30, check=False)
    lines = [line for line in done.stderr.splitlines() if not line.startswith("{")]
    assert len(lines) == 1, done.stderr
    return done.returncode, lines[0]


def test_without_the_crd_it_says_how_to_install_it(bare: ControlPlane) -> None:
    code, line = failed(f"--kubeconfig={bare.kubeconfig}")
    assert code == 5
    assert "modelinfers.workload.volcano.sh is not installed: `kubectl apply -f manifests/crd` installs it" in line


def test_what_is_forbidden_is_named(ready: ControlPlane) -> None:
    kubeconfig = ready.service_account_kubeconfig("default", "default")
    code, line = failed(f"--kubeconfig={kubeconfig}", "--namespace=team-a")
    assert code == 4
    assert "forbidden: may not list modelinfers.workload.volcano.sh in namespace team-a" in line
    assert "`kubectl apply -k manifests/rbac` grants what is needed" in line


def test_credentials_that_are_not_accepted(ready: ControlPlane, tmp_path: Path) -> None:
    kubeconfig = tmp_path / "kubeconfig"
    kubeconfig.write_text(ready.kubeconfig.read_text().replace(token_of(ready.kubeconfig), "wrong"))
    code, line = failed(f"--kubeconfig={kubeconfig}")
    assert code == 4
    assert "unauthorized" in line


def test_a_cluster_where_nobody_answers(ready: ControlPlane, tmp_path: Path) -> None:
    kubeconfig = tmp_path / "kubeconfig"
    port = free_ports(1)[0]
    kubeconfig.write_text(ready.kubeconfig.read_text().replace(ready.server, f"https://127.0.0.1:{port}"))
    code, line = failed(f"--kubeconfig={kubeconfig}")
    assert code == 3
    assert "no cluster: nobody answers" in line
    assert f"127.0.0.1:{port}" in line


def test_it_can_be_stopped_while_the_cluster_keeps_it_waiting(ready: ControlPlane, tmp_path: Path) -> None:
    kubeconfig = tmp_path / "kubeconfig"
    with TcpProxy(int(ready.server.rpartition(":")[2])) as proxy:
        proxy.cut()
        kubeconfig.write_text(ready.kubeconfig.read_text().replace(ready.server, f"https://127.0.0.1:{proxy.port}"))
        process = spawn([str(COMMAND), "run", f"--kubeconfig={kubeconfig}"], tmp_path / "log")
        deadline = time.monotonic() + PATIENCE
        while "Starting" not in (tmp_path / "log").read_text():
            assert time.monotonic() < deadline
            time.sleep(0.02)
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=5) == 0


def test_an_address_that_is_taken(ready: ControlPlane) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        code, line = failed(f"--kubeconfig={ready.kubeconfig}", f"--metrics-bind-address={address}")
    assert code == 2
    assert f"cannot listen on {address}" in line


@pytest.fixture
def command(ready: ControlPlane) -> Iterator[RunningCommand]:
    running = RunningCommand(ready)
    yield running
    running.end()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_stops_cleanly_when_asked(command: RunningCommand, number: signal.Signals) -> None:
    code, seconds = command.stop(number)
    assert code == 0
    assert seconds < 3.0
    events = [json.loads(line)["event"] for line in command.log.splitlines()]
    assert events[0] == "Starting"
    assert events[-3:] == ["Signal received", "Stopping", "Stopped"]
    assert not [line for line in command.log.splitlines() if json.loads(line)["level"] in ("warning", "error")]


def test_it_answers_probes_and_shows_metrics(command: RunningCommand) -> None:
    assert command.get("/healthz") == (200, "[+]leader-election ok\nok\n")
    assert command.get("/readyz") == (200, "[+]caches ok\n[+]process ok\nok\n")
    status, metrics = command.get("/metrics")
    assert status == 200
    for name in (
        'workqueue_depth{name="modelinfer"}',
        "rest_client_requests_total{",
        "process_cpu_seconds_total",
        'modelinfer_informer_staleness_seconds{resource="pods"}',
    ):
        assert f"\n{name}" in metrics
    assert command.get("/nothing")[0] == 404


def test_it_prints_its_settings_and_no_secret(command: RunningCommand, ready: ControlPlane) -> None:
    first = json.loads(command.log.splitlines()[0])
    assert first["settings"]["metrics-bind-address"] == f"127.0.0.1:{command.port}"
    token = token_of(ready.layout.kubeconfig_of(f"{SYSTEM}.modelinfer-controller"))
    assert [part for part in token.split(".") if part in command.log] == []


def test_events_are_about_the_model_infer(command: RunningCommand, ready: ControlPlane) -> None:
    ready.create_namespace("events")
    user = User(ready, "events")
    foreign = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "mi-0-decode-0-0"},
        "spec": {"containers": [{"name": "main", "image": "image"}]},
    }
    try:
        user.kubectl("create", "-f-", input=json.dumps(foreign))
        user.watch("events")
        user.apply(model("mi"))
        told = user.wait(
            lambda: [e for e in user.watch("events").by_name.values() if e["involvedObject"]["kind"] == "ModelInfer"],
            "an Event about the ModelInfer",
        )
        about = told[0]["involvedObject"]
        assert about["apiVersion"] == "workload.volcano.sh/v1alpha1"
        assert about["uid"] == user.model("mi")["metadata"]["uid"]
        assert told[0]["source"]["component"] == "modelinfer-controller"
        assert told[0]["message"] in user.kubectl("describe", "modelinfer", "mi")
    finally:
        user.close()


def test_it_outlives_the_api_servers_restart(command: RunningCommand, ready: ControlPlane) -> None:
    ready.create_namespace("restart")
    ready.kill("kube-apiserver")
    deadline = time.monotonic() + 60
    while True:
        try:
            ready.kubectl("get", "--raw=/readyz")
            break
        except Exception:  # noqa: BLE001 # whatever it is, it is shown
            assert time.monotonic() < deadline
            time.sleep(0.2)
    user = User(ready, "restart")
    try:
        user.apply(model("mi", replicas=2))
        user.wait_settled("mi")
    finally:
        user.close()
    assert command.process.poll() is None


def test_a_crd_that_is_taken_away_ends_it(command: RunningCommand, ready: ControlPlane) -> None:
    ready.kubectl("delete", "crd", "modelinfers.workload.volcano.sh")
    assert command.process.wait(timeout=30) == 5
    assert "`kubectl apply -f manifests/crd` installs it" in command.log.splitlines()[-1]
