"""A control plane comes up whole, and nothing of it stays."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from controlplane import ControlPlane, ControlPlaneError, Settings
from controlplane.cluster import clusters

REPOSITORY = Path(__file__).parents[3]
CLUSTER = REPOSITORY / "hack" / "cluster"

CONFIG_MAP = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "counted"}}


def eventually(is_so: Callable[[], bool], seconds: float = 10.0) -> bool:
    deadline = time.monotonic() + seconds
    while not is_so():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def is_alive(pid: int) -> bool:
    """A process that has ended but was not reaped by its parent is not alive."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_nodes_are_spread_over_zones(control_plane: ControlPlane) -> None:
    nodes = json.loads(control_plane.kubectl("get", "nodes", "-o", "json"))["items"]
    zones = [node["metadata"]["labels"]["topology.kubernetes.io/zone"] for node in nodes if "spec" in node]
    assert {zone: zones.count(zone) for zone in zones} == {"zone-a": 3, "zone-b": 3, "zone-c": 3}


def test_the_server_says_its_version(control_plane: ControlPlane) -> None:
    assert "v1.37." in json.loads(control_plane.kubectl("version", "-o", "json"))["serverVersion"]["gitVersion"]


def test_a_service_account_may_do_what_its_role_says_and_no_more(control_plane: ControlPlane, namespace: str) -> None:
    here = f"--namespace={namespace}"
    control_plane.kubectl(here, "create", "serviceaccount", "reader")
    control_plane.kubectl(here, "create", "role", "reader", "--verb=list", "--resource=pods")
    control_plane.kubectl(
        here, "create", "rolebinding", "reader", "--role=reader", f"--serviceaccount={namespace}:reader"
    )
    kubeconfig = control_plane.service_account_kubeconfig(namespace, "reader")

    def as_reader(*arguments: str) -> str:
        return control_plane.kubectl(f"--kubeconfig={kubeconfig}", here, *arguments)

    assert eventually(lambda: as_reader("auth", "can-i", "list", "pods").strip() == "yes")
    assert as_reader("get", "pods") == ""
    with pytest.raises(ControlPlaneError, match="forbidden"):
        as_reader("get", "secrets")


def test_writes_are_counted_by_user(control_plane: ControlPlane, namespace: str) -> None:
    before = control_plane.audit_position()
    control_plane.kubectl(f"--namespace={namespace}", "create", "-f-", input=json.dumps(CONFIG_MAP))
    control_plane.kubectl(f"--namespace={namespace}", "get", "configmaps")

    def ours() -> list[tuple[str, str, str, int]]:
        events = [
            e for e in control_plane.audit_events(before) if e.namespace == namespace and e.resource == "configmaps"
        ]
        return [(e.verb, e.user, e.name, e.code) for e in events if e.name == "counted"]

    assert eventually(lambda: bool(ours()))
    assert ours() == [("create", "cluster-admin", "counted", 201)]


def test_without_kwok_pods_a_test_can_play_the_kubelet() -> None:
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "pod"}}
    spec = {"containers": [{"name": "main", "image": "image"}]}
    with ControlPlane.start(Settings(nodes=1, kwok_pods=False)) as control_plane:
        control_plane.kubectl("create", "-f-", input=json.dumps({**pod, "spec": spec}))
        control_plane.kubectl("wait", "pod/pod", "--for=condition=PodScheduled", "--timeout=10s")
        control_plane.kubectl("delete", "pod", "pod", "--wait=false")
        left = json.loads(control_plane.kubectl("get", "pod", "pod", "-o", "json"))
        assert "deletionTimestamp" in left["metadata"]
        assert left["status"]["phase"] == "Pending"


def test_a_component_that_dies_is_started_again() -> None:
    with ControlPlane.start(Settings(nodes=1)) as control_plane:
        server = control_plane.server
        control_plane.kill("kube-apiserver")
        with control_plane.logs.joinpath("supervisor.log").open() as log:
            assert eventually(lambda: "kube-apiserver ended with -9" in log.read())
        assert eventually(lambda: _answers(control_plane))
        assert control_plane.server == server


def _answers(control_plane: ControlPlane) -> bool:
    try:
        return control_plane.kubectl("get", "--raw=/readyz") == "ok"
    except ControlPlaneError:
        return False


def test_two_side_by_side_and_nothing_left() -> None:
    with ControlPlane.start(Settings(nodes=1)) as one, ControlPlane.start(Settings(nodes=2)) as other:
        pids = [*one.state.pid_by_component.values(), *other.state.pid_by_component.values()]
        one.kubectl("create", "namespace", "only-here")
        assert "only-here" in one.kubectl("get", "namespaces")
        assert "only-here" not in other.kubectl("get", "namespaces")
        assert all(is_alive(pid) for pid in pids)
    assert not [pid for pid in pids if is_alive(pid)]
    assert not one.layout.folder.exists()
    assert not other.layout.folder.exists()


def test_a_name_is_used_once_at_a_time() -> None:
    with ControlPlane.start(Settings(nodes=0), name="once"):
        with pytest.raises(ControlPlaneError, match="already running"):
            ControlPlane.start(Settings(nodes=0), name="once")
        assert ControlPlane.attach("once").kubectl("get", "--raw=/readyz") == "ok"


@pytest.mark.parametrize("victim", ["owner", "supervisor"])
def test_nothing_runs_on_after_a_kill(victim: str) -> None:
    program = (
        "import signal; from controlplane import ControlPlane, Settings\n"
        "c = ControlPlane.start(Settings(nodes=1)); print(c.name, flush=True); signal.pause()"
    )
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY / "hack")}
    with subprocess.Popen([sys.executable, "-c", program], env=environment, stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout is not None
        control_plane = ControlPlane(owner.stdout.readline().strip())
        pids = control_plane.state.pid_by_component
        os.kill(owner.pid if victim == "owner" else pids["supervisor"], signal.SIGKILL)
        assert eventually(lambda: not any(is_alive(pid) for pid in pids.values()))
        owner.kill()
    if victim == "owner":
        assert eventually(lambda: not control_plane.layout.folder.exists())
    else:
        # Nobody was left to remove the folder: it is listed as dead, and `down` removes it.
        assert [each.alive for each in clusters() if each.name == control_plane.name] == [False]
        control_plane.stop()
        assert not control_plane.layout.folder.exists()


def test_the_commands(tmp_path: Path) -> None:
    environment = os.environ | {"MODELINFER_CLUSTER": f"commands-{os.getpid()}"}

    def run(*arguments: str) -> str:
        done = subprocess.run([CLUSTER, *arguments], env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    try:
        assert "is up after" in run("up", "--nodes", "2")
        assert run("kubectl", "-o", "name", "get", "nodes").split() == ["node/node-0", "node/node-1"]
        assert "current-context" in Path(run("kubeconfig").strip()).read_text()
        assert "ready" in next(line for line in run("list").splitlines() if line.startswith("commands-"))
    finally:
        assert "is down" in run("down", "--keep-logs", str(tmp_path))
    assert list(tmp_path.glob("*/kube-apiserver.log"))
    assert "commands-" not in run("list")
