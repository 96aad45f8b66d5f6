"""The manifests as they are installed: `kubectl apply -f manifests/crd`, then `kubectl apply -k manifests/default`."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from controller_process import wait_until_served
from controlplane import ControlPlane, ControlPlaneError, Settings
from models import model
from peer_crds import served
from running_command import SYSTEM, RunningCommand
from user import User

from charts import CHART, helm
from modelinfer_controller.app.settings import KEYS

MANIFESTS = Path(__file__).parents[2] / "manifests"
COMPONENTS = sorted(path.name for path in (MANIFESTS / "components").iterdir())
NAMESPACE = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "models"}}
# What the API server is never asked for by us: it is looked up by an admission plugin of some clusters.
NODES_ROLE = "modelinfer-controller-nodes"
ONLY_FOR_ADMISSION = ("workload.volcano.sh", "modelinfers/finalizers", "update")


@pytest.fixture(scope="module")
def installed() -> Iterator[ControlPlane]:
    with ControlPlane.start(Settings(nodes=3)) as control_plane:
        control_plane.kubectl("apply", "-f", str(MANIFESTS / "crd"))
        wait_until_served(control_plane)
        control_plane.kubectl("apply", "-k", str(MANIFESTS / "default"))
        with served(control_plane, "prometheus-operator"):
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
    before = rendered(installed, MANIFESTS / "default")
    added = [one for one in with_component(installed, component, tmp_path) if one not in before]
    assert added
    for one in added:
        if one["metadata"].get("namespace") == "models":
            installed.kubectl("apply", "-f-", input=yaml.safe_dump(NAMESPACE))
        installed.kubectl("apply", "--dry-run=server", "--validate=strict", "-f-", input=yaml.safe_dump(one))


def with_component(control_plane: ControlPlane, component: str, folder: Path) -> list[dict[str, Any]]:
    """The copy is laid out as the original, since kustomize follows no path out of its folder's parent."""
    copy = folder / "manifests"
    shutil.copytree(MANIFESTS, copy)
    kustomization = copy / "default" / "kustomization.yaml"
    content = yaml.safe_load(kustomization.read_text())
    kustomization.write_text(yaml.safe_dump({**content, "components": [f"../components/{component}"]}))
    return rendered(control_plane, copy / "default")


def test_a_namespaced_controller_has_no_rights_elsewhere(installed: ControlPlane, tmp_path: Path) -> None:
    manifests = with_component(installed, "namespaced", tmp_path)
    of_cluster = {one["metadata"]["name"] for one in manifests if one["kind"].startswith("ClusterRole")}
    assert of_cluster == {"modelinfer-view", "modelinfer-edit"}
    (role,) = (one for one in manifests if one["kind"] == "Role" and one["metadata"]["namespace"] == "models")
    cluster_role = next(
        one
        for one in rendered(installed, MANIFESTS / "default")
        if (one["kind"], one["metadata"]["name"]) == ("ClusterRole", "modelinfer-controller")
    )
    assert role["rules"] == cluster_role["rules"]
    (binding,) = (one for one in manifests if one["kind"] == "RoleBinding" and one["metadata"]["namespace"] == "models")
    assert binding["roleRef"]["kind"] == "Role"


@pytest.mark.parametrize("by", ["the component", "the chart"])
def test_a_namespaced_controller_works_in_its_namespace_and_in_no_other(by: str, tmp_path: Path) -> None:
    with ControlPlane.start(Settings(nodes=2)) as control_plane:
        control_plane.kubectl("apply", "--server-side", "-f", str(MANIFESTS / "crd"))
        wait_until_served(control_plane)
        for namespace in (SYSTEM, "models", "others"):
            control_plane.create_namespace(namespace)
        made = with_component(control_plane, "namespaced", tmp_path) if by == "the component" else by_chart()
        rights = [one for one in made if "Role" in one["kind"] or one["kind"] == "ServiceAccount"]
        control_plane.kubectl("apply", "-f-", input=yaml.safe_dump_all(rights))
        (deployment,) = (one for one in made if one["kind"] == "Deployment")
        (shipped,) = deployment["spec"]["template"]["spec"]["containers"]
        controller = RunningCommand(control_plane, *(flag for flag in shipped["args"] if "--namespace" in flag))
        user, other = User(control_plane, "models"), User(control_plane, "others")
        try:
            other.apply(model("mi"))
            user.apply(model("mi", replicas=2))
            user.wait_settled("mi")
            assert other.model("mi")["status"] == {"observedGeneration": -1}
        finally:
            controller.end()
            user.close()
            other.close()


def by_chart() -> list[dict[str, Any]]:
    options = (f"--namespace={SYSTEM}", "--set=watchNamespaces={models},crds.install=false")
    return [one for one in yaml.safe_load_all(helm("template", "modelinfer", str(CHART), *options)) if one]


@pytest.mark.parametrize(
    ("role", "verb", "resource", "answer"),
    [
        ("view", "list", "modelinfers", True),
        ("view", "patch", "modelinfers", False),
        ("edit", "create", "modelinfers", True),
        ("edit", "patch", "modelinfers/scale", True),
        ("edit", "patch", "modelinfers/status", False),
        ("admin", "delete", "modelinfers", True),
        ("admin", "list", "modelinfers", True),
    ],
)
def test_the_roles_of_a_namespace_cover_model_infers(
    installed: ControlPlane, role: str, verb: str, resource: str, answer: bool
) -> None:
    binding = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "RoleBinding",
        "metadata": {"name": f"{role}s", "namespace": "default"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
        "subjects": [{"kind": "User", "name": f"{role}er"}],
    }
    installed.kubectl("apply", "-f-", input=yaml.safe_dump(binding))
    kind, _, subresource = resource.partition("/")
    asked = (
        verb,
        f"{kind}.workload.volcano.sh",
        "--namespace=default",
        f"--as={role}er",
        f"--subresource={subresource}",
    )
    assert eventually(lambda: is_allowed(installed, *asked), answer) is answer


def is_allowed(control_plane: ControlPlane, *asked: str) -> bool:
    try:
        return control_plane.kubectl("auth", "can-i", *asked).strip() == "yes"
    except ControlPlaneError:
        return False


def eventually(look: Callable[[], bool], wanted: bool) -> bool:
    """The server's aggregation and its authorizer hear of a change a moment later."""
    deadline = time.monotonic() + 5
    while look() is not wanted and time.monotonic() < deadline:
        time.sleep(0.1)
    return look()


def granted(control_plane: ControlPlane, name: str = "modelinfer-controller") -> set[tuple[str, str, str]]:
    """(group, resource, verb) of the ClusterRole."""
    role = json.loads(control_plane.kubectl("get", "clusterrole", name, "-o", "json"))
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
        ("policy", "poddisruptionbudgets"),
        ("scheduling.volcano.sh", "podgroups"),
        ("scheduling.k8s.io", "podgroups"),
    )
    needed = {(group, resource, verb) for group, resource in children for verb in written}
    needed |= {("workload.volcano.sh", "modelinfers", verb) for verb in ("list", "watch")}
    needed |= {("workload.volcano.sh", "modelinfers/status", "patch")}
    needed |= {("", "events", verb) for verb in ("create", "patch")}
    assert granted(installed) == needed | {ONLY_FOR_ADMISSION}
    assert granted(installed, NODES_ROLE) == {("", "nodes", "list"), ("", "nodes", "watch")}


@pytest.mark.parametrize(
    ("verb", "resource"),
    [
        ("get", "secrets"),
        ("create", "pods/exec"),
        ("update", "modelinfers"),
        ("delete", "modelinfers"),
        ("deletecollection", "pods"),
        ("patch", "nodes"),
        ("create", "pods/eviction"),
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
