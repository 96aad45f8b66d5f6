"""Causes and next steps that a real cluster shows too rarely to wait for."""

from __future__ import annotations

from datetime import timedelta

import pytest
from clusters import Cluster, role, spec

from modelinfer_controller.api.status import ApiFailure
from modelinfer_controller.exits import Exit
from modelinfer_controller.kubectl.model.diagnostics import Diagnostics
from modelinfer_controller.kubectl.model.explanation import Explanation, explain
from modelinfer_controller.planning.status import status_of


def settled(replicas: int = 2, **rolling: object) -> Cluster:
    made = Cluster(spec(replicas, role("decode", workers=1), **rolling))
    made.settle()
    return made


def told(cluster: Cluster, diagnostics: Diagnostics | None = None, only: int | None = None) -> Explanation:
    return explain(cluster.snapshot(), diagnostics or Diagnostics(), only)


def test_well_is_one_sentence() -> None:
    found = told(settled())
    assert found.is_well
    assert found.summary.startswith("all 2 groups are available at revision qwen-")
    assert (found.groups, found.waiting, found.other_next, found.remarks) == ((), (), (), ())


def test_a_finalizer_is_named() -> None:
    cluster = settled()
    cluster.end("qwen-0-decode-0-1", "example.com/drain")
    (group,) = told(cluster).groups
    assert "pod qwen-0-decode-0-1 is kept by the finalizer example.com/drain" in group.details


def test_a_lost_node_is_named() -> None:
    cluster = settled()
    cluster.end("qwen-0-decode-0-1")
    node = cluster.pods["qwen-0-decode-0-1"].spec.node_name
    (group,) = told(cluster, Diagnostics(sick_nodes={node: "is not ready"})).groups
    assert f"pod qwen-0-decode-0-1 cannot end: its node {node} is not ready" in group.details


def test_what_the_server_refused_is_told_of_groups_that_the_status_names_and_of_those_that_it_only_counts() -> None:
    cluster = Cluster(spec(8, role("decode")))
    snapshot = cluster.snapshot()
    text = 'pods "qwen-{0}-decode-0-0" is forbidden: exceeded quota: few'
    failures: dict[int | None, ApiFailure] = {
        n: ApiFailure("QuotaExceeded", text.format(n), f"create pod qwen-{n}-decode-0-0", n) for n in range(8)
    }
    cluster.note(status_of(snapshot.decision, failures))
    found = told(cluster).groups
    assert [group.reason for group in found] == ["QuotaExceeded"] * 8
    assert "qwen-3-decode-0-0" in found[3].message
    assert all(group.next[0].rule == "retry" for group in found)


def test_progress_that_the_status_tells_of_is_no_refusal() -> None:
    cluster = Cluster(spec(2, role("decode")))
    cluster.note()
    assert {group.reason for group in told(cluster).groups} == {"CreatingPods"}


def test_one_group_alone() -> None:
    cluster = settled(3)
    cluster.end("qwen-1-decode-0-0", "x/y")
    assert [group.ordinal for group in told(cluster, only=1).groups] == [1]
    assert told(cluster, only=0).summary == "group 0 is available"
    with pytest.raises(Exit, match="has no group 9; it has groups 0-"):
        told(cluster, only=9)


def test_an_invalid_spec_is_told_of_and_nothing_is_said_to_come_next() -> None:
    cluster = settled()
    cluster.end("qwen-0-decode-0-0", "x/y")
    cluster.change(spec(2, role("decode", workers=1), maxUnavailable="120%"))
    found = told(cluster)
    assert any("the spec is invalid" in remark for remark in found.remarks)
    assert all(group.next == () for group in found.groups)


def test_a_foreign_pod_in_the_way() -> None:
    cluster = Cluster(spec(1, role("decode")))
    cluster.take_name("qwen-0-decode-0-0")
    (group,) = told(cluster).groups
    assert group.reason == "NameCollision"
    assert "Pod qwen-0-decode-0-0 is in the way" in group.message
    assert group.next[0].text == "goes on as soon as the name is free"


def test_a_group_that_is_recreated_again_and_again_is_not_available_since_its_first_failure() -> None:
    cluster = settled(3)
    down, crashing = "qwen-2-decode-0-0", "qwen-1-decode-0-1"
    cluster.fail_to_pull(down)
    cluster.note()
    first = cluster.now
    for waits in (0, 10, 20, 40):
        cluster.now += timedelta(seconds=waits)
        cluster.restart(crashing, 1)
        cluster.act()
        cluster.act()
        cluster.start(lambda name: name not in (down, crashing), seconds=1)
    cluster.restart(crashing, 1)
    cluster.note()
    group = next(one for one in told(cluster).groups if one.ordinal == 1)
    assert group.reason == "WaitingForBackOff"
    assert group.since is not None
    assert cluster.now - first > timedelta(seconds=70)
    assert first <= group.since <= first + timedelta(seconds=5)
