"""The manifests as they are installed: `kubectl apply -f manifests/crd`, then `kubectl apply -k manifests/default`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from controller_process import wait_until_served
from controlplane import ControlPlane, ControlPlaneError, Settings
from models import model
from running_command import SYSTEM, RunningCommand
from user import User

from modelinfer_controller.app.settings import KEYS

MANIFESTS = Path(__file__).parents[2] / "manifests"
COMPONENTS = sorted(path.name for path in (MANIFESTS / "components").iterdir())
# What the API server is never asked for by us: it is looked up by an admission plugin of some clusters.
ONLY_FOR_ADMISSION = ("workload.volcano.sh", "modelinfers/finalizers", "update")


@pytest.fixture(scope="module")
def installed() -> Iterator[ControlPlane]:
    with ControlPlane.start(Settings(nodes=3)) as control_plane:
        control_plane.kubectl("apply", "-f", str(MANIFESTS / "crd"))
        wait_until_served(control_plane)
        control_plane.kubectl("apply", "-k", str(MANIFESTS / "default"))
        yield control_plane


def rendered(control_plane: ControlPlane, folder: Path) -> list[dict[str, Any]]:
    return [one for one in yaml.safe_load_all(control_plane.kubectl("kustomize", str(folder))) if one]


def container(control_plane: ControlPlane) -> dict[str, Any]:
    manifests = rendered(control_plane, MANIFESTS / "default")
    deployment = next(one for one in manifests if one["kind"] == "Deployment")
    (found,) = deployment["spec"]["template"]["spec"]["containers"]
    assert isinstance(found, dict)
    return found


def test_two_replicas_are_admitted_where_pod_security_is_restricted(installed: ControlPlane) -> None:
    installed.kubectl(
        f"--namespace={SYSTEM}",
        "wait",
        "deployment/modelinfer-controller",
        "--for=condition=Available",
        "--timeout=60s",
    )
    pods = json.loads(installed.kubectl(f"--namespace={SYSTEM}", "get", "pods", "-o", "json"))["items"]
    assert len(pods) == 2
    assert len({pod["spec"]["nodeName"] for pod in pods}) == 2
    labels = json.loads(installed.kubectl("get", "namespace", SYSTEM, "-o", "json"))["metadata"]["labels"]
    assert labels["pod-security.kubernetes.io/enforce"] == "restricted"


def test_the_containers_arguments_are_settings(installed: ControlPlane) -> None:
    command, *flags = container(installed)["args"]
    assert command == "run"
    assert {flag.removeprefix("--").partition("=")[0] for flag in flags} <= set(KEYS)


def test_the_crd_is_not_among_what_is_deleted(installed: ControlPlane) -> None:
    kinds = {one["kind"] for one in rendered(installed, MANIFESTS / "default")}
    assert "CustomResourceDefinition" not in kinds
    assert "Deployment" in kinds


@pytest.mark.parametrize("component", COMPONENTS)
def test_each_component_can_be_added(installed: ControlPlane, component: str, tmp_path: Path) -> None:
    """The copy is laid out as the original, since kustomize follows no path out of its folder's parent."""
    copy = tmp_path / "manifests"
    for source in MANIFESTS.rglob("*"):
        if source.is_file() and "crd" not in source.parts:
            target = copy / source.relative_to(MANIFESTS)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(source.read_text())
    kustomization = copy / "default" / "kustomization.yaml"
    content = yaml.safe_load(kustomization.read_text())
    kustomization.write_text(yaml.safe_dump({**content, "components": [f"../components/{component}"]}))
    before = {(one["kind"], one["metadata"]["name"]) for one in rendered(installed, MANIFESTS / "default")}
    added = [
        one for one in rendered(installed, copy / "default") if (one["kind"], one["metadata"]["name"]) not in before
    ]
    assert len(added) == 1
    assert added[0]["metadata"]["namespace"] == SYSTEM
    if not added[0]["apiVersion"].startswith("monitoring.coreos.com/"):  # kinds that are not installed here
        installed.kubectl("apply", "--dry-run=server", "-f-", input=yaml.safe_dump(added[0]))


def granted(control_plane: ControlPlane) -> set[tuple[str, str, str]]:
    """(group, resource, verb) of the ClusterRole."""
    role = json.loads(control_plane.kubectl("get", "clusterrole", "modelinfer-controller", "-o", "json"))
    return {
        (group, resource, verb)
        for rule in role["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }


def test_what_is_granted_is_what_is_needed(installed: ControlPlane) -> None:
    """The other tests show that it suffices: they all run under these rights."""
    written = ("get", "list", "watch", "create", "patch", "delete")
    children = (
        ("", "pods"),
        ("", "services"),
        ("apps", "controllerrevisions"),
        ("scheduling.volcano.sh", "podgroups"),
        ("scheduling.k8s.io", "podgroups"),
    )
    needed = {(group, resource, verb) for group, resource in children for verb in written}
    needed |= {("workload.volcano.sh", "modelinfers", verb) for verb in ("list", "watch")}
    needed |= {("workload.volcano.sh", "modelinfers/status", "patch")}
    needed |= {("", "events", verb) for verb in ("create", "patch")}
    assert granted(installed) == needed | {ONLY_FOR_ADMISSION}


@pytest.mark.parametrize(
    ("verb", "resource"),
    [
        ("get", "secrets"),
        ("create", "pods/exec"),
        ("update", "modelinfers"),
        ("delete", "modelinfers"),
        ("deletecollection", "pods"),
        ("list", "nodes"),
        ("create", "serviceaccounts/token"),
        ("escalate", "clusterroles"),
        ("get", "leases"),
    ],
)
def test_what_would_be_too_much_is_refused(installed: ControlPlane, verb: str, resource: str) -> None:
    user = f"system:serviceaccount:{SYSTEM}:modelinfer-controller"
    kind, _, subresource = resource.partition("/")
    options = [f"--as={user}", "--namespace=default", f"--subresource={subresource}"]
    with pytest.raises(ControlPlaneError, match="no"):
        installed.kubectl("auth", "can-i", verb, kind, *options)


def test_removing_the_controller_loses_no_model_infer(installed: ControlPlane) -> None:
    installed.create_namespace("kept")
    user = User(installed, "kept")
    controller = RunningCommand(installed, "--namespace=kept")
    try:
        user.apply(model("mi", replicas=2))
        user.wait_settled("mi")
        before = user.uids
        assert controller.process.poll() is None
    finally:
        controller.end()
    installed.kubectl("delete", "-k", str(MANIFESTS / "default"), "--wait=true", "--timeout=60s")
    assert "mi" in user.kubectl("get", "modelinfers", "-o", "name")
    assert user.uids == before
    installed.kubectl("apply", "-k", str(MANIFESTS / "default"))
    again = RunningCommand(installed, "--namespace=kept")
    try:
        user.kubectl("scale", "modelinfer", "mi", "--replicas=3")
        user.wait_settled("mi")
        assert user.uids.items() >= before.items()
    finally:
        again.end()
        user.close()
