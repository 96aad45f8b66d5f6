"""ModelInfers whose pods run the program in `workload/`, and its image."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from controlplane.real.images import write_image
from controlplane.tools import Module, Program, ensure_module
from models import DOMAIN

IMAGE = "local/workload:1"
PORT = 8080
_WORKLOAD = Module(
    "workload", (Program("workload", "modelinfer.dev/tests/e2e/workload"),), parent=Path(__file__).resolve().parent
)
Manifest = dict[str, Any]


def write_workload_image(archive: Path) -> Path:
    """Builds the program first where the cache has none."""
    write_image(archive, IMAGE, {"/workload": ensure_module(_WORKLOAD)["workload"]}, ["/workload"])
    return archive


def container(
    *arguments: str, name: str = "main", message: str = "1", ready: bool = True, port: int = PORT, **environment: str
) -> Manifest:
    """The program with these arguments.

    With `ready` its readiness is asked for each second; PORT and MESSAGE are set, and what `environment` names.
    """
    variables = {"PORT": str(port), "MESSAGE": message, **environment}
    # A busy machine answers late: three seconds are not yet a failure.
    probe = {"httpGet": {"path": "/ready", "port": port}, "periodSeconds": 1, "timeoutSeconds": 3}
    return {
        "name": name,
        "image": IMAGE,
        "imagePullPolicy": "Never",
        "args": list(arguments),
        "env": [{"name": key, "value": value} for key, value in variables.items()],
        **({"readinessProbe": probe} if ready else {}),
    }


def template(*containers: Manifest, sidecars: Sequence[Manifest] = (), grace: int = 2, **pod: Any) -> Manifest:
    """A pod template of these containers, with `sidecars` among its init containers, and other fields of its spec."""
    native = [{**each, "restartPolicy": "Always"} for each in sidecars]
    return {
        "spec": {
            "terminationGracePeriodSeconds": grace,
            "containers": list(containers) or [container()],
            **({"initContainers": native} if native else {}),
            **pod,
        }
    }


def role(name: str = "decode", *, replicas: int = 1, workers: int = 0, pod: Manifest | None = None) -> Manifest:
    """A role whose entry pods and workers are alike."""
    pod = pod or template()
    made = {"name": name, "replicas": replicas, "workerReplicas": workers, "entryTemplate": pod}
    return {**made, "workerTemplate": pod} if workers else made


def front(model: str, **labels: str) -> Manifest:
    """A Service, named front, of the entry pods of a ModelInfer that have these labels of our domain."""
    selector = {"name": model, "entry": "true", **labels}
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "front"},
        "spec": {
            "selector": {f"{DOMAIN}/{label}": value for label, value in selector.items()},
            "ports": [{"port": PORT}],
        },
    }


def asker_pod(name: str, url: str) -> Manifest:
    """A pod that asks the URL without a pause, on a node that no test breaks."""
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, **template(container("ask", url))}
