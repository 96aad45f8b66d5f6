"""Control planes for the integration tests: each kind is started once, when the first test asks for it, and shared.

    control_plane               Kubernetes alone, 9 nodes in 3 zones
    volcano_control_plane       with Volcano
    native_gang_control_plane   with Kubernetes' own gang scheduling
    managed_control_plane       with the CRD, and one controller process of all namespaces

A test works in a namespace of its own (`namespace`, `volcano_namespace`, `native_gang_namespace`, or that of `user`,
where the controller runs), gives the nodes it adds names of their own, and removes them. Nothing of a control plane
survives the test run, however it ends.
"""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from controller_process import ControllerProcess, install
from controlplane import ControlPlane, Settings
from controlplane.cache import cache_folder
from user import User

_NUMBERS = itertools.count(1)
_NODES = 9
_CRDS = Path(__file__).parents[2] / "manifests" / "crd"


@pytest.fixture(scope="session")
def control_plane(request: pytest.FixtureRequest) -> Iterator[ControlPlane]:
    yield from _running("plain", Settings(nodes=_NODES), request.session)


@pytest.fixture(scope="session")
def volcano_control_plane(request: pytest.FixtureRequest) -> Iterator[ControlPlane]:
    yield from _running("volcano", Settings(nodes=_NODES, volcano=True), request.session)


@pytest.fixture(scope="session")
def native_gang_control_plane(request: pytest.FixtureRequest) -> Iterator[ControlPlane]:
    yield from _running("native-gang", Settings(nodes=_NODES, native_gang=True), request.session)


@pytest.fixture(scope="session")
def managed_control_plane(request: pytest.FixtureRequest) -> Iterator[ControlPlane]:
    for control_plane in _running("managed", Settings(nodes=_NODES), request.session):
        install(control_plane, _CRDS)
        yield control_plane


@pytest.fixture(scope="session")
def _controller(managed_control_plane: ControlPlane) -> Iterator[ControllerProcess]:
    controller = ControllerProcess(managed_control_plane)
    yield controller
    if controller.is_running:
        assert controller.stop() == 0


@pytest.fixture
def controller(_controller: ControllerProcess) -> ControllerProcess:
    """The running controller. A test may kill it and start it again; if it does not, the next test does."""
    _ensure_running(_controller)
    return _controller


@pytest.fixture
def user(managed_control_plane: ControlPlane, controller: ControllerProcess) -> Iterator[User]:
    """Somebody with a new namespace, in which the controller looks after ModelInfers."""
    yield from _user(managed_control_plane)


@pytest.fixture(scope="module")
def module_user(managed_control_plane: ControlPlane, _controller: ControllerProcess) -> Iterator[User]:
    """For a module whose tests only look."""
    _ensure_running(_controller)
    yield from _user(managed_control_plane)


@pytest.fixture
def other_user(managed_control_plane: ControlPlane, controller: ControllerProcess) -> Iterator[User]:
    yield from _user(managed_control_plane)


def _ensure_running(controller: ControllerProcess) -> None:
    if not controller.is_running:
        controller.start()


def _user(control_plane: ControlPlane) -> Iterator[User]:
    for namespace in _namespace(control_plane):
        user = User(control_plane, namespace)
        yield user
        control_plane.kubectl(f"--namespace={namespace}", "delete", "modelinfers", "--all", "--wait=false")
        user.close()


@pytest.fixture
def namespace(control_plane: ControlPlane) -> Iterator[str]:
    yield from _namespace(control_plane)


@pytest.fixture
def volcano_namespace(volcano_control_plane: ControlPlane) -> Iterator[str]:
    yield from _namespace(volcano_control_plane)


@pytest.fixture
def native_gang_namespace(native_gang_control_plane: ControlPlane) -> Iterator[str]:
    yield from _namespace(native_gang_control_plane)


def _running(kind: str, settings: Settings, session: pytest.Session) -> Iterator[ControlPlane]:
    """Start, stop, and keep the logs in the cache folder when a test of the run has failed."""
    with ControlPlane.start(settings) as control_plane:
        yield control_plane
        if session.testsfailed:
            kept = cache_folder() / "failed-test-logs" / kind
            shutil.rmtree(kept, ignore_errors=True)
            shutil.copytree(control_plane.logs, kept)
            print(f"\nlogs of the control plane {kind!r}: {kept}")


def _namespace(control_plane: ControlPlane) -> Iterator[str]:
    """A new namespace in which pods can be created; it is deleted afterwards, without waiting for that."""
    name = f"test-{next(_NUMBERS)}"
    control_plane.create_namespace(name)
    yield name
    control_plane.kubectl("delete", "namespace", name, "--wait=false")
