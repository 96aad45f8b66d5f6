"""The chart: what it makes, and its life on a real API server: install, upgrade, uninstall."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from controller_process import NAMESPACE, wait_until_served
from controlplane import ControlPlane, Settings
from models import model
from peer_crds import served
from user import User

from charts import CHART, ChartError, helm, kubeconform, write_schemas

MANIFESTS = CHART.parents[1] / "manifests"
EVERYTHING = (
    "--set=metrics.secure.enabled=true,metrics.secure.certificateSecret=tls,dashboard.enabled=true",
    "--set=networkPolicy.enabled=true,watchNamespaces={default,kube-public}",
)
RELEASE = ("modelinfer", str(CHART), f"--namespace={NAMESPACE}")
Manifest = dict[str, Any]


@pytest.fixture(scope="module")
def cluster() -> Iterator[ControlPlane]:
    with ControlPlane.start(Settings(nodes=3)) as control_plane:
        yield control_plane


def rendered(*options: str) -> list[Manifest]:
    return [one for one in yaml.safe_load_all(helm("template", *RELEASE, *options)) if one]


def test_helm_finds_nothing_to_say_against_it() -> None:
    assert "1 chart(s) linted, 0 chart(s) failed" in helm("lint", str(CHART), "--strict")


@pytest.mark.parametrize(
    "value", ["replicas=-1", "image.tagg=v2", "watchNamespaces={Models}", "extraArgs={run}", "metrics.plain=nope"]
)
def test_values_that_mean_nothing_are_refused(value: str) -> None:
    with pytest.raises(ChartError, match=r"values don't meet the specifications"):
        rendered(f"--set={value}")


def bare(manifest: Manifest) -> Manifest:
    """Without the labels that name the release, here and in selectors."""
    text = json.dumps({**manifest, "metadata": {**manifest["metadata"], "labels": None, "annotations": None}})
    found: Manifest = json.loads(text.replace(', "app.kubernetes.io/instance": "modelinfer"', ""))
    return found


def test_it_makes_what_the_manifests_make(cluster: ControlPlane) -> None:
    """One truth in two forms: a change of one that the other lacks fails here."""
    texts = [cluster.kubectl("kustomize", str(MANIFESTS / folder)) for folder in ("crd", "default")]
    wanted = [one for one in yaml.safe_load_all("\n---\n".join(texts)) if one and one["kind"] != "Namespace"]
    made = {(one["kind"], one["metadata"]["name"]): bare(one) for one in rendered()}
    assert made.keys() == {(one["kind"], one["metadata"]["name"]) for one in wanted}
    for one in wanted:
        chart_version = made[one["kind"], one["metadata"]["name"]]
        for container in chart_version["spec"]["template"]["spec"]["containers"] if one["kind"] == "Deployment" else ():
            assert container.pop("imagePullPolicy") == "IfNotPresent"
        assert chart_version == bare(one)


@pytest.mark.parametrize("options", [(), EVERYTHING], ids=["defaults", "everything"])
def test_the_servers_own_schemas_allow_it(cluster: ControlPlane, options: tuple[str, ...], tmp_path: Path) -> None:
    write_schemas(json.loads(cluster.kubectl("get", "--raw", "/openapi/v2")), tmp_path)
    text = yaml.safe_dump_all(rendered(*options))
    assert "Invalid: 0, Errors: 0, Skipped: 0" in kubeconform(text, tmp_path)
    with pytest.raises(ChartError, match="replica_count"):
        kubeconform(text.replace("replicas: 2", "replica_count: 2"), tmp_path)


def test_the_prometheus_operator_takes_what_it_makes(cluster: ControlPlane) -> None:
    made = rendered("--set=serviceMonitor.enabled=true,alerts.enabled=true")
    wanted = [one for one in made if one["apiVersion"].startswith("monitoring.coreos.com/")]
    assert {one["kind"] for one in wanted} == {"ServiceMonitor", "PrometheusRule"}
    cluster.create_namespace("monitored")
    with served(cluster, "prometheus-operator"):
        for one in wanted:
            one["metadata"]["namespace"] = "monitored"
            cluster.kubectl("apply", "--dry-run=server", "--validate=strict", "-f-", input=yaml.safe_dump(one))


def test_install_upgrade_and_uninstall_lose_no_model_infer(cluster: ControlPlane) -> None:
    kubeconfig = cluster.kubeconfig
    cluster.create_namespace(NAMESPACE)
    helm("install", *RELEASE, "--wait", "--timeout=120s", kubeconfig=kubeconfig)
    wait_until_served(cluster)
    cluster.create_namespace("kept")
    user = User(cluster, "kept")
    user.apply(model("mi", replicas=1))

    helm("upgrade", *RELEASE, "--set=replicas=1", *EVERYTHING[:1], "--set=metrics.secure.certificateSecret=",
         "--wait", "--timeout=120s", kubeconfig=kubeconfig)  # fmt: skip
    deployment = json.loads(cluster.kubectl(f"--namespace={NAMESPACE}", "get", "deployments", "-o", "json"))["items"][0]
    assert deployment["spec"]["replicas"] == 1
    assert "--metrics-secure-bind-address=:8443" in deployment["spec"]["template"]["spec"]["containers"][0]["args"]

    helm("uninstall", "modelinfer", f"--namespace={NAMESPACE}", "--wait", kubeconfig=kubeconfig)
    assert cluster.kubectl(f"--namespace={NAMESPACE}", "get", "deployments", "-o", "name") == ""
    assert cluster.kubectl("get", "clusterroles", "-o", "name").count("modelinfer") == 0
    assert "mi" in user.kubectl("get", "modelinfers", "-o", "name")
    user.close()

    helm("install", *RELEASE, "--wait", "--timeout=120s", kubeconfig=kubeconfig)


def test_an_upgrade_brings_the_new_crd(cluster: ControlPlane) -> None:
    """What files of crds/ would not: here the CRD lost a field that the chart has."""
    crd = "modelinfers.workload.volcano.sh"
    cluster.kubectl("patch", "crd", crd, "--type=json", '--patch=[{"op": "remove", "path": "/spec/names/shortNames"}]')
    helm("upgrade", *RELEASE, "--force-conflicts", kubeconfig=cluster.kubeconfig)
    assert json.loads(cluster.kubectl("get", "crd", crd, "-o", "json"))["spec"]["names"].get("shortNames")
