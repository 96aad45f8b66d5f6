"""Gateway manifests on the real API server, with the CRDs that Gateway API and its inference extension publish."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from controlplane import ControlPlane, ControlPlaneError
from peer_crds import served
from user import User

EXAMPLES = Path(__file__).parents[2] / "manifests" / "examples"
TRAFFIC = sorted((EXAMPLES / "traffic").glob("*.yaml"))


@pytest.fixture(scope="module")
def gateway_kinds(managed_control_plane: ControlPlane) -> Iterator[None]:
    with served(managed_control_plane, "gateway-api", "inference-extension"):
        yield


@pytest.mark.usefixtures("gateway_kinds")
@pytest.mark.parametrize("path", TRAFFIC, ids=lambda path: path.name)
def test_published_schemas_accept_it(module_user: User, path: Path) -> None:
    module_user.kubectl("apply", "--dry-run=server", "--validate=strict", "-f", str(path))


@pytest.mark.usefixtures("gateway_kinds")
def test_a_field_that_the_schema_does_not_have_is_refused(module_user: User) -> None:
    pool = next(yaml.safe_load_all((EXAMPLES / "traffic" / "inferencepool.yaml").read_text()))
    pool["spec"]["targetPort"] = 8000
    with pytest.raises(ControlPlaneError, match="targetPort"):
        module_user.kubectl("apply", "--dry-run=server", "--validate=strict", "-f-", input=yaml.safe_dump(pool))


def test_service_and_pool_select_the_same_pods() -> None:
    service = yaml.safe_load((EXAMPLES / "vllm-single-node" / "service.yaml").read_text())
    pool = next(yaml.safe_load_all((EXAMPLES / "traffic" / "inferencepool.yaml").read_text()))
    assert pool["spec"]["selector"]["matchLabels"] == service["spec"]["selector"]
