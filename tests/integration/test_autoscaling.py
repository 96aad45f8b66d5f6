"""Autoscalers' manifests on the real API server: the HPA's, and KEDA's with its published CRD.

The HPA's controller is that of kube-controller-manager; it reads a metric from the external metrics API.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from controlplane import ControlPlane
from external_metrics import ExternalMetrics, external_metrics
from models import model, role, update
from peer_crds import served
from user import User

MANIFESTS = sorted((Path(__file__).parents[2] / "manifests" / "examples" / "autoscaling").glob("*.yaml"))


@pytest.fixture(scope="module")
def scaled_objects(managed_control_plane: ControlPlane) -> Iterator[None]:
    with served(managed_control_plane, "keda"):
        yield


@pytest.fixture(scope="module")
def metrics(managed_control_plane: ControlPlane) -> Iterator[ExternalMetrics]:
    with external_metrics(managed_control_plane) as served_metrics:
        yield served_metrics


def autoscaler(**spec: Any) -> str:
    """The example, without its wait before it scales down."""
    found = yaml.safe_load(next(path for path in MANIFESTS if path.name == "hpa.yaml").read_text())
    behavior = {"scaleDown": {"stabilizationWindowSeconds": 0}}
    found["spec"] = {**found["spec"], "behavior": behavior, **spec}
    return yaml.safe_dump(found)


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


def test_groups_follow_a_metric_down_to_0_and_up_again(user: User, metrics: ExternalMetrics) -> None:
    """Five waiting requests for each group, as the example has it."""
    metrics.values["vllm_requests_waiting"] = 14
    user.apply(model("qwen3-8b", replicas=1))
    user.wait_settled("qwen3-8b")
    user.kubectl("apply", "-f-", input=autoscaler(minReplicas=0))
    user.wait(lambda: user.model("qwen3-8b")["spec"]["replicas"] == 3, "three groups for 14 requests", 90)
    user.wait_settled("qwen3-8b")
    assert len(user.pods) == 3

    metrics.values["vllm_requests_waiting"] = 0
    user.wait(lambda: user.model("qwen3-8b")["spec"]["replicas"] == 0, "minReplicas for none", 90)
    user.wait(lambda: not user.pods, "no pod is left")
    metrics.values["vllm_requests_waiting"] = 3
    user.wait(lambda: user.model("qwen3-8b")["spec"]["replicas"] == 1, "a group for 3 requests", 90)
    user.wait_settled("qwen3-8b")
    assert user.pods.keys() == {"qwen3-8b-0-decode-0-0"}
    user.kubectl("delete", "hpa", "qwen3-8b")


def test_groups_that_an_autoscaler_adds_in_an_update_are_new_ones(user: User, metrics: ExternalMetrics) -> None:
    metrics.values["vllm_requests_waiting"] = 10
    user.apply(model("qwen3-8b", replicas=2))
    user.wait_settled("qwen3-8b")
    user.kubectl("apply", "-f-", input=autoscaler())
    # The new revision does not become ready: the update stands at its first group.
    stuck = model("qwen3-8b", role(image="image:2", never_ready="true"), replicas=2, **update(maxUnavailable=1))
    del stuck["spec"]["replicas"]
    user.kubectl(
        "apply", "--server-side", "--field-manager=update", "--force-conflicts", "-f-", input=yaml.safe_dump(stuck)
    )
    user.wait(lambda: user.status("qwen3-8b").get("updatedReplicas") == 1, "the update has begun")
    metrics.values["vllm_requests_waiting"] = 20
    user.wait(lambda: user.model("qwen3-8b")["spec"]["replicas"] >= 3, "the HPA scales up", 90)
    new = user.status("qwen3-8b")["updateRevision"]

    def revision_of_the_added() -> str:
        pod = user.pods.get("qwen3-8b-2-decode-0-0")
        return str(pod["metadata"]["labels"]["modelinfer.volcano.sh/revision"]) if pod else ""

    user.wait(lambda: revision_of_the_added() == new, "group 2 is at the new revision")
    assert user.status("qwen3-8b")["availableReplicas"] == 1
    user.kubectl("delete", "hpa", "qwen3-8b")
