"""`modelinfer-controller run` at work, with its metrics and probes, under the service account of the manifests."""

from __future__ import annotations

import http.client
import signal
import time

from controller_process import COMMAND
from controlplane import ControlPlane
from controlplane.processes import free_ports, spawn

SYSTEM = "modelinfer-system"
PATIENCE = 15.0  # seconds; CPU is shared with whatever else runs


class RunningCommand:
    """Ready when it has been made. The manifests of the CRD and of RBAC must have been applied."""

    def __init__(self, control_plane: ControlPlane, *arguments: str) -> None:
        self.port = free_ports(1)[0]
        self._log = control_plane.logs / "run-command.log"
        self._log.unlink(missing_ok=True)
        kubeconfig = control_plane.service_account_kubeconfig(SYSTEM, "modelinfer-controller")
        addresses = (f"--{name}-bind-address=127.0.0.1:{self.port}" for name in ("metrics", "health-probe"))
        self.process = spawn([str(COMMAND), "run", f"--kubeconfig={kubeconfig}", *addresses, *arguments], self._log)
        self.wait_for("/readyz", 200)

    def get(self, path: str) -> tuple[int, str]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        except ConnectionError:
            return 0, ""
        finally:
            connection.close()

    def wait_for(self, path: str, status: int) -> None:
        deadline = time.monotonic() + PATIENCE
        while self.get(path)[0] != status:
            assert self.process.poll() is None, self.log
            assert time.monotonic() < deadline, f"{path} does not answer {status}"
            time.sleep(0.02)

    @property
    def log(self) -> str:
        return self._log.read_text()

    def stop(self, number: signal.Signals) -> tuple[int, float]:
        """The exit code, and the seconds that it took."""
        began = time.monotonic()
        self.process.send_signal(number)
        return self.process.wait(timeout=PATIENCE), time.monotonic() - began

    def end(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
