"""The two controllers with leader election: started, killed, frozen, and started again when they end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import yaml
from controller_process import NAMESPACE, replica_kubeconfig, user_of
from controlplane import ControlPlane
from controlplane.processes import free_ports, spawn

from chaos.fault_proxy import FaultProxy

_MAIN = Path(__file__).with_name("controller_main.py")
LEASE = "modelinfer-controller"
LEASE_SECONDS, RENEW_SECONDS = 3.0, 2.0
TOKEN_SECONDS = 7200
_OPTIONS = (
    "--log-format=json",
    "--leader-elect",
    f"--leader-elect-namespace={NAMESPACE}",
    f"--leader-elect-lease-duration={LEASE_SECONDS:g}s",
    f"--leader-elect-renew-deadline={RENEW_SECONDS:g}s",
    "--leader-elect-retry-period=500ms",
)
# Killed; stopped as asked; a lost lease; a cluster that was not there when it started, or refused it.
_EXITS = {-signal.SIGKILL, 0, 6, 3, 4}


@dataclass(frozen=True)
class Health:
    """Of one process at rest: mb is its resident set."""

    pid: int
    mb: float
    tasks: int
    descriptors: int
    series: int = 0


class Replica:
    """One controller, behind the proxy, under a service account of its own: the audit log tells them apart."""

    def __init__(self, control_plane: ControlPlane, proxy: FaultProxy, name: str) -> None:
        self.name = name
        self.user = user_of(name)
        self.starts = 0
        self.unexpected: list[str] = []  # what it ended with, where nobody asked for that
        self._control_plane = control_plane
        self._log = control_plane.logs / f"{name}.log"
        folder = control_plane.logs
        self._clock, self._tasks, self._token = (folder / f"{name}.{kind}" for kind in ("clock", "tasks", "token"))
        self._clock.write_text("0")
        self.route = proxy.open(name, self._pid)
        self._kubeconfig = replica_kubeconfig(control_plane, name)
        self._use_token_file()
        self._process: subprocess.Popen[bytes] | None = None
        [self._metrics_port] = free_ports(1)

    def _use_token_file(self) -> None:
        config = yaml.safe_load(self._kubeconfig.read_text())
        config["clusters"][0]["cluster"]["server"] = f"https://127.0.0.1:{self.route.port}"
        self._token.write_text(config["users"][0]["user"].pop("token"))
        config["users"][0]["user"]["tokenFile"] = str(self._token)
        self._kubeconfig.write_text(yaml.safe_dump(config))

    def _pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def token(self) -> str:
        return self._token.read_text()

    def renew_token(self) -> None:
        path = f"/api/v1/namespaces/{NAMESPACE}/serviceaccounts/{self.name}/token"
        client = self._control_plane.rest()
        try:
            answer = client.post(path, {"spec": {"expirationSeconds": TOKEN_SECONDS}})
        finally:
            client.close()
        aside = self._token.with_suffix(".new")
        aside.write_text(answer["status"]["token"])
        os.replace(aside, self._token)

    def keep_running(self) -> None:
        """Start it where it is not: from the main thread, with which it ends."""
        if self._process is not None:
            code = self._process.poll()
            if code is None:
                return
            if code not in _EXITS:
                self.unexpected.append(f"{self.name} ended with {code}; {self._log}")
        command = [sys.executable, str(_MAIN), str(self._clock), str(self._tasks), "run", *_OPTIONS]
        metrics = f"--metrics-bind-address=127.0.0.1:{self._metrics_port}"
        self._process = spawn([*command, metrics, f"--kubeconfig={self._kubeconfig}"], self._log)
        self.starts += 1

    def send(self, number: signal.Signals) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(number)

    def set_clock(self, seconds: float) -> None:
        self._clock.write_text(str(seconds))

    def end(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def health(self) -> Health:
        """Of the process that answers: one that has just started may take a moment, or end."""
        self._tasks.unlink(missing_ok=True)

        def answers() -> bool:
            self.keep_running()
            self.send(signal.SIGUSR1)
            time.sleep(0.1)
            return self._tasks.exists() and self._series() > 0

        until(answers, f"{self.name} answers")
        pid = self._pid()
        status = Path(f"/proc/{pid}/status").read_text()
        resident = next(line for line in status.splitlines() if line.startswith("VmRSS"))
        tasks = self._tasks.read_text().count("\n") + 1
        descriptors = len(os.listdir(f"/proc/{pid}/fd"))
        return Health(pid, int(resident.split()[1]) / 1024, tasks, descriptors, self._series())

    def _series(self) -> int:
        """0 while the process does not serve its metrics yet."""
        try:
            return self._count_series()
        except OSError:
            return 0

    def _count_series(self) -> int:
        with urllib.request.urlopen(f"http://127.0.0.1:{self._metrics_port}/metrics", timeout=10) as answer:
            return sum(not line.startswith(b"#") for line in answer.read().splitlines())


class Fleet:
    """Whoever leads is whom the Lease names; one of them dies, and the other goes on."""

    def __init__(self, control_plane: ControlPlane, proxy: FaultProxy) -> None:
        self.replicas = [Replica(control_plane, proxy, name) for name in ("chaos-a", "chaos-b")]

    def keep_running(self) -> None:
        for replica in self.replicas:
            replica.keep_running()

    def leader(self) -> Replica:
        """Who wrote the Lease last."""
        return max(self.replicas, key=lambda replica: max(replica.route.renewals, default=0.0))

    def end(self) -> None:
        for replica in self.replicas:
            replica.end()


def until(look: Callable[[], object], what: str, timeout: float = 60.0) -> None:
    deadline = time.monotonic() + timeout
    while not look():
        assert time.monotonic() < deadline, f"not within {timeout:g} s: {what}"
        time.sleep(0.05)
