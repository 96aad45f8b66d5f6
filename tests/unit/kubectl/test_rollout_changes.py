"""undo, pause, resume and restart change fields of the API, and nothing else."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from clusters import NOW, Cluster, role, spec

from modelinfer_controller.api import well_known
from modelinfer_controller.exits import Exit
from modelinfer_controller.kubectl.model.rollout_changes import (
    RESTARTED_AT,
    RolloutChange,
    earlier_revision,
    pause,
    restart,
    resume,
    undo,
)
from modelinfer_controller.kubectl.model.rollout_status import RolloutState, rollout_status


def merged(stored: Any, patch: Any) -> Any:
    if not isinstance(patch, dict):
        return patch
    result = dict(stored) if isinstance(stored, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = merged(result.get(key), value)
    return result


def apply(cluster: Cluster, change: RolloutChange) -> None:
    meta = cluster.stored.metadata
    body = json.loads(json.dumps(change.patch(meta.resource_version)))
    changed = merged(json.loads(bytes(cluster.stored.spec)), body["spec"])
    annotations = merged(meta.annotations, body["metadata"]["annotations"])
    meta = msgspec.structs.replace(meta, annotations=annotations, generation=meta.generation + 1)
    cluster.stored = msgspec.structs.replace(
        cluster.stored, metadata=meta, spec=msgspec.Raw(json.dumps(changed).encode())
    )


def images(cluster: Cluster) -> set[str]:
    roles = json.loads(bytes(cluster.stored.spec))["template"]["roles"]
    return {each["entryTemplate"]["spec"]["containers"][0]["image"] for each in roles}


@pytest.fixture
def cluster() -> Cluster:
    made = Cluster(spec(3, role("decode", workers=1)))
    made.settle()
    return made


def test_a_pause_holds_every_group_and_resume_goes_on(cluster: Cluster) -> None:
    cluster.change(spec(3, role("decode", workers=1, image="vllm:v2"), partition=1))
    apply(cluster, pause(cluster.stored))
    assert json.loads(bytes(cluster.stored.spec))["paused"] is True
    assert rollout_status(cluster.snapshot()).state is RolloutState.PAUSED
    pods = {name: pod.metadata.uid for name, pod in cluster.pods.items()}
    cluster.act()
    assert {name: pod.metadata.uid for name, pod in cluster.pods.items()} == pods
    with pytest.raises(Exit, match="paused already"):
        pause(cluster.stored)

    apply(cluster, resume(cluster.stored))
    assert "paused" not in json.loads(bytes(cluster.stored.spec))
    cluster.act()
    assert {name for name in pods if name not in cluster.pods} == {"qwen-2-decode-0-0", "qwen-2-decode-0-1"}
    with pytest.raises(Exit, match="is not paused"):
        resume(cluster.stored)


def test_resume_takes_back_the_partition_of_an_earlier_releases_pause(cluster: Cluster) -> None:
    held = spec(3, role("decode", workers=1, image="vllm:v2"), partition=3)
    cluster.change(held, **{well_known.PAUSED_PARTITION: "1"})
    assert rollout_status(cluster.snapshot()).state is RolloutState.PAUSED
    apply(cluster, resume(cluster.stored))
    assert cluster.stored.metadata.annotations == {}
    strategy = json.loads(bytes(cluster.stored.spec))["rolloutStrategy"]["rollingUpdateConfiguration"]
    assert strategy["partition"] == 1


def test_undo_gives_the_very_revision_back_and_leaves_replicas_alone(cluster: Cluster) -> None:
    first = cluster.snapshot().decision.revisions.update
    cluster.change(spec(5, role("decode", 2, workers=3, image="vllm:v2"), role("extra")))
    cluster.settle()
    snapshot = cluster.snapshot()
    earlier = earlier_revision(snapshot.observed.revisions, snapshot.decision.revisions.update, None)
    assert earlier.name == first.name
    apply(cluster, undo(cluster.stored, earlier))
    assert images(cluster) == {"vllm:v1"}
    after = json.loads(bytes(cluster.stored.spec))
    assert (after["replicas"], after["template"]["roles"][0]["replicas"]) == (5, 2)
    assert cluster.snapshot().decision.revisions.update.name == first.name


def test_undo_says_which_revisions_there_are(cluster: Cluster) -> None:
    snapshot = cluster.snapshot()
    with pytest.raises(Exit, match="no earlier revision"):
        earlier_revision(snapshot.observed.revisions, snapshot.decision.revisions.update, None)
    with pytest.raises(Exit, match="no revision 7; there are: 1"):
        earlier_revision(snapshot.observed.revisions, snapshot.decision.revisions.update, 7)


def test_a_restart_annotates_every_template_and_replaces_every_group(cluster: Cluster) -> None:
    before = cluster.snapshot().decision.revisions.update.name
    apply(cluster, restart(cluster.stored, NOW))
    (only,) = json.loads(bytes(cluster.stored.spec))["template"]["roles"]
    for template in ("entryTemplate", "workerTemplate"):
        assert only[template]["metadata"]["annotations"] == {RESTARTED_AT: "2026-03-01T03:15:00Z"}
    cluster.settle()
    found = cluster.snapshot().decision
    assert found.revisions.update.name != before
    assert {group.revision.name for group in found.groups.values()} == {found.revisions.update.name}


def test_the_printed_change_says_whose_it_is_and_no_more(cluster: Cluster) -> None:
    assert pause(cluster.stored).manifest(cluster.stored) == {
        "apiVersion": "workload.volcano.sh/v1alpha1",
        "kind": "ModelInfer",
        "metadata": {"name": "qwen", "namespace": "models"},
        "spec": {"paused": True},
    }
