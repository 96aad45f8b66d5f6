"""One cluster with real nodes for all end-to-end tests, with the CRD and one controller process.

A test works in a namespace of its own (`user`); its pods are those of `workloads`. Two nodes belong to everybody; the
third, NODE_TO_BREAK, is tainted, so that pods come there only where a test asks for it. Nothing survives the test run:
the mounts, links, routes, sysctls and cgroups of the machine are compared afterwards with what they were before.

Where the machine cannot run real nodes everything is left out, and the summary says so; with MODELINFER_E2E=required,
as in CI, that fails.
"""

from __future__ import annotations

import itertools
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from controlplane import ControlPlane, Settings
from controlplane.cache import cache_folder
from controlplane.real.namespaces import first_process
from controlplane.real.requirements import MachineUnfit, check_machine
from controlplane.real.site import cluster_cgroup

sys.path.insert(0, str(Path(__file__).parents[1] / "integration"))

from controller_process import ControllerProcess, install
from machine import MachineState, cgroup_folders, pid_namespace, processes_in
from real_user import NODE_TO_BREAK, TO_BREAK, RealUser
from workloads import write_workload_image

_NUMBERS = itertools.count(1)
_CRDS = Path(__file__).parents[2] / "manifests" / "crd"
_LEFT_OUT = pytest.StashKey[str]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--record", action="store_true", help="write what the kubelets say to tests/e2e/fixtures")


def pytest_sessionstart(session: pytest.Session) -> None:
    try:
        check_machine()
    except MachineUnfit as error:
        session.config.stash[_LEFT_OUT] = str(error)
        if os.environ.get("MODELINFER_E2E") == "required":
            pytest.exit(f"the end-to-end tests may not be left out: {error}", returncode=1)


def pytest_runtest_setup(item: pytest.Item) -> None:
    reason = item.config.stash.get(_LEFT_OUT, None)
    if reason is not None:
        pytest.skip(reason)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    reason = config.stash.get(_LEFT_OUT, None)
    if reason is not None:
        terminalreporter.section("NO END-TO-END TEST RAN", red=True, bold=True)
        terminalreporter.write_line(reason, red=True, bold=True)


@pytest.fixture(scope="session")
def control_plane(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    image = write_workload_image(tmp_path_factory.mktemp("image") / "workload.tar")
    before = MachineState.read()
    with ControlPlane.start(Settings(nodes=0, real_nodes=3)) as control_plane:
        pids = control_plane.state.pid_by_component
        namespaces = {pid_namespace(first_process(pid)) for name, pid in pids.items() if name.startswith("real-")}
        control_plane.load(image)
        _reserve_the_node_to_break(control_plane)
        install(control_plane, _CRDS)
        yield control_plane
        if request.session.testsfailed:
            kept = cache_folder() / "failed-test-logs" / "e2e"
            shutil.rmtree(kept, ignore_errors=True)
            shutil.copytree(control_plane.logs, kept)
            print(f"\nlogs of the cluster: {kept}")
    assert MachineState.read().changes_since(before) == []
    assert processes_in(namespaces) == []
    assert cgroup_folders(cluster_cgroup(control_plane.layout.folder)) == []
    assert not control_plane.layout.folder.exists()


@pytest.fixture(scope="session")
def controller(control_plane: ControlPlane) -> Iterator[ControllerProcess]:
    process = ControllerProcess(control_plane)
    process.start()
    yield process
    assert process.stop() == 0


@pytest.fixture
def user(control_plane: ControlPlane, controller: ControllerProcess) -> Iterator[RealUser]:
    """Somebody with a new namespace, in which the controller looks after ModelInfers."""
    assert controller.is_running
    name = f"e2e-{next(_NUMBERS)}"
    control_plane.create_namespace(name)
    user = RealUser(control_plane, name)
    yield user
    user.close()
    control_plane.kubectl("delete", "namespace", name, "--wait=false")


def _reserve_the_node_to_break(control_plane: ControlPlane) -> None:
    """Cluster DNS may be there already: it is sent elsewhere."""
    control_plane.kubectl("taint", "node", NODE_TO_BREAK, f"{TO_BREAK}=:NoSchedule")
    there = f"--field-selector=spec.nodeName={NODE_TO_BREAK}"
    control_plane.kubectl("delete", "pods", "--namespace=kube-system", there)
    control_plane.kubectl("rollout", "status", "deployment/coredns", "--namespace=kube-system", "--timeout=60s")
