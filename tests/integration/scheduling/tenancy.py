"""From the first request to the last trace: a controller for a control plane, and what a tenant leaves."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from controller_process import ControllerProcess, install
from controlplane import ControlPlane
from tenant import Tenant

CRDS = Path(__file__).parents[3] / "manifests" / "crd"


def running_controller(control_plane: ControlPlane) -> Iterator[ControllerProcess]:
    install(control_plane, CRDS)
    controller = ControllerProcess(control_plane)
    controller.start()
    yield controller
    assert controller.stop() == 0


def tenancy(tenant: Tenant) -> Iterator[Tenant]:
    yield tenant
    tenant.kubectl("delete", "modelinfers", "--all", "--wait=false")
    tenant.close()
    tenant.remove_nodes()
