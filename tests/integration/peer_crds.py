"""CRDs of other projects on a control plane, for as long as a test module needs them."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

import yaml
from controlplane import ControlPlane, ControlPlaneError
from published_crds import crd_files

TIMEOUT = 60.0


@contextmanager
def served(control_plane: ControlPlane, *projects: str) -> Iterator[None]:
    """Of these projects of `published_crds`, until the end.

    Established is not served: the first requests may find no such resource. So they are asked for until they are there.
    """
    files = [path for project in projects for path in crd_files(project)]
    names = [yaml.safe_load(path.read_text())["metadata"]["name"] for path in files]
    for path in files:
        control_plane.kubectl("apply", "--server-side", "-f", str(path))
    for name in names:
        wait_until_served(control_plane, name)
    try:
        yield
    finally:
        # Waited for, so that the next module finds no CRD that is about to go.
        control_plane.kubectl("delete", "crd", *names, f"--timeout={TIMEOUT:g}s")


def wait_until_served(control_plane: ControlPlane, resource: str) -> None:
    """resource: by its full name, such as podgroups.scheduling.volcano.sh."""
    deadline = time.monotonic() + TIMEOUT
    while True:
        try:
            control_plane.kubectl("get", resource, "--all-namespaces")
            return
        except ControlPlaneError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)
