"""What the server refuses, and what it should have refused: said in conditions, retried; what runs is left alone."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from controlplane import ControlPlane, ControlPlaneError
from models import model, role, update
from user import User, is_ready

CRD = Path(__file__).parents[2] / "manifests" / "crd" / "modelinfers.yaml"
RULES = {"x-kubernetes-validations", "minimum", "maximum", "pattern", "enum", "maxLength", "minLength", "maxItems"}


def quota(pods: int) -> str:
    spec = {"hard": {"pods": str(pods)}}
    return json.dumps({"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "few"}, "spec": spec})


def test_a_quota_is_told_of_and_what_runs_is_left_alone(user: User) -> None:
    user.kubectl("create", "-f-", input=quota(3))
    user.kubectl("wait", "resourcequota/few", "--for=jsonpath={.status.hard.pods}=3", "--timeout=30s")
    user.apply(model("mi", role(workers=1), replicas=2))
    user.wait(lambda: user.condition("mi", "Available").get("reason") == "QuotaExceeded", "the condition says so")
    assert "few" in user.condition("mi", "Available")["message"]
    user.wait(lambda: any("few" in message for message in user.events("QuotaExceeded")), "an event says so")
    user.wait(lambda: sum(map(is_ready, user.pods.values())) == 3, "three pods run")
    uids = user.uids

    user.kubectl("replace", "-f-", input=quota(4))
    user.wait_settled("mi")
    assert {name: user.uids[name] for name in uids} == uids
    assert not user.events("Rebuilding")


def test_an_admission_refusal_in_the_middle_hurts_no_sibling(user: User) -> None:
    """A policy of the cluster refuses the second role's pods: the first one's run on untouched until it is lifted."""
    policy = f"refuse-{user.namespace}"
    api, kind = "admissionregistration.k8s.io/v1", "ValidatingAdmissionPolicy"
    pods = {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}
    refuse: dict[str, Any] = {
        "matchConstraints": {"resourceRules": [pods]},
        "validations": [{"expression": "!object.metadata.name.contains('decode')", "message": "no decode today"}],
    }
    selector = {"matchLabels": {"kubernetes.io/metadata.name": user.namespace}}
    binding = {"policyName": policy, "validationActions": ["Deny"], "matchResources": {"namespaceSelector": selector}}
    items = [
        {"apiVersion": api, "kind": kind, "metadata": {"name": policy}, "spec": refuse},
        {"apiVersion": api, "kind": f"{kind}Binding", "metadata": {"name": policy}, "spec": binding},
    ]
    user.kubectl("create", "-f-", input=json.dumps({"apiVersion": "v1", "kind": "List", "items": items}))
    try:
        _wait_until_refused(user)
        user.apply(model("mi", role("prefill"), role("decode")))
        user.wait(
            lambda: "no decode today" in user.condition("mi", "Available").get("message", ""), "the condition says so"
        )
        uids = user.uids
        assert uids.keys() == {"mi-0-prefill-0-0"}
    finally:
        user.kubectl("delete", f"{kind}Binding,{kind}".lower(), policy)
    user.wait_settled("mi")
    assert user.uids["mi-0-prefill-0-0"] == uids["mi-0-prefill-0-0"]
    assert not user.events("Rebuilding")


def _wait_until_refused(user: User) -> None:
    """The server goes by a new policy only after a moment."""
    probe = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "decode"}, "spec": role()["entryTemplate"]["spec"]}

    def is_refused() -> bool:
        try:
            user.control_plane.kubectl(
                f"--namespace={user.namespace}", "create", "--dry-run=server", "-f-", input=json.dumps(probe)
            )
        except ControlPlaneError:
            return True
        return False

    deadline = time.monotonic() + 30
    while not is_refused():
        assert time.monotonic() < deadline, "the policy is not in force"
        time.sleep(0.1)


@pytest.fixture
def no_rules(managed_control_plane: ControlPlane) -> Iterator[None]:
    """The CRD as it was before anybody thought of rules."""
    definition = yaml.load(CRD.read_text(), Loader=yaml.CSafeLoader)
    managed_control_plane.kubectl("replace", "-f-", input=json.dumps(_without_rules(definition)))
    _wait_until(managed_control_plane, lets_through=True)
    yield
    managed_control_plane.kubectl("replace", "-f", str(CRD))
    _wait_until(managed_control_plane, lets_through=False)


def _wait_until(control_plane: ControlPlane, *, lets_through: bool) -> None:
    """The server goes by a changed CRD only after a moment, and does not tell when."""
    broken = json.dumps(model("probe", role(replicas=-1)))
    deadline = time.monotonic() + 30
    while True:
        try:
            control_plane.kubectl("create", "--dry-run=server", "-f-", input=broken)
            said = ""
        except ControlPlaneError as error:
            said = str(error)
        if not said if lets_through else "greater than or equal to 0" in said:
            return
        assert time.monotonic() < deadline, said
        time.sleep(0.1)


def _without_rules(schema: Any) -> Any:
    if isinstance(schema, list):
        return [_without_rules(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    return {keyword: _without_rules(value) for keyword, value in schema.items() if keyword not in RULES}


def test_a_stored_spec_that_breaks_rules_is_told_of_and_its_pods_run_on(no_rules: None, user: User) -> None:
    user.apply(model("mi", role(workers=1), replicas=2))
    user.wait_settled("mi")
    uids = user.uids

    broken = model("mi", role(workers=1), role("Decode"), replicas=1, **update(maxUnavailable=0, maxSurge=0))
    user.apply(broken)
    user.wait(lambda: user.condition("mi", "Progressing").get("reason") == "InvalidSpec", "the condition says so")
    message = user.condition("mi", "Progressing")["message"]
    assert "spec.template.roles" in message
    assert "rollingUpdateConfiguration" in message
    user.wait(lambda: user.events("InvalidSpec"), "an event says so")
    assert user.uids == uids

    user.kubectl("delete", "modelinfer", "mi", "--wait=false")
    user.wait(lambda: not user.pods, "it can be deleted")


def test_one_that_was_never_valid_says_so_and_runs_when_it_is(no_rules: None, user: User) -> None:
    user.apply(model("mi", role(replicas=-1)))
    user.wait(lambda: user.condition("mi", "Available").get("reason") == "InvalidSpec", "the condition says so")
    assert "spec.template.roles[0].replicas" in user.condition("mi", "Available")["message"]
    assert not user.pods
    user.apply(model("mi"))
    user.wait_settled("mi")
    assert len(user.pods) == 1
