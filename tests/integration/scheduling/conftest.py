"""A controller on the control planes with a gang scheduler, and tenants: users with nodes of their own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from controller_process import ControllerProcess
from controlplane import ControlPlane
from tenancy import running_controller, tenancy
from tenant import Tenant
from user import User


@pytest.fixture(scope="session")
def volcano_controller(volcano_control_plane: ControlPlane) -> Iterator[ControllerProcess]:
    yield from running_controller(volcano_control_plane)


@pytest.fixture(scope="session")
def native_controller(native_gang_control_plane: ControlPlane) -> Iterator[ControllerProcess]:
    yield from running_controller(native_gang_control_plane)


@pytest.fixture
def volcano_tenant(
    volcano_controller: ControllerProcess, volcano_control_plane: ControlPlane, volcano_namespace: str
) -> Iterator[Tenant]:
    yield from tenancy(Tenant(volcano_control_plane, volcano_namespace, "volcano"))


@pytest.fixture
def native_tenant(
    native_controller: ControllerProcess, native_gang_control_plane: ControlPlane, native_gang_namespace: str
) -> Iterator[Tenant]:
    yield from tenancy(Tenant(native_gang_control_plane, native_gang_namespace, "kubernetes"))


@pytest.fixture
def tenant(managed_control_plane: ControlPlane, user: User) -> Iterator[Tenant]:
    """Where kube-scheduler works as it comes, without gangs."""
    yield from tenancy(Tenant(managed_control_plane, user.namespace))
