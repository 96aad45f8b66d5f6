"""The controller as its users run it: a process of its own, under a service account with the rights that it needs."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

from controlplane import AuditEvent, ControlPlane, ControlPlaneError
from controlplane.processes import spawn

NAMESPACE = "modelinfer-system"
ACCOUNT = "modelinfer-controller"
RBAC = Path(__file__).parents[2] / "manifests" / "rbac"
COMMAND = Path(sys.executable).with_name("modelinfer-controller")
WRITES = {"create", "update", "patch", "delete", "deletecollection"}


def user_of(account: str) -> str:
    """The name under which the audit log has a service account of the controller's namespace."""
    return f"system:serviceaccount:{NAMESPACE}:{account}"


USER = user_of(ACCOUNT)


class ControllerProcess:
    """One controller of all namespaces. It can be killed and started again; the log goes on."""

    def __init__(self, control_plane: ControlPlane) -> None:
        self._control_plane = control_plane
        self._kubeconfig = control_plane.service_account_kubeconfig(NAMESPACE, ACCOUNT)
        self._process: subprocess.Popen[bytes] | None = None
        self.log = control_plane.logs / "modelinfer-controller.log"

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self, *arguments: str) -> None:
        """Returns at once: what it does shows in the cluster."""
        assert not self.is_running
        command = [str(COMMAND), "run", f"--kubeconfig={self._kubeconfig}", "--log-format=json", *arguments]
        self._process = spawn(command, self.log)

    def kill(self) -> None:
        """SIGKILL, as the kernel does it to who takes too much memory."""
        self._end(signal.SIGKILL)

    def stop(self) -> int:
        """SIGTERM; the exit code."""
        return self._end(signal.SIGTERM)

    def restart(self, *arguments: str) -> None:
        self.kill()
        self.start(*arguments)

    def writes_since(self, position: int) -> list[AuditEvent]:
        """Every write that the controller sent after an `audit_position` of the control plane."""
        events = self._control_plane.audit_events(position)
        return [event for event in events if event.user == USER and event.verb in WRITES]

    def _end(self, number: signal.Signals) -> int:
        assert self._process is not None
        self._process.send_signal(number)
        return self._process.wait(timeout=30)


def install(control_plane: ControlPlane, crds: Path) -> None:
    """The CRD, and the service account of the manifests, which may do what the controller does and no more."""
    control_plane.kubectl("apply", "--server-side", "-f", str(crds))
    wait_until_served(control_plane)
    control_plane.kubectl("apply", "-k", str(RBAC))


def wait_until_served(control_plane: ControlPlane) -> None:
    """The server tells neither when it begins to serve a new CRD nor when its storage is ready."""
    deadline = time.monotonic() + 30
    while True:
        try:
            control_plane.kubectl("get", "modelinfers", "--all-namespaces")
            return
        except ControlPlaneError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)


def replica_kubeconfig(control_plane: ControlPlane, name: str) -> Path:
    """Of a new service account with the controller's own rights."""
    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name, "namespace": NAMESPACE}}
    subjects = [{"kind": "ServiceAccount", "name": name, "namespace": NAMESPACE}]
    group = "rbac.authorization.k8s.io"
    bindings = [
        {
            "apiVersion": f"{group}/v1",
            "kind": kind,
            "metadata": {"name": f"{name}.{granted}", **({"namespace": NAMESPACE} if kind == "RoleBinding" else {})},
            "roleRef": {"apiGroup": group, "kind": kind.removesuffix("Binding"), "name": granted},
            "subjects": subjects,
        }
        for kind, granted in (
            ("ClusterRoleBinding", "modelinfer-controller"),
            ("ClusterRoleBinding", "modelinfer-controller-nodes"),
            ("RoleBinding", "modelinfer-controller-leader-election"),
        )
    ]
    items = {"apiVersion": "v1", "kind": "List", "items": [account, *bindings]}
    control_plane.kubectl("apply", "-f-", input=json.dumps(items))
    return control_plane.service_account_kubeconfig(NAMESPACE, name)
