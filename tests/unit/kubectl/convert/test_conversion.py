"""Manifests of other projects become ModelInfers; whatever has no equal is named."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from modelinfer_controller.api.modelinfer import ModelInferSpec
from modelinfer_controller.api.validation import decode
from modelinfer_controller.kubectl.cli.main import plugin
from modelinfer_controller.kubectl.convert.conversion import Converted, converted
from modelinfer_controller.kubectl.convert.templates import patched

from .manifests import LEADER_WORKER_SET, MODEL_SERVING, ROLE_BASED_GROUP, STATEFUL_SET

ALL = (LEADER_WORKER_SET, MODEL_SERVING, ROLE_BASED_GROUP, STATEFUL_SET)


def one(document: Mapping[str, Any], **options: bool) -> Converted:
    (result,) = converted([document], **options)
    return result


def fields(result: Converted) -> set[str]:
    return {note.field for note in result.notes}


@pytest.mark.parametrize("document", ALL, ids=lambda document: document["kind"])
def test_the_result_is_a_valid_model_infer_and_the_source_is_untouched(document: dict[str, Any]) -> None:
    before = copy.deepcopy(document)
    result = one(document)
    assert document == before
    assert result.document["kind"] == "ModelInfer"
    assert isinstance(decode(json.dumps(result.document["spec"]), "name"), ModelInferSpec)
    assert "result" not in fields(result)


@pytest.mark.parametrize("document", ALL, ids=lambda document: document["kind"])
def test_a_field_that_nobody_knows_is_named(document: dict[str, Any]) -> None:
    changed = copy.deepcopy(document)
    changed["spec"]["fromTheFuture"] = {"a": [{"b": 1}]}
    assert "spec.fromTheFuture.a[0].b" in fields(one(changed))


def test_leader_worker_set() -> None:
    result = one(LEADER_WORKER_SET)
    metadata, spec = result.document["metadata"], result.document["spec"]
    assert metadata == {"name": "vllm", "namespace": "models", "labels": {"app": "vllm"}}
    assert spec["replicas"] == 3
    assert spec["recoveryPolicy"] == "InferGroupRecreate"
    assert spec["rolloutStrategy"]["rollingUpdateConfiguration"] == {
        "maxUnavailable": "50%",
        "maxSurge": 1,
        "partition": 2,
    }
    assert spec["template"]["startupPolicy"] == "EntryReady"
    (role,) = spec["template"]["roles"]
    assert (role["replicas"], role["workerReplicas"]) == (1, 3)
    assert role["entryTemplate"]["metadata"] == {
        "labels": {"role": "leader"},
        "annotations": {"modelinfer.volcano.sh/lws-env": "true"},
    }
    assert role["workerTemplate"]["metadata"]["annotations"] == {"modelinfer.volcano.sh/lws-env": "true"}
    assert fields(result) == {
        "metadata.annotations[leaderworkerset.sigs.k8s.io/exclusive-topology]",
        "spec.leaderWorkerTemplate.leaderTemplate.metadata.finalizers",
        "spec.leaderWorkerTemplate.subGroupPolicy",
        "spec.leaderWorkerTemplate.volumeClaimTemplates",
        "spec.networkConfig.subdomainPolicy",
    }


def test_leader_worker_set_of_single_pods() -> None:
    """size is 1 by default, and the leader is made from the workers' template where it has none."""
    document = copy.deepcopy(LEADER_WORKER_SET)
    template = document["spec"]["leaderWorkerTemplate"]
    del template["size"], template["leaderTemplate"]
    (role,) = one(document).document["spec"]["template"]["roles"]
    assert role["workerReplicas"] == 0
    assert "workerTemplate" not in role
    assert role["entryTemplate"]["spec"]["containers"][0]["name"] == "vllm"


def test_model_serving() -> None:
    result = one(MODEL_SERVING)
    spec = result.document["spec"]
    assert spec["schedulerName"] == "volcano", "the default of a ModelServing"
    assert spec["recoveryPolicy"] == "InferGroupRecreate"
    assert spec["rolloutStrategy"]["rollingUpdateConfiguration"] == {"maxUnavailable": 2, "maxSurge": 0, "partition": 0}
    assert spec["template"]["gangSchedule"] == {
        "minRoleReplicas": {"prefill": 1},
        "networkTopology": {"mode": "hard", "highestTierAllowed": 1},
    }
    assert [(role["name"], role["replicas"], role["workerReplicas"]) for role in spec["template"]["roles"]] == [
        ("prefill", 2, 1),
        ("decode", 1, 0),
    ]
    assert fields(result) == {
        "metadata.name",
        "spec.plugins",
        "spec.rolloutStrategy.rollingUpdateConfiguration.partition",
        "spec.template.networkTopology.rolePolicy",
        "spec.template.roles[0].maxUnavailable",
    }


def test_model_infer_stays_as_it_is() -> None:
    document = one(MODEL_SERVING).document
    again = one({**document, "spec": {**document["spec"], "plugins": []}})
    assert again.document == document
    assert again.notes == ()


def test_role_based_group() -> None:
    result = one(ROLE_BASED_GROUP)
    metadata, spec = result.document["metadata"], result.document["spec"]
    assert metadata["annotations"] == {"team": "search", "scheduling.volcano.sh/queue-name": "gpu"}
    assert (spec["replicas"], spec["recoveryPolicy"], spec["minReadySeconds"]) == (1, "RoleRecreate", 5)
    assert spec["template"]["gangSchedule"] == {}
    router, decode_role = spec["template"]["roles"]
    assert (router["name"], router["replicas"], router["workerReplicas"]) == ("router", 1, 0)
    assert (decode_role["replicas"], decode_role["workerReplicas"]) == (2, 2)
    (entry,) = decode_role["entryTemplate"]["spec"]["containers"]
    assert entry["image"] == "lmsysorg/sglang:v0.5.23"
    assert entry["env"] == [
        {"name": "RBG_LWP_LEADER_ADDRESS", "value": "$(ENTRY_ADDRESS)"},
        {"name": "A", "value": "1"},
        {"name": "B", "value": "2"},
    ]
    assert decode_role["workerTemplate"]["metadata"]["labels"] == {"app": "pd", "part": "worker"}
    assert fields(result) == {
        "metadata.annotations[rbg.workloads.x-k8s.io/group-exclusive-topology]",
        "restart policy of role router",
        "spec.roles[0].servicePorts",
        "spec.roles[1].dependencies",
        "spec.roles[1].leaderWorkerPattern.restartPolicyConfig",
        "spec.roles[1].rolloutStrategy",
        "spec.roles[1].scalingAdapter",
    }


def test_role_based_group_of_v1alpha1() -> None:
    """The template beside the pattern, patches by their older names, a gang by podGroupPolicy."""
    template = ROLE_BASED_GROUP["spec"]["roleTemplates"][0]["template"]
    document = {
        "apiVersion": "workloads.x-k8s.io/v1alpha1",
        "kind": "RoleBasedGroupSet",
        "metadata": {"name": "pd"},
        "spec": {
            "replicas": 2,
            "template": {
                "podGroupPolicy": {"volcanoScheduling": {"queue": "gpu"}},
                "roles": [
                    {
                        "name": "decode",
                        "replicas": 1,
                        "restartPolicy": "RecreateRBGOnPodRestart",
                        "template": template,
                        "leaderWorkerSet": {
                            "size": 2,
                            "patchWorkerTemplate": {"metadata": {"labels": {"part": "worker"}}},
                        },
                        "workload": {"apiVersion": "apps/v1", "kind": "StatefulSet"},
                    }
                ],
            },
        },
    }
    result = one(document)
    spec = result.document["spec"]
    assert (spec["replicas"], spec["recoveryPolicy"]) == (2, "InferGroupRecreate")
    assert spec["template"]["gangSchedule"] == {}
    assert result.document["metadata"]["annotations"] == {"scheduling.volcano.sh/queue-name": "gpu"}
    (role,) = spec["template"]["roles"]
    assert role["workerReplicas"] == 1
    assert role["workerTemplate"]["metadata"]["labels"]["part"] == "worker"
    assert fields(result) == {"metadata.name", "spec.template.roles[0].workload"}


def test_a_stateful_set_of_independent_servers() -> None:
    result = one(STATEFUL_SET)
    spec = result.document["spec"]
    assert (spec["replicas"], spec["recoveryPolicy"], spec["minReadySeconds"]) == (4, "None", 10)
    assert spec["rolloutStrategy"]["rollingUpdateConfiguration"]["partition"] == 1
    assert fields(result) == {"spec.podManagementPolicy", "spec.serviceName", "spec.volumeClaimTemplates"}


def test_a_stateful_set_of_ranks() -> None:
    spec = one(STATEFUL_SET, one_group=True).document["spec"]
    (role,) = spec["template"]["roles"]
    assert (spec["replicas"], role["workerReplicas"], spec["recoveryPolicy"]) == (1, 3, "InferGroupRecreate")
    assert role["workerTemplate"] == role["entryTemplate"]


def test_what_the_server_would_refuse_is_said() -> None:
    document = copy.deepcopy(MODEL_SERVING)
    document["spec"]["template"]["roles"][0]["name"] = "a-name-that-is-too-long"
    messages = [note.message for note in one(document).notes if note.field == "result"]
    assert any("would refuse it" in message and "name" in message for message in messages)


def test_a_pod_of_another_shape_would_be_refused() -> None:
    template = {"size": 2, "workerTemplate": {"spec": ["a"]}}
    messages = [note.message for note in one({**LEADER_WORKER_SET, "spec": {"leaderWorkerTemplate": template}}).notes]
    assert any("would refuse it: spec.template.roles[0].entryTemplate.spec" in message for message in messages)


def test_a_template_without_containers_would_be_refused() -> None:
    """RBG's custom components have no equal, so nothing is left to make a pod of."""
    document = copy.deepcopy(ROLE_BASED_GROUP)
    document["spec"]["roles"] = [{"name": "pair", "customComponentsPattern": {"components": [{"name": "a"}]}}]
    messages = [note.message for note in one(document).notes if note.field == "result"]
    assert messages == [
        "the API server would refuse it: spec.template.roles[0].entryTemplate.spec.containers: is required"
    ]


def test_other_documents_are_passed_on_and_foreign_selectors_named() -> None:
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "vllm"},
        "spec": {"selector": {"leaderworkerset.sigs.k8s.io/name": "vllm", "role": "leader"}},
    }
    first, second = converted([LEADER_WORKER_SET, service])
    assert first.source == "LeaderWorkerSet vllm"
    assert (second.document, second.source) == (service, None)
    assert fields(second) == {"Service vllm: spec.selector[leaderworkerset.sigs.k8s.io/name]"}


def test_patches_merge_items_by_name_and_remove_by_null() -> None:
    before = {"spec": {"containers": [{"name": "a", "image": "1", "tty": True}, {"name": "b", "image": "2"}]}}
    patch = {"spec": {"containers": [{"name": "a", "image": "3", "tty": None}, {"name": "c", "image": "4"}]}}
    assert patched(before, patch)["spec"]["containers"] == [
        {"name": "a", "image": "3"},
        {"name": "b", "image": "2"},
        {"name": "c", "image": "4"},
    ]


def test_the_verb_prints_yaml_that_can_be_applied_with_the_notes_as_comments(tmp_path: Path) -> None:
    (tmp_path / "b.yaml").write_text(yaml.safe_dump_all([STATEFUL_SET, {"apiVersion": "v1", "kind": "ConfigMap"}]))
    (tmp_path / "a.json").write_text(json.dumps(LEADER_WORKER_SET))
    (tmp_path / "notes.txt").write_text("no manifest")
    result = CliRunner().invoke(plugin, ["convert", "-f", str(tmp_path)])
    assert result.exit_code == 0
    documents = list(yaml.safe_load_all(result.stdout))
    assert [document["kind"] for document in documents] == ["ModelInfer", "ModelInfer", "ConfigMap"]
    assert "# Converted from LeaderWorkerSet vllm.\n" in result.stdout
    assert "# spec.leaderWorkerTemplate.subGroupPolicy: has no equal in ModelInfer" in result.stdout
    assert "LeaderWorkerSet vllm: 5 fields need a look" in result.stderr


def test_the_verb_prints_a_list_as_json(tmp_path: Path) -> None:
    path = tmp_path / "rbg.yaml"
    path.write_text(yaml.safe_dump(ROLE_BASED_GROUP))
    result = CliRunner().invoke(plugin, ["convert", "-f", str(path), "-o", "json"])
    (item,) = json.loads(result.stdout)["items"]
    assert item["kind"] == "ModelInfer"
    assert "RoleBasedGroup pd: spec.roles[1].dependencies: has no equal" in result.stderr


def test_the_verb_reads_stdin_and_says_when_there_is_nothing_to_convert() -> None:
    taken = CliRunner().invoke(plugin, ["convert", "-f", "-", "--one-group"], input=yaml.safe_dump(STATEFUL_SET))
    assert yaml.safe_load(taken.stdout)["spec"]["template"]["roles"][0]["workerReplicas"] == 3
    nothing = CliRunner().invoke(plugin, ["convert", "-f", "-"], input="kind: ConfigMap\n")
    assert nothing.exit_code == 1
    assert "nothing to convert" in str(nothing.exception)


def test_keys_of_the_old_controller_are_named_wherever_they_stand() -> None:
    document = copy.deepcopy(LEADER_WORKER_SET)
    document["metadata"]["labels"]["kueue.x-k8s.io/queue-name"] = "gpus"
    document["metadata"]["annotations"]["leaderworkerset.sigs.k8s.io/subgroup-exclusive-topology"] = "rack"
    pod = copy.deepcopy(document["spec"]["leaderWorkerTemplate"]["workerTemplate"])
    index = {"fieldRef": {"fieldPath": "metadata.labels['leaderworkerset.sigs.k8s.io/worker-index']"}}
    pod["spec"]["containers"][0]["env"] = [{"name": "RANK", "valueFrom": index}]
    spread = {"topologyKey": "zone", "labelSelector": {"matchLabels": {"leaderworkerset.sigs.k8s.io/name": "vllm"}}}
    pod["spec"]["topologySpreadConstraints"] = [spread]
    document["spec"]["leaderWorkerTemplate"]["workerTemplate"] = pod
    worker = "result: spec.template.roles[0].workerTemplate.spec"
    assert fields(one(document)) - fields(one(LEADER_WORKER_SET)) == {
        "result: metadata.labels[kueue.x-k8s.io/queue-name]",
        "result: metadata.annotations[leaderworkerset.sigs.k8s.io/subgroup-exclusive-topology]",
        f"{worker}.containers[0].env[0].valueFrom.fieldRef.fieldPath",
        f"{worker}.topologySpreadConstraints[0].labelSelector.matchLabels[leaderworkerset.sigs.k8s.io/name]",
    }


def test_annotations_of_rbg_on_templates_are_named() -> None:
    document = copy.deepcopy(ROLE_BASED_GROUP)
    template = document["spec"]["roleTemplates"][0]["template"]
    template["metadata"]["annotations"] = {"rolebasedgroup.workloads.x-k8s.io/port-allocator": "{}"}
    assert (
        "result: spec.template.roles[1].entryTemplate.metadata.annotations"
        "[rolebasedgroup.workloads.x-k8s.io/port-allocator]"
    ) in fields(one(document))


def test_owners_and_finalizers_of_the_old_object_are_left_out() -> None:
    document = copy.deepcopy(STATEFUL_SET)
    document["metadata"] |= {"ownerReferences": [{"kind": "X"}], "finalizers": ["x/y"]}
    result = one(document)
    assert result.document["metadata"].keys() <= {"name", "namespace", "labels", "annotations"}
    assert {"metadata.ownerReferences", "metadata.finalizers"} <= fields(result)


@pytest.mark.parametrize(
    ("document", "field"),
    [
        (
            {"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": {"name": "x"},
             "spec": {"scaleTargetRef": {"apiVersion": "apps/v1", "kind": "StatefulSet", "name": "vllm"}}},
            "HorizontalPodAutoscaler x: spec.scaleTargetRef",
        ),
        (
            {"apiVersion": "workloads.x-k8s.io/v1alpha2", "kind": "CoordinatedPolicy", "metadata": {"name": "x"}},
            "CoordinatedPolicy x",
        ),
    ],
    ids=["an autoscaler", "an object of the old project"],
)  # fmt: skip
def test_other_documents_that_lose_their_workload_are_named(document: dict[str, Any], field: str) -> None:
    assert fields(one(document)) == {field}


@pytest.mark.parametrize(
    "document",
    [
        {**LEADER_WORKER_SET, "spec": {"leaderWorkerTemplate": {"size": "two", "workerTemplate": {}}}},
        {**LEADER_WORKER_SET, "spec": {"leaderWorkerTemplate": {"workerTemplate": "none"}}},
        {**ROLE_BASED_GROUP, "spec": {"roleTemplates": ["router"]}},
    ],
    ids=["a number as text", "text as a template", "text as an object"],
)
def test_a_document_of_another_shape_is_refused_in_one_line(document: dict[str, Any]) -> None:
    result = CliRunner().invoke(plugin, ["convert", "-f", "-"], input=yaml.safe_dump(document))
    assert result.exit_code == 1
    assert f"{document['kind']} {document['metadata']['name']} does not have the shape of its kind" in str(
        result.exception
    )
