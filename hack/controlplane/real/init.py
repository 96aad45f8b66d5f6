"""The first process of a node: makes the node's file system and network, starts its programs, reaps what is left to it.

It ends when it is killed, and everything in the node with it; that is what a power cut looks like.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import FrameType

from controlplane.real.addresses import SITE, SITE_BITS, NodeIdentity
from controlplane.real.configuration import CNI_CONFIGURATION, CONTAINERD_SOCKET, KUBELET_SYSCTLS

_TIMEOUT = 60.0
_CGROUPS = "/sys/fs/cgroup"
_PRIVATE_FOLDERS = ("var/lib", "var/log")


@dataclass(frozen=True)
class NodePlan:
    """What a node is made of. All paths are the machine's, and absolute.

    `folder` is the node's own; `configuration` holds what `configuration.py` writes; `images` are imported once, at the
    first start. `others` are the indices of the site's other nodes.
    """

    index: int
    others: tuple[int, ...]
    folder: str
    configuration: str
    logs: str
    path_by_program: dict[str, str]
    environment: dict[str, str]
    images: tuple[str, ...]
    kubeconfig: str
    labels: str

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @staticmethod
    def from_json(text: str) -> NodePlan:
        fields = json.loads(text)
        return NodePlan(**{**fields, "others": tuple(fields["others"]), "images": tuple(fields["images"])})


@dataclass
class NodeState:
    """`pid_by_program` holds pids as the node sees them."""

    running: bool = False
    pid_by_program: dict[str, int] = field(default_factory=dict)


def state_file(folder: Path) -> Path:
    return folder / "state.json"


def read_node_state(folder: Path) -> NodeState:
    try:
        return NodeState(**json.loads(state_file(folder).read_text()))
    except FileNotFoundError:
        return NodeState()


def main(plan_file: Path) -> None:
    """Never returns, except by SIGTERM."""
    plan = NodePlan.from_json(plan_file.read_text())
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _end)
    socket.sethostname(NodeIdentity(plan.index).name)
    _make_file_system(plan)
    _make_network(plan)
    _Programs(plan).run()


def _end(number: int, frame: FrameType | None) -> None:
    sys.exit(0)


def _make_file_system(plan: NodePlan) -> None:
    """The machine's files, but for the folders in which programs of a node write, and the kernel's own."""
    folder = Path(plan.folder)
    aside = folder / "cgroups"
    aside.mkdir(exist_ok=True)
    # A fresh sysfs shows this network namespace. The machine's cgroups are put back on it.
    _mount("--rbind", _CGROUPS, str(aside))
    _mount("--types", "sysfs", "sysfs", "/sys")
    _mount("--rbind", str(aside), _CGROUPS)
    subprocess.run(["umount", "--recursive", str(aside)], check=True)
    for path, value in KUBELET_SYSCTLS.items():
        wanted = folder / "sysctls" / path
        wanted.parent.mkdir(parents=True, exist_ok=True)
        wanted.write_text(f"{value}\n")
        _mount("--bind", str(wanted), f"/proc/sys/{path}")
    for path in _PRIVATE_FOLDERS:
        (folder / path).mkdir(parents=True, exist_ok=True)
        _mount("--bind", str(folder / path), f"/{path}")
    _mount("--types", "tmpfs", "tmpfs", "/run")
    # Volumes are mounted here and must appear in containers.
    _mount("--make-rshared", "/")


def _mount(*arguments: str) -> None:
    subprocess.run(["mount", *arguments], check=True)


def _make_network(plan: NodePlan) -> None:
    identity = NodeIdentity(plan.index)
    _wait("eth0", lambda: Path("/sys/class/net/eth0").exists())
    _ip(plan, "link", "set", "lo", "up")
    _ip(plan, "address", "add", f"{identity.address}/{SITE_BITS}", "dev", "eth0")
    _ip(plan, "link", "set", "eth0", "up")
    _ip(plan, "route", "add", "default", "via", SITE)
    for other in map(NodeIdentity, plan.others):
        _ip(plan, "route", "add", other.pods, "via", other.address)
    for name in ("ipv4/ip_forward", "bridge/bridge-nf-call-iptables"):
        setting = Path("/proc/sys/net") / name
        if setting.exists():
            setting.write_text("1")


def _ip(plan: NodePlan, *arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, env=plan.environment)


def _wait(what: str, is_there: Callable[[], bool]) -> None:
    deadline = time.monotonic() + _TIMEOUT
    while not is_there():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what}: not there after {_TIMEOUT:.0f} s")
        time.sleep(0.02)


class _Programs:
    """Starts containerd, then kube-proxy and the kubelet, and starts again one that ends."""

    def __init__(self, plan: NodePlan) -> None:
        self._plan = plan
        self._identity = NodeIdentity(plan.index)
        self._state = NodeState()
        self._command_by_program = self._commands()

    def run(self) -> None:
        cni = Path(CNI_CONFIGURATION)
        cni.mkdir(parents=True, exist_ok=True)
        (cni / "site.conflist").write_text((Path(self._plan.configuration) / "cni.json").read_text())
        self._start("containerd")
        self._import_images()
        # A pod may look for the API server as soon as it runs.
        self._start("kube-proxy")
        self._start("kubelet")
        self._state.running = True
        self._write_state()
        self._reap_for_ever()

    def _commands(self) -> dict[str, tuple[str, ...]]:
        folder, identity = Path(self._plan.configuration), self._identity
        return {
            "containerd": (f"--config={folder / 'containerd.toml'}",),
            "kube-proxy": (f"--config={folder / 'kube-proxy.json'}",),
            "kubelet": (
                f"--config={folder / 'kubelet.json'}",
                f"--kubeconfig={self._plan.kubeconfig}",
                f"--hostname-override={identity.name}",
                f"--node-ip={identity.address}",
                f"--node-labels={self._plan.labels}",
            ),
        }

    def _start(self, program: str) -> None:
        command = (self._plan.path_by_program[program], *self._command_by_program[program])
        with (Path(self._plan.logs) / f"{self._identity.name}.{program}.log").open("ab") as log:
            child = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=self._plan.environment, cwd="/"
            )
        self._state.pid_by_program[program] = child.pid
        # Whoever ends is reaped by _reap_for_ever: Popen must not complain that it was not waited for.
        child.returncode = 0
        self._write_state()

    def _import_images(self) -> None:
        _wait("containerd", lambda: self._ctr("version").returncode == 0)
        known = self._ctr("images", "list", "--quiet").stdout
        if not known:
            for image in self._plan.images:
                done = self._ctr("images", "import", image)
                if done.returncode != 0:
                    raise RuntimeError(f"{image} could not be imported: {done.stderr}")

    def _ctr(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = ctr_command(*arguments)
        return subprocess.run(command, env=self._plan.environment, capture_output=True, text=True, check=False)

    def _reap_for_ever(self) -> None:
        while True:
            pid, status = os.waitpid(-1, 0)
            for program, known in list(self._state.pid_by_program.items()):
                if pid == known:
                    print(f"{program} ended with {os.waitstatus_to_exitcode(status)}", file=sys.stderr, flush=True)
                    time.sleep(0.5)
                    self._start(program)

    def _write_state(self) -> None:
        path = state_file(Path(self._plan.folder))
        aside = path.with_suffix(".new")
        aside.write_text(json.dumps(asdict(self._state)))
        os.replace(aside, path)


def ctr_command(*arguments: str) -> list[str]:
    """containerd's client, in the namespace that the kubelet uses."""
    return ["ctr", f"--address={CONTAINERD_SOCKET}", "--namespace=k8s.io", *arguments]
