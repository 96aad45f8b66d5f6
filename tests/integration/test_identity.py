"""Names, labels, variables, Services and owners: what existing workloads depend on."""

from __future__ import annotations

import json
from typing import Any

import pytest
from models import DOMAIN, model, pod, role
from user import User
from watched import Object

OWN = ("name", "group-name", "role", "role-id", "revision", "entry")
VARIABLES = [
    {"name": "BEFORE", "value": "$(ENTRY_ADDRESS):$(WORKER_INDEX)/$(GROUP_SIZE)"},
    {"name": "POD", "valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.name"}}},
]


def template(image: str) -> Any:
    """With labels of its own, one of them ours, which it must not get, and with variables that refer to ours."""
    made = pod(image, init=True)
    for container in (*made["spec"]["containers"], *made["spec"]["initContainers"]):
        container["env"] = VARIABLES
    labels = {"team": "blue", f"{DOMAIN}/name": "somebody-else", f"{DOMAIN}/entry": "perhaps"}
    return {**made, "metadata": {"labels": labels, "annotations": {"note": "kept"}}}


@pytest.fixture(scope="module")
def settled(module_user: User) -> User:
    user = module_user
    prefill = {
        **role("Prefill", replicas=2, workers=2),
        "entryTemplate": template("p"),
        "workerTemplate": template("w"),
    }
    user.apply(model("mi", prefill, role("decode"), replicas=2))
    user.wait_settled("mi")
    return user


def expected_pods() -> dict[str, tuple[int, str, int, int, int]]:
    """name -> (group, role, instance, index, group size)"""
    prefill = {f"mi-{g}-prefill-{r}-{k}": (g, "Prefill", r, k, 3) for g in range(2) for r in range(2) for k in range(3)}
    return {**prefill, **{f"mi-{g}-decode-0-0": (g, "decode", 0, 0, 1) for g in range(2)}}


def owner_of(user: User, name: str) -> list[Object]:
    return [
        {
            "apiVersion": "workload.volcano.sh/v1alpha1",
            "kind": "ModelInfer",
            "name": name,
            "uid": user.model(name)["metadata"]["uid"],
            "controller": True,
            "blockOwnerDeletion": True,
        }
    ]


def test_pods_bear_the_names_labels_and_owner_of_the_contract(settled: User) -> None:
    assert settled.pods.keys() == expected_pods().keys()
    revision = settled.status("mi")["updateRevision"]
    for name, (group, role_name, instance, index, _) in expected_pods().items():
        metadata = settled.pods[name]["metadata"]
        own = {key: metadata["labels"].get(f"{DOMAIN}/{key}") for key in OWN}
        assert own == {
            "name": "mi",
            "group-name": f"mi-{group}",
            "role": role_name,
            "role-id": f"{role_name}-{instance}",
            "revision": revision,
            "entry": "true" if index == 0 else None,
        }
        assert metadata["ownerReferences"] == owner_of(settled, "mi")
        if role_name == "Prefill" and index > 0:
            # Ours win over the template's where they are ours to set; a worker has no entry label of ours.
            assert f"{DOMAIN}/entry" not in metadata["labels"]
        if role_name == "Prefill":
            assert metadata["labels"]["team"] == "blue"
            assert metadata["annotations"]["note"] == "kept"


def test_our_variables_come_first_in_every_container(settled: User) -> None:
    for name, (group, role_name, instance, index, size) in expected_pods().items():
        spec = settled.pods[name]["spec"]
        own = [
            {"name": "GROUP_SIZE", "value": str(size)},
            {"name": "ENTRY_ADDRESS", "value": f"mi-{group}-{role_name.lower()}-{instance}-0.{settled.namespace}"},
            {"name": "WORKER_INDEX", "value": str(index)},
        ]
        containers = (*spec["containers"], *spec.get("initContainers", []))
        assert [container["env"] for container in containers] == [
            own + (VARIABLES if role_name == "Prefill" else []) for _ in containers
        ]


def test_each_instance_with_workers_has_a_headless_service_of_its_entry_pod(settled: User) -> None:
    expected = {f"mi-{g}-prefill-{r}-0": (f"mi-{g}", f"Prefill-{r}") for g in range(2) for r in range(2)}
    assert settled.services.keys() == expected.keys()
    for name, service in settled.services.items():
        group, role_id = expected[name]
        own = {key: service["metadata"]["labels"].get(f"{DOMAIN}/{key}") for key in ("name", "group-name", "role-id")}
        assert own == {"name": "mi", "group-name": group, "role-id": role_id}
        assert service["metadata"]["ownerReferences"] == owner_of(settled, "mi")
        assert service["spec"]["clusterIP"] == "None"
        assert service["spec"]["publishNotReadyAddresses"] is True
        selector = ",".join(f"{key}={value}" for key, value in service["spec"]["selector"].items())
        selected = json.loads(settled.kubectl("get", "pods", f"--selector={selector}", "-o", "json"))["items"]
        assert [one["metadata"]["name"] for one in selected] == [name]
        assert f"{DOMAIN}/revision" not in service["spec"]["selector"]


def test_the_entry_address_is_one_pod_before_it_is_ready(user: User) -> None:
    user.apply(model("mi", role(workers=2, never_ready="true")))
    user.wait(lambda: len(user.pods) == 3 and all(one["status"].get("podIP") for one in user.pods.values()), "running")
    slices = "jsonpath={.items[*].endpoints[*].targetRef.name}"
    selector = "--selector=kubernetes.io/service-name=mi-0-decode-0-0"
    user.kubectl("wait", "endpointslices", selector, "--for=create", "--timeout=15s")
    user.kubectl(
        "wait", "endpointslices", selector, "--for=jsonpath={.endpoints[0].conditions.ready}=true", "--timeout=15s"
    )
    assert user.kubectl("get", "endpointslices", selector, "-o", slices) == "mi-0-decode-0-0"


def test_one_pod_of_each_group_stands_for_it_in_the_scale_subresource(settled: User) -> None:
    scale = json.loads(settled.kubectl("get", "modelinfer", "mi", "--subresource=scale", "-o", "json"))
    assert scale["status"]["replicas"] == 2
    selected = settled.kubectl("get", "pods", f"--selector={scale['status']['selector']}", "-o", "name").split()
    assert selected == ["pod/mi-0-prefill-0-0", "pod/mi-1-prefill-0-0"]


def test_the_revision_is_kept_as_a_controller_revision_of_the_model_infer(settled: User) -> None:
    (revision,) = settled.revisions.values()
    status = settled.status("mi")
    assert revision["metadata"]["name"] == status["updateRevision"] == status["currentRevision"]
    assert revision["metadata"]["name"].startswith("mi-")
    assert revision["metadata"]["ownerReferences"] == owner_of(settled, "mi")
    made_after = [one["metadata"]["creationTimestamp"] for one in settled.pods.values()]
    assert revision["metadata"]["creationTimestamp"] <= min(made_after)


def test_the_scheduler_of_the_spec_is_every_pods_scheduler(user: User) -> None:
    entry = pod()
    entry["spec"]["schedulerName"] = "of-the-template"
    user.apply(model("mi", {**role(workers=1), "entryTemplate": entry}, schedulerName="of-the-spec"))
    user.wait(lambda: len(user.pods) == 2, "both pods")
    assert {one["spec"]["schedulerName"] for one in user.pods.values()} == {"of-the-spec"}


def test_the_status_tells_all_counts_and_conditions(settled: User) -> None:
    status = settled.status("mi")
    counts = ("replicas", "currentReplicas", "updatedReplicas", "availableReplicas")
    assert [status[count] for count in counts] == [2, 2, 2, 2]
    assert status["observedGeneration"] == settled.model("mi")["metadata"]["generation"]
    for condition in status["conditions"]:
        assert condition["reason"]
        assert condition["message"]
        assert condition["observedGeneration"] == status["observedGeneration"]
        assert condition["lastTransitionTime"]
