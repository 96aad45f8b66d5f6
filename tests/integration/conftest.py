"""Control planes for the integration tests: each kind is started once, when the first test asks for it, and shared.

    control_plane               Kubernetes alone, 9 nodes in 3 zones
    volcano_control_plane       with Volcano
    native_gang_control_plane   with Kubernetes' own gang scheduling

A test works in a namespace of its own (`namespace`, `volcano_namespace`, `native_gang_namespace`), gives the nodes it
adds names of their own, and removes them. Nothing of a control plane survives the test run, however it ends.
"""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Iterator

import pytest
from controlplane import ControlPlane, Settings
from controlplane.cache import cache_folder

_NUMBERS = itertools.count(1)
_NODES = 9


@pytest.fixture(scope="session")
def control_plane(request: pytest.FixtureRequest) -> Iterator[ControlPlane]:
    yield from _running("plain", Settings(nodes=_NODES), request.session)


@pytest.fixture(scope="session")
def volcano_control_plane(request: pytest.FixtureRequest) -> Iterator[ControlPlane]:
    yield from _running("volcano", Settings(nodes=_NODES, volcano=True), request.session)


@pytest.fixture(scope="session")
def native_gang_control_plane(request: pytest.FixtureRequest) -> Iterator[ControlPlane]:
    yield from _running("native-gang", Settings(nodes=_NODES, native_gang=True), request.session)


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
