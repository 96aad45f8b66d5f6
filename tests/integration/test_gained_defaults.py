"""A CRD that gains or loses defaults inside of the pod templates restarts no pod."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from controller_process import ControllerProcess
from controlplane import ControlPlane
from models import model, role
from user import User

CRD: Any = yaml.load(
    (Path(__file__).parents[2] / "manifests" / "crd" / "modelinfers.yaml").read_text(), Loader=yaml.CSafeLoader
)
# What a CRD that embeds Kubernetes' types has inside of its pod specs, and ours has not.
GAINED = {"restartPolicy": "Always", "dnsPolicy": "ClusterFirst", "terminationGracePeriodSeconds": 30}


def crd_with(*, port_protocol: bool, pod_defaults: bool) -> Any:
    crd = copy.deepcopy(CRD)
    spec = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]
    templates = spec["template"]["properties"]["roles"]["items"]["properties"]
    for template in ("entryTemplate", "workerTemplate"):
        pod_spec = templates[template]["properties"]["spec"]["properties"]
        for name, value in GAINED.items() if pod_defaults else ():
            pod_spec[name]["default"] = value
        ports = pod_spec["containers"]["items"]["properties"]["ports"]
        if not port_protocol:
            del ports["items"]["properties"]["protocol"]["default"]
            del ports["x-kubernetes-list-map-keys"]
            ports["x-kubernetes-list-type"] = "atomic"
    return crd


@pytest.fixture
def crds(managed_control_plane: ControlPlane) -> Iterator[ControlPlane]:
    """The control plane, on which the CRD is afterwards what it was."""
    yield managed_control_plane
    apply(managed_control_plane, CRD)


def apply(control_plane: ControlPlane, crd: Any) -> None:
    control_plane.kubectl("apply", "--server-side", "--force-conflicts", "-f-", input=json.dumps(crd))


BARE = crd_with(port_protocol=False, pod_defaults=False)
FULL = crd_with(port_protocol=True, pod_defaults=True)


@pytest.mark.parametrize(("before", "after"), [(BARE, FULL), (FULL, BARE)], ids=["gained", "lost"])
def test_no_pod_restarts(
    crds: ControlPlane, user: User, controller: ControllerProcess, before: Any, after: Any
) -> None:
    has_default = before is FULL
    apply(crds, before)
    entry = role(workers=1)
    for template in ("entryTemplate", "workerTemplate"):
        entry[template]["spec"]["containers"][0]["ports"] = [{"containerPort": 8000}]
    wanted = model("mi", entry, replicas=3)
    user.wait(lambda: stored_protocol(user, wanted) == ("TCP" if has_default else None), "the server goes by the CRD")
    user.wait_settled("mi")
    pods, revisions = user.uids, set(user.revisions)

    apply(crds, after)
    user.wait(lambda: stored_protocol(user, wanted) == (None if has_default else "TCP"), "the server goes by the CRD")
    controller.restart()
    user.patch("mi", {"replicas": 4})  # a pass that is sure to have seen the spec as it is now
    user.wait_settled("mi")
    assert pods.items() <= user.uids.items()
    assert set(user.revisions) == revisions


def stored_protocol(user: User, wanted: Any) -> str | None:
    """What the ModelInfer, applied once more by a user who replaces it, says of the port's protocol."""
    user.kubectl("apply", "-f-", input=json.dumps(wanted))
    stored = json.loads(user.kubectl("get", "modelinfer", "mi", "-o", "json"))
    ports = stored["spec"]["template"]["roles"][0]["entryTemplate"]["spec"]["containers"][0]["ports"]
    found: str | None = ports[0].get("protocol")
    return found
