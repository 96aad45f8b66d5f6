"""The CRD on a real kube-apiserver: how it is installed, what it accepts, what it refuses and with which words."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from admission_cases import CASES, POD_TEMPLATE, Case, role, spec, update
from controlplane import ControlPlane, ControlPlaneError
from pod_spec_with_defaults import KEPT, WRITTEN

from modelinfer_controller.api.modelinfer import ModelInferSpec
from modelinfer_controller.api.validation import InvalidSpec, decode
from modelinfer_controller.api.well_known import ACKNOWLEDGED_RESTARTS, GROUP_LEADER, IGNORE_RESTARTS_OF
from modelinfer_controller.planning.pod_defaults import without_defaults

MANIFESTS = Path(__file__).parents[2] / "manifests"
CRD = MANIFESTS / "crd" / "modelinfers.yaml"
WARNINGS = MANIFESTS / "components" / "admission-warnings" / "admission-warnings.yaml"
EXAMPLES = sorted((MANIFESTS / "examples").glob("*/modelinfer.yaml"))
NAME = "customresourcedefinitions/modelinfers.workload.volcano.sh"
# The keywords by which a schema refuses a value; a CRD without them stands for one of before the rules.
RULE_KEYWORDS = {
    "x-kubernetes-validations",
    "minimum",
    "maximum",
    "pattern",
    "enum",
    "maxLength",
    "minLength",
    "maxItems",
}


class ModelInfers:
    """The ModelInfers of one namespace, as kubectl sees them."""

    def __init__(self, control_plane: ControlPlane, namespace: str) -> None:
        self._control_plane = control_plane
        self._namespace = namespace

    def kubectl(self, *arguments: str, input: str | None = None) -> str:
        return self._control_plane.kubectl(f"--namespace={self._namespace}", *arguments, input=input)

    def apply(self, name: str, spec: Mapping[str, Any], *arguments: str) -> None:
        self.kubectl("apply", "-f-", *arguments, input=json.dumps(manifest(name, spec)))

    def get(self, name: str) -> Any:
        return json.loads(self.kubectl("get", "modelinfer", name, "-o", "json"))

    def patch(self, name: str, patch: Mapping[str, Any], *arguments: str) -> None:
        self.kubectl("patch", "mi", name, "--type=merge", f"--patch={json.dumps(patch)}", *arguments)


def manifest(name: str, spec: Mapping[str, Any]) -> dict[str, Any]:
    return Case("", spec, name).manifest


def eventually(attempt: Callable[[], object]) -> None:
    """Tries until it succeeds: the server goes by a new or changed CRD only after a moment."""
    deadline = time.monotonic() + 20
    while True:
        try:
            attempt()
            return
        except (ControlPlaneError, AssertionError):
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)


def refusal(attempt: Callable[[], object]) -> str:
    """What kubectl says against it. Raises AssertionError if it says nothing."""
    try:
        attempt()
    except ControlPlaneError as error:
        return str(error)
    raise AssertionError("was not refused")


@pytest.fixture(scope="module")
def crd(control_plane: ControlPlane) -> ControlPlane:
    """The control plane with the CRD installed, as the README says."""
    control_plane.kubectl("apply", "-f", str(CRD.parent))
    eventually(lambda: control_plane.kubectl("get", "modelinfers"))
    return control_plane


@pytest.fixture
def modelinfers(crd: ControlPlane, namespace: str) -> ModelInfers:
    return ModelInfers(crd, namespace)


@pytest.fixture(scope="module")
def refusals(crd: ControlPlane) -> Mapping[str, str]:
    """What kubectl prints when all cases are created at once (and none stays), by the refused object's name."""
    objects = {"apiVersion": "v1", "kind": "List", "items": [case.manifest for case in CASES]}
    with pytest.raises(ControlPlaneError) as refused:
        crd.kubectl("create", "--dry-run=server", "-f-", input=json.dumps(objects))
    parts = re.split(r'ModelInfer\.workload\.volcano\.sh "(.*?)" is invalid: ', str(refused.value))
    return dict(zip(parts[1::2], parts[2::2], strict=True))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_each_rule_is_accepted_at_its_boundary_and_refused_beyond_it(case: Case, refusals: Mapping[str, str]) -> None:
    if case.is_valid:
        assert case.name not in refusals
    else:
        assert case.says in refusals[case.name]
        assert case.field in refusals[case.name]


def test_no_case_was_refused_for_any_other_reason(refusals: Mapping[str, str]) -> None:
    assert refusals.keys() == {case.name for case in CASES if not case.is_valid}


def test_it_is_applied_client_side_and_server_side(control_plane: ControlPlane) -> None:
    control_plane.kubectl("delete", NAME, "--ignore-not-found")
    assert "created" in control_plane.kubectl("apply", "-f", str(CRD.parent))
    assert "unchanged" in control_plane.kubectl("apply", "-f", str(CRD.parent))
    assert "serverside-applied" in control_plane.kubectl(
        "apply", "--server-side", "--force-conflicts", "-f", str(CRD.parent)
    )
    eventually(lambda: control_plane.kubectl("get", "modelinfers"))
    conditions = json.loads(control_plane.kubectl("get", NAME, "-o", "json"))["status"]["conditions"]
    assert "NonStructuralSchema" not in {condition["type"] for condition in conditions}


def test_explain_reads_well(crd: ControlPlane) -> None:
    rollout = crd.kubectl("explain", "modelinfer.spec.rolloutStrategy")
    assert "how many InferGroups may be unavailable" in " ".join(rollout.split())
    assert "rollingUpdateConfiguration\t<Object>" in rollout
    assert "enum: InferGroupRollingUpdate" in rollout
    entry = crd.kubectl("explain", "modelinfer.spec.template.roles.entryTemplate.spec.containers")
    assert "imagePullPolicy\t<string>" in entry


def test_a_new_object_says_that_nothing_of_it_was_observed(modelinfers: ModelInfers) -> None:
    created = modelinfers.kubectl("create", "-f-", "-o", "json", input=json.dumps(manifest("mi", spec())))
    assert json.loads(created)["status"] == {"observedGeneration": -1}
    assert modelinfers.get("mi")["status"] == {"observedGeneration": -1}


@pytest.fixture
def warnings(crd: ControlPlane) -> Iterator[None]:
    """The component's policy, in force."""
    crd.kubectl("apply", "-f", str(WARNINGS))
    noisy = json.dumps(manifest("7b", spec(role(workerReplicas=1, workerTemplate=POD_TEMPLATE))))
    create = ("create", "--dry-run=server", "--warnings-as-errors", "-f-")
    eventually(lambda: refusal(lambda: crd.kubectl(*create, input=noisy)))
    yield
    crd.kubectl("delete", "-f", str(WARNINGS))


def test_who_writes_what_will_be_dropped_or_refused_is_warned(
    modelinfers: ModelInfers, warnings: None, crd: ControlPlane
) -> None:
    labelled = {**POD_TEMPLATE, "metadata": {"labels": {GROUP_LEADER: "true"}}}
    noted = {**POD_TEMPLATE, "metadata": {"annotations": {ACKNOWLEDGED_RESTARTS: "5"}}}
    fine = {**POD_TEMPLATE, "metadata": {"annotations": {IGNORE_RESTARTS_OF: "proxy"}}}
    for name, one, said in (
        ("mi", spec(role(entryTemplate=labelled)), "a label that only the controller sets; it is dropped"),
        ("mi", spec(role(workerReplicas=1, workerTemplate=noted)), "an annotation that only the controller sets"),
        ("7b-chat", spec(role(workerReplicas=1, workerTemplate=POD_TEMPLATE)), "the name begins with a digit"),
    ):
        body = json.dumps(manifest(name, one))
        told = refusal(lambda body=body: modelinfers.kubectl("create", "--warnings-as-errors", "-f-", input=body))  # type: ignore[misc]
        assert said in told
    for name, one in (("mi-fine", spec(role(entryTemplate=fine))), ("7b-alone", spec())):
        modelinfers.kubectl("create", "--warnings-as-errors", "-f-", input=json.dumps(manifest(name, one)))


def test_scale_is_bounded_too(modelinfers: ModelInfers) -> None:
    modelinfers.apply("mi", spec(role(replicas=2)))
    said = refusal(lambda: modelinfers.kubectl("scale", "mi", "mi", "--replicas=2147483647"))
    assert "less than or equal to 100000" in said
    said = refusal(lambda: modelinfers.kubectl("scale", "mi", "mi", "--replicas=50001"))
    assert "must not ask for more than 100000 pods" in said
    modelinfers.kubectl("scale", "mi", "mi", "--replicas=50000")


def test_optional_fields_are_explained(crd: ControlPlane) -> None:
    for field in ("spec.paused", "spec.minReadySeconds", "spec.template.drain.timeoutSeconds", "status.failedRevision"):
        explained = crd.kubectl("explain", f"modelinfer.{field}")
        assert len(explained.partition("DESCRIPTION:")[2].split()) > 8, explained


def test_defaults_are_those_of_the_reference(modelinfers: ModelInfers) -> None:
    modelinfers.apply("mi", spec(**update()))
    stored = modelinfers.get("mi")["spec"]
    assert stored == {
        "replicas": 1,
        "recoveryPolicy": "RoleRecreate",
        "rolloutStrategy": {
            "type": "InferGroupRollingUpdate",
            "rollingUpdateConfiguration": {"maxUnavailable": 1, "maxSurge": 0, "partition": 0},
        },
        "template": {
            "restartGracePeriodSeconds": 0,
            "roles": [{"name": "decode", "replicas": 1, "workerReplicas": 0, "entryTemplate": POD_TEMPLATE}],
        },
    }
    assert isinstance(decode(json.dumps(stored), "mi"), ModelInferSpec)


def test_nothing_is_added_to_what_a_user_left_out(modelinfers: ModelInfers) -> None:
    modelinfers.apply("mi", spec())
    assert modelinfers.get("mi")["spec"].keys() == {"replicas", "recoveryPolicy", "template"}


POD_SPEC = {
    "serviceAccountName": "default",
    "schedulingGroup": {"podGroupName": "group"},
    "hostAliases": [{"ip": "10.0.0.1", "hostnames": ["a"]}, {"ip": "10.0.0.1", "hostnames": ["b"]}],
    "imagePullSecrets": [{"name": "secret"}],
    "terminationGracePeriodSeconds": 30,
    "tolerations": [{"key": "nvidia.com/gpu", "operator": "Exists", "tolerationSeconds": 10, "effect": "NoExecute"}],
    "resourceClaims": [{"name": "gpu", "resourceClaimTemplateName": "gpu"}],
    "topologySpreadConstraints": [
        {"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "ScheduleAnyway", "labelSelector": {}}
    ],
    "initContainers": [{"name": "sidecar", "image": "image", "restartPolicy": "Always"}],
    "containers": [
        {
            "name": "main",
            "image": "image",
            "imagePullPolicy": "",
            "command": ["sh", "-c", "ray start --head"],
            "env": [
                {"name": "A", "value": ""},
                {"name": "B", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu", "divisor": "1m"}}},
                {"name": "C", "valueFrom": {"secretKeyRef": {"name": "secret", "key": "key", "optional": True}}},
            ],
            "ports": [
                {"containerPort": 80, "protocol": "TCP"},
                {"containerPort": 80, "protocol": "UDP"},
            ],
            "resources": {"limits": {"nvidia.com/gpu": 8, "memory": "1.5Gi"}, "claims": [{"name": "gpu"}]},
            "readinessProbe": {"httpGet": {"path": "/health", "port": "http"}, "periodSeconds": 5},
            "livenessProbe": {"tcpSocket": {"port": 80}},
            "securityContext": {"capabilities": {"add": ["IPC_LOCK"]}},
            "volumeMounts": [{"name": "shm", "mountPath": "/dev/shm"}],
        }
    ],
    "volumes": [
        {"name": "shm", "emptyDir": {"medium": "Memory", "sizeLimit": "16Gi"}},
        {"name": "empty", "emptyDir": {}},
        {
            "name": "cache",
            "ephemeral": {
                "volumeClaimTemplate": {
                    "metadata": {"labels": {"a": "b"}},
                    "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
                }
            },
        },
    ],
}


def test_what_pods_accept_is_accepted_and_stored_as_written(modelinfers: ModelInfers) -> None:
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "pod"}, "spec": POD_SPEC}
    modelinfers.kubectl("create", "--dry-run=server", "-f-", input=json.dumps(pod))
    template = {"metadata": {"labels": {"a": "b"}, "annotations": {"c": "d"}}, "spec": POD_SPEC}
    modelinfers.apply("mi", spec(role(entryTemplate=template, workerReplicas=1, workerTemplate=template)))
    stored = modelinfers.get("mi")["spec"]["template"]["roles"][0]
    assert stored["entryTemplate"] == template
    assert stored["workerTemplate"] == template


@pytest.mark.parametrize(
    ("pod_spec", "says"),
    [
        ({"containers": []}, "at least 1 item"),
        ({}, "containers: Required value"),
        ({"containers": [{"image": "image"}]}, "containers[0].name: Required value"),
        ({"containers": [{"name": "a", "imagePullPolicy": "Sometimes"}]}, 'supported values: "", "Always"'),
        ({"containers": [{"name": "a", "resources": {"limits": {"cpu": "two"}}}]}, "should match"),
        ({"containers": [{"name": "a", "ports": [{"containerPort": "80"}]}]}, "must be of type integer"),
        ({"containers": [{"name": "a"}, {"name": "a"}]}, "Duplicate value"),
        ({"containers": [{"name": "a"}], "nodeSelektor": {}}, 'unknown field "spec.template.roles[0].entryTemplate'),
    ],
)
def test_what_pods_refuse_is_refused_with_its_path(
    modelinfers: ModelInfers, pod_spec: Mapping[str, Any], says: str
) -> None:
    with pytest.raises(ControlPlaneError) as refused:
        modelinfers.apply("mi", spec(role(entryTemplate={"spec": pod_spec})))
    assert says in str(refused.value)
    assert "spec.template.roles[0].entryTemplate.spec" in str(refused.value)


def test_templates_without_a_spec_are_refused(modelinfers: ModelInfers) -> None:
    with pytest.raises(ControlPlaneError, match=r"entryTemplate\.spec must be set"):
        modelinfers.apply("mi", spec(role(entryTemplate={})))
    with pytest.raises(ControlPlaneError, match=r"workerTemplate: .*must be set, with its spec"):
        modelinfers.apply("mi", spec(role(workerReplicas=1, workerTemplate={})))


def test_columns_and_status(modelinfers: ModelInfers) -> None:
    modelinfers.apply("mi", spec(replicas=3))
    condition = {
        "type": "Available",
        "status": "False",
        "reason": "Unschedulable",
        "message": "mi-0 waits",
        "observedGeneration": 1,
        "lastTransitionTime": "2026-01-02T03:04:05Z",
    }
    status = {
        "observedGeneration": 1,
        "replicas": 3,
        "currentReplicas": 1,
        "updatedReplicas": 2,
        "availableReplicas": 1,
        "currentRevision": "mi-old",
        "updateRevision": "mi-new",
        "labelSelector": "modelinfer.volcano.sh/name=mi",
        "conditions": [{**condition, "type": "Progressing", "reason": "Other"}, condition],
        "groups": {
            "0": {
                "revision": "mi-old",
                "complete": {"decode": 1},
                "rebuilds": {
                    "decode-0": {
                        "incarnation": 2,
                        "attempt": 1,
                        "at": "2026-01-02T03:04:05.123456Z",
                        "complete": True,
                    }
                },
            }
        },
    }
    modelinfers.patch("mi", {"status": status}, "--subresource=status")
    assert modelinfers.get("mi")["status"] == status
    narrow, wide = (
        [re.split(r"\s{2,}", line.strip()) for line in modelinfers.kubectl("get", "mi", *arguments).splitlines()]
        for arguments in ((), ("-o", "wide"))
    )
    assert narrow[0] == ["NAME", "REPLICAS", "AVAILABLE", "UPDATED", "REASON", "AGE"]
    assert narrow[1][:5] == ["mi", "3", "1", "2", "Unschedulable"]
    assert wide[0] == ["NAME", "REPLICAS", "AVAILABLE", "UPDATED", "REVISION", "REASON", "AGE"]
    assert wide[1][:6] == ["mi", "3", "1", "2", "mi-new", "Unschedulable"]


def test_scale_reads_and_writes_replicas_and_goes_round_no_rule(modelinfers: ModelInfers) -> None:
    name = "n" * 50
    modelinfers.apply(name, spec(replicas=1, **update(maxUnavailable="100%")))
    modelinfers.kubectl("scale", "mi", name, "--replicas=10")
    assert modelinfers.get(name)["spec"]["replicas"] == 10
    with pytest.raises(ControlPlaneError, match="the longest pod name"):
        modelinfers.kubectl("scale", "mi", name, "--replicas=11")
    modelinfers.patch(name, {"status": {"replicas": 7, "labelSelector": "a=b"}}, "--subresource=status")
    scale = json.loads(modelinfers.kubectl("get", "mi", name, "--subresource=scale", "-o", "json"))
    assert scale["spec"] == {"replicas": 10}
    assert scale["status"] == {"replicas": 7, "selector": "a=b"}


def test_scaling_is_not_stopped_by_a_percentage_that_is_rounded_to_0(modelinfers: ModelInfers) -> None:
    modelinfers.apply("mi", spec(replicas=8, **update(maxUnavailable="25%")))
    modelinfers.kubectl("scale", "mi", "mi", "--replicas=3")
    modelinfers.patch("mi", {"spec": {"recoveryPolicy": "None"}})
    with pytest.raises(ControlPlaneError, match="rounded down to 0"):
        modelinfers.patch("mi", {"spec": update(maxUnavailable="30%")})


def test_the_server_defaults_nothing_that_makes_a_new_revision(modelinfers: ModelInfers) -> None:
    template = {"apiVersion": "v1", "kind": "PodTemplate", "metadata": {"name": "t"}, "template": {"spec": WRITTEN}}
    stored = json.loads(modelinfers.kubectl("create", "-f-", "-o", "json", input=json.dumps(template)))
    kept = stored["template"]["spec"]
    assert kept != WRITTEN
    assert kept["containers"][0]["readinessProbe"]["periodSeconds"] == 10
    for name, value in without_defaults(WRITTEN).items():
        assert without_defaults(kept)[name] == value
    assert without_defaults(kept) == without_defaults(WRITTEN) == without_defaults(KEPT)


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.parent.name)
def test_examples_are_accepted_and_their_pods_would_be(modelinfers: ModelInfers, example: Path) -> None:
    folder = "-k" if (example.parent / "kustomization.yaml").exists() else "-f"
    # Not a dry run: pods need the service account that the folder has.
    modelinfers.kubectl("apply", folder, str(example.parent))
    (document,) = yaml.safe_load_all(example.read_text())
    name = document["metadata"]["name"]
    stored = modelinfers.get(name)
    assert isinstance(decode(json.dumps(stored["spec"]), name), ModelInferSpec)
    for stored_role in stored["spec"]["template"]["roles"]:
        for field in {"entryTemplate", "workerTemplate"} & stored_role.keys():
            pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "pod"}, "spec": stored_role[field]["spec"]}
            modelinfers.kubectl("create", "--dry-run=server", "-f-", input=json.dumps(pod))


def without_rules(schema: Any) -> Any:
    """The schema as it would be had nobody thought of rules yet."""
    if isinstance(schema, list):
        return [without_rules(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    return {keyword: without_rules(value) for keyword, value in schema.items() if keyword not in RULE_KEYWORDS}


@pytest.fixture
def crd_of_before_the_rules(crd: ControlPlane) -> Iterator[None]:
    definition = yaml.load(CRD.read_text(), Loader=yaml.CSafeLoader)
    crd.kubectl("replace", "-f-", input=json.dumps(without_rules(definition)))
    yield
    crd.kubectl("replace", "-f", str(CRD))


def test_an_object_older_than_the_rules_can_be_read_labelled_repaired_and_deleted(
    crd: ControlPlane, crd_of_before_the_rules: None, modelinfers: ModelInfers
) -> None:
    name = "n" * 60
    broken = spec(role(replicas=-1), role("Decode"), **update(maxUnavailable=0, maxSurge="0%"))
    finalized = {**manifest(name, broken), "metadata": {"name": name, "finalizers": ["example.com/held"]}}
    eventually(lambda: modelinfers.kubectl("create", "-f-", input=json.dumps(finalized)))
    crd.kubectl("replace", "-f", str(CRD))
    new = json.dumps(manifest("new", broken))
    eventually(lambda: refusal(lambda: modelinfers.kubectl("create", "--dry-run=server", "-f-", input=new)))

    stored = decode(json.dumps(modelinfers.get(name)["spec"]), name)
    assert isinstance(stored, InvalidSpec)
    assert {violation.field for violation in stored.violations} == {
        "metadata.name",
        "spec.template.roles",
        "spec.template.roles[0].replicas",
        "spec.rolloutStrategy.rollingUpdateConfiguration",
    }
    modelinfers.kubectl("label", "mi", name, "a=b")
    modelinfers.patch(name, {"status": {"replicas": 1}}, "--subresource=status")
    with pytest.raises(ControlPlaneError, match="the longest pod name"):
        modelinfers.patch(name, {"spec": {"recoveryPolicy": "None"}})
    modelinfers.kubectl("delete", "mi", name, "--wait=false")
    modelinfers.patch(name, {"metadata": {"finalizers": None}})
    assert "not found" in refusal(lambda: modelinfers.get(name))
