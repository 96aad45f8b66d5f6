"""The site of a cluster with real nodes: its network, its nodes, their power. Runs in the supervisor."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from controlplane.components import Layout, Ports
from controlplane.nodes import ZONES
from controlplane.processes import kill_all, spawn
from controlplane.real import cgroups, configuration, dns, init
from controlplane.real.addresses import SITE, SITE_BITS, NodeIdentity
from controlplane.real.debian import Packages
from controlplane.real.images import PAUSE_IMAGE, write_image
from controlplane.real.namespaces import (
    HOLD_NETWORK,
    NEW_NODE,
    NamespaceError,
    first_process,
    in_network_of,
    run,
    wait_for_network,
)

ENTRY = Path(__file__).resolve().parents[2] / "cluster"
PROXY_USER = "system:kube-proxy"
_WIRE_TIMEOUT = 10.0
_END_TIMEOUT = 10.0


def cluster_cgroup(cluster: Path) -> str:
    """The cgroup of a cluster's folder: the same for each start, and no other cluster's."""
    return f"{cgroups.TREE}/{cluster.name}-{hashlib.sha256(str(cluster).encode()).hexdigest()[:8]}"


def off_mark(node: Path) -> Path:
    """While this file is in a node's folder the node stays without power."""
    return node / "off"


def cut_power(holder: int) -> None:
    """Kill the first process of a node, and thus all of its processes; the holder reaps it and ends."""
    with contextlib.suppress(NamespaceError, ProcessLookupError):
        os.kill(first_process(holder), signal.SIGKILL)


def identities(count: int) -> list[NodeIdentity]:
    return [NodeIdentity(index) for index in range(count)]


def groups_of_real_nodes(count: int) -> dict[str, tuple[str, ...]]:
    """The users of real nodes. The Node authorizer knows a kubelet by both, its name and its group."""
    return {f"system:node:{each.name}": ("system:nodes",) for each in identities(count)} | {PROXY_USER: ()}


def remove_left_over(layout: Layout) -> None:
    """Remove what a cluster with real nodes leaves when its supervisor is killed. Its processes are gone, or going."""
    if layout.nodes.exists():
        cgroups.remove(cluster_cgroup(layout.folder))


@dataclass(frozen=True)
class NodePrograms:
    """The binaries of a node, by name, and the unpacked packages."""

    path_by_name: Mapping[str, Path]
    packages: Packages

    def path_by_program(self) -> dict[str, str]:
        containerd = shutil.which("containerd", path=self.packages.environment()["PATH"])
        assert containerd is not None
        return {"containerd": containerd, **{name: str(self.path_by_name[name]) for name in ("kubelet", "kube-proxy")}}


class Site:
    """Starts the site and its nodes, starts again a node that ends, and ends all of them."""

    def __init__(self, layout: Layout, ports: Ports, programs: NodePrograms, count: int) -> None:
        self._layout = layout
        self._ports = ports
        self._programs = programs
        self._identities = identities(count)
        self._environment = programs.packages.environment()
        self._network: subprocess.Popen[bytes] | None = None
        self._forwarder: subprocess.Popen[bytes] | None = None
        self._node_by_name: dict[str, subprocess.Popen[bytes]] = {}

    @property
    def pid_by_name(self) -> dict[str, int]:
        """Of the site's own processes, and of each node that has power, the process that holds it."""
        own = {"site": self._network, "forwarder": self._forwarder}
        alive = {name: process for name, process in own.items() if process is not None}
        return {name: process.pid for name, process in (alive | self._node_by_name).items()}

    @property
    def prefix(self) -> tuple[str, ...]:
        """The start of a command line that runs the rest in the site's network."""
        assert self._network is not None
        return in_network_of(self._network.pid)

    def open(self) -> None:
        """Make the network, and the way from the machine's loopback to the port of kube-apiserver."""
        self._network = spawn(HOLD_NETWORK, self._layout.log_of("site"))
        wait_for_network(self._network.pid)
        self._ip("link", "set", "lo", "up")
        self._ip("link", "add", "site", "type", "bridge")
        self._ip("address", "add", f"{SITE}/{SITE_BITS}", "dev", "site")
        self._ip("link", "set", "site", "up")
        listener = socket.create_server(("127.0.0.1", self._ports.apiserver), backlog=512)
        command = [sys.executable, str(ENTRY), "forward", str(listener.fileno()), str(self._ports.apiserver)]
        self._forwarder = spawn(
            (*self.prefix, *command), self._layout.log_of("forwarder"), pass_descriptors=(listener.fileno(),)
        )
        listener.close()

    def start_nodes(self) -> None:
        """Switch every node on. Their kubeconfigs must be there, and kube-apiserver ready."""
        self._write_images()
        for identity in self._identities:
            self._prepare(identity)
            self._switch_on(identity)

    def look_after(self) -> bool:
        """Start again what ended, but for nodes without power. Has anything changed?

        Raises NamespaceError when the network itself is gone.
        """
        before = self.pid_by_name
        for process in (self._network, self._forwarder):
            if process is not None and process.poll() is not None:
                raise NamespaceError(f"the site's own process ended with {process.returncode}")
        for identity in self._identities:
            self._look_after(identity)
        return self.pid_by_name != before

    def close(self) -> None:
        """End everything and remove the cgroups."""
        for node in self._node_by_name.values():
            cut_power(node.pid)
        for node in self._node_by_name.values():
            with contextlib.suppress(subprocess.TimeoutExpired):
                node.wait(_END_TIMEOUT)
        own = [process for process in (self._forwarder, self._network) if process is not None]
        kill_all([*self._node_by_name.values(), *own])
        self._node_by_name.clear()
        cgroups.remove(cluster_cgroup(self._layout.folder))

    def _look_after(self, identity: NodeIdentity) -> None:
        node = self._node_by_name.get(identity.name)
        if node is not None and node.poll() is not None:
            del self._node_by_name[identity.name]
            node = None
        if node is None and self._folder(identity).exists() and not off_mark(self._folder(identity)).exists():
            self._switch_on(identity)

    def _folder(self, identity: NodeIdentity) -> Path:
        return self._layout.nodes / identity.name

    def _cgroup(self, identity: NodeIdentity) -> str:
        return f"{cluster_cgroup(self._layout.folder)}/{identity.name}"

    def _prepare(self, identity: NodeIdentity) -> None:
        folder = self._folder(identity)
        files = folder / "configuration"
        files.mkdir(parents=True)
        packages = self._programs.packages
        (files / "containerd.toml").write_text(configuration.containerd(packages.cni_plugins, _snapshotter(folder)))
        (files / "cni.json").write_text(configuration.cni(identity))
        (files / "kubelet.json").write_text(configuration.kubelet(f"/{self._cgroup(identity)}"))
        proxy = self._layout.kubeconfig_of(PROXY_USER)
        (files / "kube-proxy.json").write_text(configuration.kube_proxy(identity, proxy))
        (files / "plan.json").write_text(self._plan(identity, files).to_json())

    def _plan(self, identity: NodeIdentity, files: Path) -> init.NodePlan:
        labels = {
            "topology.kubernetes.io/zone": ZONES[identity.index % len(ZONES)],
            dns.REAL_NODE_LABEL: "real",
        }
        return init.NodePlan(
            index=identity.index,
            others=tuple(other.index for other in self._identities if other != identity),
            folder=str(self._folder(identity)),
            configuration=str(files),
            logs=str(self._layout.logs),
            path_by_program=self._programs.path_by_program(),
            environment=self._environment | {"TMPDIR": "/run"},
            images=tuple(str(path) for path in sorted(self._layout.images.glob("*.tar"))),
            kubeconfig=str(self._layout.kubeconfig_of(f"system:node:{identity.name}")),
            labels=",".join(f"{key}={value}" for key, value in labels.items()),
        )

    def _write_images(self) -> None:
        self._layout.images.mkdir(exist_ok=True)
        for image, program in ((PAUSE_IMAGE, "pause"), (dns.IMAGE, "coredns")):
            path = f"/{program}"
            archive = self._layout.images / f"{program}.tar"
            write_image(archive, image, {path: self._programs.path_by_name[program]}, [path])

    def _switch_on(self, identity: NodeIdentity) -> None:
        folder = self._folder(identity)
        init.state_file(folder).unlink(missing_ok=True)
        # A power cut takes cgroups with it: those of the pods that ran here would keep the kubelet busy for seconds.
        cgroups.remove(self._cgroup(identity))
        cgroups.create(self._cgroup(identity))
        command = (*NEW_NODE, sys.executable, str(ENTRY), "node-init", str(folder / "configuration" / "plan.json"))
        holder = spawn(command, self._layout.log_of(identity.name))
        self._node_by_name[identity.name] = holder
        self._wire(identity, first_process(holder.pid))

    def _wire(self, identity: NodeIdentity, process: int) -> None:
        """Connect the node with the bridge. The cable of a node that has just lost its power goes a moment later."""
        cable = f"node{identity.index}"
        with contextlib.suppress(NamespaceError):
            self._ip("link", "delete", cable)
        _retry(lambda: self._ip("link", "add", cable, "type", "veth", "peer", "name", "eth0", "netns", str(process)))
        self._ip("link", "set", cable, "master", "site", "up")
        self._ip("route", "replace", identity.pods, "via", identity.address)

    def _ip(self, *arguments: str) -> None:
        run([*self.prefix, "ip", *arguments], self._environment)


def _retry(action: Callable[[], None]) -> None:
    deadline = time.monotonic() + _WIRE_TIMEOUT
    while True:
        try:
            return action()
        except NamespaceError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)


def _snapshotter(folder: Path) -> str:
    """Overlays do not stack on an overlay, as in a container: there layers are copied."""
    kind = run(["stat", "--file-system", "--format=%T", str(folder)]).strip()
    return "native" if kind == "overlayfs" else "overlayfs"
