"""Autoscalers' manifests on the real API server: the HPA's, and KEDA's with its published CRD."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from controlplane import ControlPlane
from models import model
from published_crds import crd_files
from user import User

MANIFESTS = sorted((Path(__file__).parents[2] / "manifests" / "examples" / "autoscaling").glob("*.yaml"))
CRD = "scaledobjects.keda.sh"


@pytest.fixture(scope="module")
def scaled_objects(managed_control_plane: ControlPlane) -> Iterator[None]:
    for path in crd_files("keda"):
        managed_control_plane.kubectl("apply", "--server-side", "-f", str(path))
    managed_control_plane.kubectl("wait", f"crd/{CRD}", "--for=condition=Established", "--timeout=60s")
    yield
    managed_control_plane.kubectl("delete", f"crd/{CRD}", "--wait=false")


@pytest.mark.usefixtures("scaled_objects")
@pytest.mark.parametrize("path", MANIFESTS, ids=lambda path: path.name)
def test_published_schemas_accept_it(module_user: User, path: Path) -> None:
    module_user.kubectl("apply", "--dry-run=server", "--validate=strict", "-f", str(path))


def test_the_horizontal_pod_autoscaler_finds_the_model_infer_and_its_groups(user: User) -> None:
    """Kubernetes' own controller reads /scale: it says that it can, and holds the number within its bounds."""
    user.apply(model("qwen3-8b", replicas=3))
    user.wait_settled("qwen3-8b")
    autoscaler = yaml.safe_load(next(path for path in MANIFESTS if path.name == "hpa.yaml").read_text())
    autoscaler["spec"]["maxReplicas"] = 2
    user.kubectl("apply", "-f-", input=yaml.safe_dump(autoscaler))
    user.wait(lambda: user.model("qwen3-8b")["spec"]["replicas"] == 2, "the HPA scales down to its maximum", 90)
    user.wait_settled("qwen3-8b")
    conditions = yaml.safe_load(user.kubectl("get", "hpa", "qwen3-8b", "-o", "yaml"))["status"]["conditions"]
    (able,) = (one for one in conditions if one["type"] == "AbleToScale")
    assert able["status"] == "True"
    user.kubectl("delete", "hpa", "qwen3-8b")


def test_the_horizontal_pod_autoscaler_leaves_0_groups_alone(user: User) -> None:
    user.apply(model("qwen3-8b", replicas=0))
    user.wait_settled("qwen3-8b")
    path = next(path for path in MANIFESTS if path.name == "hpa.yaml")
    user.kubectl("apply", "-f", str(path))

    def active() -> str:
        status = yaml.safe_load(user.kubectl("get", "hpa", "qwen3-8b", "-o", "yaml")).get("status") or {}
        return next((one["reason"] for one in status.get("conditions", ()) if one["type"] == "ScalingActive"), "")

    user.wait(lambda: active() == "ScalingDisabled", "the HPA has looked", 90)
    assert user.model("qwen3-8b")["spec"]["replicas"] == 0
    user.kubectl("delete", "hpa", "qwen3-8b")
