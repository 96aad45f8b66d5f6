"""A cluster with two real nodes that runs the controller as it is shipped: its image, manifests/default as it stands.

The nodes have no zone label, as in most clusters of one machine.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from controlplane import ControlPlane
from controlplane.cache import cache_folder
from images import platforms
from images.controller import Built, build
from images.packages import ensure_packages
from walkthrough.cluster import start

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="session")
def image() -> Built:
    """The image's archive, as hack/image builds it."""
    ensure_packages(emulation=False)
    return build(platforms.native_platform())


@pytest.fixture(scope="session")
def cluster(request: pytest.FixtureRequest, image: Built) -> Iterator[ControlPlane]:
    """The manifests are applied, and both replicas are available."""
    assert image.archive.exists()
    with start("e2e-in-cluster") as cluster:
        cluster.kubectl("label", "nodes", "--all", "topology.kubernetes.io/zone-")
        cluster.kubectl("apply", "-f", str(ROOT / "manifests/crd"))
        cluster.kubectl("apply", "-k", str(ROOT / "manifests/default"))
        cluster.kubectl(
            "rollout", "status", "deployment/modelinfer-controller", "-nmodelinfer-system", "--timeout=110s"
        )
        yield cluster
        if request.session.testsfailed:
            kept = cache_folder() / "failed-test-logs" / "e2e-in-cluster"
            shutil.rmtree(kept, ignore_errors=True)
            shutil.copytree(cluster.logs, kept)
