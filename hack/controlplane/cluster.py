"""ControlPlane: start one, use it, stop it."""

from __future__ import annotations

import http.client
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from controlplane import credentials
from controlplane.audit import AuditEvent, read_events
from controlplane.cache import clusters_folder, locked
from controlplane.components import Layout
from controlplane.kubectl import find_kubectl
from controlplane.nodes import node, node_capacity
from controlplane.processes import is_locked, lock_file
from controlplane.real.debian import ensure_packages
from controlplane.real.init import ctr_command, read_node_state
from controlplane.real.namespaces import first_process, in_node, machine_pid
from controlplane.real.requirements import check_machine
from controlplane.real.site import cut_power, off_mark, remove_left_over
from controlplane.rest import RestClient, RestError
from controlplane.settings import Settings
from controlplane.state import State, read_state
from controlplane.tools import ensure_binaries

_ENTRY = Path(__file__).resolve().parents[1] / "cluster"
_START_TIMEOUT = 90.0
_STOP_TIMEOUT = 30.0
_NODE_TIMEOUT = 30.0


class ControlPlaneError(Exception):
    """A control plane could not be started, found or used; the message says what to do."""


@dataclass(frozen=True)
class Listed:
    """A cluster's folder: its name, and whether a supervisor is at work in it."""

    name: str
    state: State | None
    alive: bool


class ControlPlane:
    """A running control plane.

        with ControlPlane.start(Settings(nodes=10)) as control_plane:
            control_plane.kubectl("get", "nodes")

    One started with `owned` (the default) ends with this process, however this process ends, and leaves nothing; one
    that is not goes on until `stop`.
    """

    def __init__(self, name: str, supervisor: subprocess.Popen[bytes] | None = None) -> None:
        self.name = name
        self.layout = Layout(clusters_folder() / name)
        self._supervisor = supervisor

    @classmethod
    def start(cls, settings: Settings | None = None, *, name: str | None = None, owned: bool = True) -> ControlPlane:
        """Start a control plane and return when it is ready: its nodes are, and pods can be created in `default`.

        Builds the binaries first where they are missing, which takes minutes. Raises ControlPlaneError, with the end of
        the log of what failed, tools.BuildError, and for real nodes MachineUnfit and PackagesMissing.
        """
        settings = settings or Settings()
        if settings.real_nodes:
            check_machine()
        packages = ensure_packages() if settings.real_nodes else None
        binaries = ensure_binaries(volcano=settings.volcano, real_nodes=settings.real_nodes > 0)
        name = name or f"own-{os.getpid()}-{time.monotonic_ns()}"
        layout = Layout(clusters_folder() / name)
        with locked(clusters_folder() / ".lock"):
            _make_way(layout, name)
            layout.logs.mkdir(parents=True)
            lock = lock_file(layout.lock)
        layout.settings.write_text(settings.to_json())
        arguments = [f"{binary}={path}" for binary, path in binaries.path_by_name.items()]
        if binaries.volcano_crds is not None:
            arguments.append(f"--volcano-crds={binaries.volcano_crds}")
        if packages is not None:
            arguments.append(f"--packages={packages.root}")
        with layout.log_of("supervisor").open("wb") as log:
            supervisor = subprocess.Popen(
                [sys.executable, _ENTRY, "supervise", *(["--owned"] if owned else []), str(layout.folder), *arguments],
                stdin=subprocess.PIPE if owned else subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=[lock],
                start_new_session=True,
            )
        os.close(lock)
        control_plane = cls(name, supervisor)
        control_plane._wait_until_ready(supervisor, owned=owned)
        return control_plane

    @classmethod
    def attach(cls, name: str) -> ControlPlane:
        """The running control plane of this name. Raises ControlPlaneError if there is none."""
        control_plane = cls(name)
        if not is_locked(control_plane.layout.lock):
            raise ControlPlaneError(f"no cluster {name!r} is running: start it with `hack/cluster up --name {name}`")
        return control_plane

    def __enter__(self) -> ControlPlane:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def kubeconfig(self) -> Path:
        """The administrator's kubeconfig (user cluster-admin, group system:masters)."""
        return self.layout.kubeconfig

    @property
    def logs(self) -> Path:
        """The folder with one log for each component, and the audit log."""
        return self.layout.logs

    @property
    def settings(self) -> Settings:
        return Settings.from_json(self.layout.settings.read_text())

    @property
    def state(self) -> State:
        state = read_state(self.layout.state)
        if state is None:
            raise ControlPlaneError(f"the cluster {self.name!r} is not running")
        return state

    @property
    def server(self) -> str:
        """The URL of kube-apiserver."""
        return self.state.server

    def kubectl(self, *arguments: str, input: str | None = None, timeout: float = 120.0) -> str:
        """What kubectl prints on stdout. Raises ControlPlaneError with what it prints on stderr when it fails."""
        command = [str(find_kubectl()), f"--kubeconfig={self.kubeconfig}", *arguments]
        done = subprocess.run(command, input=input, capture_output=True, text=True, timeout=timeout, check=False)
        if done.returncode != 0:
            raise ControlPlaneError(f"kubectl {' '.join(arguments)}: {done.stderr.strip() or done.stdout.strip()}")
        return done.stdout

    def rest(self) -> RestClient:
        """A client of the API server with all rights. The caller closes it."""
        return RestClient(self.server, self.layout.authority, self._admin_token())

    def add_node(
        self,
        name: str,
        *,
        zone: str = "zone-a",
        capacity: Mapping[str, str] | None = None,
        labels: Mapping[str, str] | None = None,
    ) -> None:
        """Add a simulated node; `capacity` changes single resources of what the cluster's settings give a node."""
        whole = {**node_capacity(self.settings), **(capacity or {})}
        self._once(lambda client: client.post("/api/v1/nodes", node(name, zone=zone, capacity=whole, labels=labels)))

    def create_namespace(self, name: str) -> None:
        """Create a namespace, and wait for its default ServiceAccount, without which the server refuses pods."""
        self._once(lambda client: _create_namespace(client, name))

    def delete_node(self, name: str) -> None:
        self._once(lambda client: client.delete(f"/api/v1/nodes/{name}"))

    def service_account_kubeconfig(self, namespace: str, name: str) -> Path:
        """A kubeconfig, in the cluster's folder, with a new token of an existing ServiceAccount, valid for an hour."""
        path = f"/api/v1/namespaces/{namespace}/serviceaccounts/{name}/token"
        answer = self._once(lambda client: client.post(path, {"spec": {"expirationSeconds": 3600}}))
        kubeconfig = self.layout.kubeconfig_of(f"{namespace}.{name}")
        token = answer["status"]["token"]
        kubeconfig.write_text(credentials.kubeconfig(self.server, self.layout.authority, token, name))
        return kubeconfig

    def audit_position(self) -> int:
        """Where the audit log ends now, for `audit_events`."""
        return self.layout.audit_log.stat().st_size

    def audit_events(self, since: int = 0) -> list[AuditEvent]:
        """The answered requests after an `audit_position`, oldest first.

        The log is written as a request ends: one that has just been answered may be missing for a few milliseconds.
        """
        return read_events(self.layout.audit_log, since)

    def pause(self, component: str) -> None:
        """Freeze a component (SIGSTOP), such as kube-scheduler, or a real node's program, such as real-0/kubelet."""
        os.kill(self._pid_of(component), signal.SIGSTOP)

    def resume(self, component: str) -> None:
        os.kill(self._pid_of(component), signal.SIGCONT)

    def kill(self, component: str) -> None:
        """Kill a component (SIGKILL). It is started again at once, kube-apiserver on the same port."""
        os.kill(self._pid_of(component), signal.SIGKILL)

    def load(self, archive: Path) -> None:
        """Import a container image (an OCI or Docker archive) into every real node that has power."""
        environment = ensure_packages().environment()
        for name in self._real_nodes():
            command = [*in_node(self._init(name)), *ctr_command("images", "import", "-")]
            with archive.open("rb") as content:
                done = subprocess.run(command, stdin=content, env=environment, capture_output=True, check=False)
            if done.returncode != 0:
                raise ControlPlaneError(f"{archive} could not be imported into {name}: {done.stderr.decode().strip()}")

    def power_off(self, node: str) -> None:
        """Cut a real node's power: all of its processes are killed at once. Its disk stays."""
        folder = self._node_folder(node)
        off_mark(folder).touch()
        holder = self.state.pid_by_component.get(node)
        if holder is not None:
            cut_power(holder)
        self._until(lambda: node not in self.state.pid_by_component, f"{node} still has power")

    def power_on(self, node: str) -> None:
        """Give a real node its power back, and return when its programs run."""
        folder = self._node_folder(node)
        off_mark(folder).unlink(missing_ok=True)
        self._until(
            lambda: node in self.state.pid_by_component and read_node_state(folder).running, f"{node} does not start"
        )

    def stop(self) -> None:
        """Kill every component and remove the cluster's folder. Returns when nothing is left."""
        deadline = time.monotonic() + _STOP_TIMEOUT
        while is_locked(self.layout.lock):
            state = read_state(self.layout.state)
            late = time.monotonic() > deadline
            if state is not None:
                _signal(state.pid_by_component["supervisor"], signal.SIGKILL if late else signal.SIGTERM)
            elif late:
                raise ControlPlaneError(f"the cluster {self.name!r} does not stop; its folder is {self.layout.folder}")
            time.sleep(0.05)
        if self._supervisor is not None:
            if self._supervisor.stdin is not None:
                self._supervisor.stdin.close()
            self._supervisor.wait()
        remove_left_over(self.layout)
        shutil.rmtree(self.layout.folder, ignore_errors=True)

    def _pid_of(self, component: str) -> int:
        node, _, program = component.partition("/")
        if not program:
            return self.state.pid_by_component[component]
        inner = read_node_state(self._node_folder(node)).pid_by_program[program]
        pid = machine_pid(self._init(node), inner)
        if pid is None:
            raise ControlPlaneError(f"{program} does not run on {node}")
        return pid

    def _node_folder(self, node: str) -> Path:
        folder = self.layout.nodes / node
        if not folder.is_dir():
            raise ControlPlaneError(f"the cluster {self.name!r} has no real node {node!r}")
        return folder

    def _real_nodes(self) -> list[str]:
        """Those that have power."""
        if not self.layout.nodes.exists():
            raise ControlPlaneError(f"the cluster {self.name!r} has no real nodes: `hack/cluster up --nodes real`")
        return sorted(path.name for path in self.layout.nodes.iterdir() if path.name in self.state.pid_by_component)

    def _init(self, node: str) -> int:
        """The machine's pid of a node's first process."""
        holder = self.state.pid_by_component.get(node)
        if holder is None:
            raise ControlPlaneError(f"{node} has no power")
        return first_process(holder)

    def _until(self, is_so: Callable[[], bool], otherwise: str) -> None:
        deadline = time.monotonic() + _NODE_TIMEOUT
        while not is_so():
            if time.monotonic() > deadline:
                raise ControlPlaneError(f"after {_NODE_TIMEOUT:.0f} s {otherwise}; logs: {self.logs}")
            time.sleep(0.02)

    def _wait_until_ready(self, supervisor: subprocess.Popen[bytes], *, owned: bool) -> None:
        deadline = time.monotonic() + _START_TIMEOUT
        while True:
            state = read_state(self.layout.state)
            if state is not None and state.phase == "ready":
                return
            if supervisor.poll() is not None or time.monotonic() > deadline:
                message = self._failure(state)
                if owned:
                    self.stop()
                raise ControlPlaneError(message)
            time.sleep(0.02)

    def _failure(self, state: State | None) -> str:
        said = state.message if state is not None else "the supervisor did not start"
        logs = sorted(self.layout.logs.glob("*.log"), key=lambda log: log.stat().st_mtime)
        tails = [f"--- {log.name}\n{_tail(log)}" for log in logs if log.stat().st_size]
        return "\n".join([f"the cluster {self.name!r} did not start: {said}", *tails, f"logs: {self.layout.logs}"])

    def _admin_token(self) -> str:
        for line in self.layout.tokens.read_text().splitlines():
            token, user, *_ = line.split(",")
            if user == credentials.ADMIN:
                return token
        raise ControlPlaneError(f"the cluster {self.name!r} has no administrator")

    def _once(self, request: Callable[[RestClient], Any]) -> Any:
        client = self.rest()
        try:
            return request(client)
        finally:
            client.close()


def clusters() -> list[Listed]:
    """Every cluster of this user, alive or left over, by name."""
    folders = sorted(path for path in clusters_folder().glob("*") if path.is_dir())
    layouts = [Layout(folder) for folder in folders]
    return [Listed(each.folder.name, read_state(each.state), is_locked(each.lock)) for each in layouts]


def _create_namespace(client: RestClient, name: str) -> None:
    client.post("/api/v1/namespaces", {"metadata": {"name": name}})
    deadline = time.monotonic() + 10.0
    while True:
        try:
            client.get(f"/api/v1/namespaces/{name}/serviceaccounts/default")
        except RestError as error:
            if error.status != http.client.NOT_FOUND or time.monotonic() > deadline:
                raise
            time.sleep(0.02)
        else:
            return


def _make_way(layout: Layout, name: str) -> None:
    """Remove what a dead cluster of this name left. Raises ControlPlaneError if it is alive."""
    if is_locked(layout.lock):
        raise ControlPlaneError(f"a cluster {name!r} is already running: `hack/cluster down --name {name}` stops it")
    remove_left_over(layout)
    shutil.rmtree(layout.folder, ignore_errors=True)


def _signal(pid: int, number: signal.Signals) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return


def _tail(log: Path, lines: int = 8) -> str:
    return "\n".join(log.read_text(errors="replace").splitlines()[-lines:])
