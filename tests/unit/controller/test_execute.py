"""Carrying out plans: what is made, what is left alone, and what is said of what went wrong."""

import json
from datetime import UTC, datetime

import pytest

from modelinfer_controller.api import validation, well_known
from modelinfer_controller.api.modelinfer import ModelInferSpec
from modelinfer_controller.api.status import ModelInfer
from modelinfer_controller.controller.execute import Executor
from modelinfer_controller.kube.client import Client
from modelinfer_controller.kube.errors import Forbidden
from modelinfer_controller.kube.inflight import FairLimiter
from modelinfer_controller.kube.resource import PODS, SERVICES
from modelinfer_controller.planning.actions import (
    Action,
    CreatePod,
    CreateService,
    DeletePod,
    Plan,
    first_portion,
    group_of,
)
from modelinfer_controller.planning.assess import assess
from modelinfer_controller.planning.group import identity_of
from modelinfer_controller.planning.observed import Observed, Owner
from modelinfer_controller.planning.plan import plan
from modelinfer_controller.planning.pod_identity import PodIdentity
from modelinfer_controller.simulator.faults.transport import Faults, Rates
from tests.unit.controller.conftest import NAMESPACE, Shell

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def owner_of(stored: ModelInfer) -> Owner:
    decoded = validation.decode(bytes(stored.spec), stored.metadata.name)
    assert isinstance(decoded, ModelInferSpec)
    return Owner(stored.metadata, decoded, bytes(stored.spec), stored.status)


def plan_from_nothing(stored: ModelInfer) -> Plan:
    """What the controller would do for a ModelInfer without any children."""
    return plan(assess(Observed(owner_of(stored)), NOW))


def executor(shell: Shell) -> Executor:
    return Executor(shell.client, shell.caches, FairLimiter(8))


async def pod_names(shell: Shell) -> list[str]:
    return sorted(pod.metadata.name for pod in (await shell.client.list_all(PODS, NAMESPACE)).items)


async def foreign_pod(shell: Shell, name: str) -> None:
    body = {"metadata": {"name": name}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    await shell.client.create(PODS, NAMESPACE, body)


async def test_a_plan_makes_every_child(shell: Shell) -> None:
    stored = await shell.model_infer(replicas=2)
    execution = await executor(shell).execute(plan_from_nothing(stored), identity_of(owner_of(stored)))
    assert not execution.failures
    expected = ["demo-0-decode-0-0", "demo-0-decode-0-1", "demo-1-decode-0-0", "demo-1-decode-0-1"]
    assert await pod_names(shell) == expected


async def test_own_writes_are_seen_at_once_though_the_cache_lags(shell: Shell) -> None:
    stored = await shell.model_infer()
    await executor(shell).execute(plan_from_nothing(stored), identity_of(owner_of(stored)))
    seen = shell.caches.pods.of(stored.metadata.uid)
    assert sorted(pod.metadata.name for pod in seen) == ["demo-0-decode-0-0", "demo-0-decode-0-1"]


async def test_doing_a_plan_twice_makes_nothing_twice(shell: Shell) -> None:
    stored = await shell.model_infer()
    for _ in range(2):
        execution = await executor(shell).execute(plan_from_nothing(stored), identity_of(owner_of(stored)))
        assert not execution.failures
    assert len(await pod_names(shell)) == 2


async def test_a_foreign_pod_stops_only_its_own_group_and_is_left_alone(shell: Shell) -> None:
    await foreign_pod(shell, "demo-0-decode-0-0")
    stored = await shell.model_infer(replicas=3)
    execution = await executor(shell).execute(plan_from_nothing(stored), identity_of(owner_of(stored)))
    execution.raise_errors()
    assert list(execution.failures) == [0]
    assert execution.failures[0].reason == "NameCollision"
    assert "Pod demo-0-decode-0-0 is in the way: it has no controller" in execution.failures[0].message
    assert {"demo-1-decode-0-1", "demo-2-decode-0-1"} <= set(await pod_names(shell))
    assert "demo-0-decode-0-1" in await pod_names(shell), (
        "what is in the way of one pod is not in the way of its siblings"
    )
    foreign = await shell.client.get(PODS, NAMESPACE, "demo-0-decode-0-0")
    assert well_known.NAME not in foreign.metadata.labels


async def test_a_pod_of_ours_that_lost_its_labels_gets_them_back(shell: Shell) -> None:
    stored = await shell.model_infer()
    identity = identity_of(owner_of(stored))
    await executor(shell).execute(plan_from_nothing(stored), identity)
    gone = {"metadata": {"labels": {well_known.NAME: None}}}
    stripped = await shell.client.patch(PODS, NAMESPACE, "demo-0-decode-0-1", gone)
    await executor(shell).execute(plan_from_nothing(stored), identity)
    found = await shell.client.get(PODS, NAMESPACE, "demo-0-decode-0-1")
    assert found.metadata.labels[well_known.NAME] == "demo"
    assert found.metadata.uid == stripped.metadata.uid


async def test_a_successor_of_the_same_name_survives_the_deletion(shell: Shell) -> None:
    stored = await shell.model_infer()
    await foreign_pod(shell, "demo-0-decode-0-0")
    outdated = DeletePod(PodIdentity(0, "decode", 0, 0), "demo-0-decode-0-0", "a-uid-of-before", "is replaced")
    execution = await executor(shell).execute(Plan(stages=((outdated,),)), identity_of(owner_of(stored)))
    assert not execution.failures
    assert await pod_names(shell) == ["demo-0-decode-0-0"]


async def test_a_used_up_quota_is_told_and_raised(shell: Shell) -> None:
    quota = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "few"}, "spec": {"hard": {"pods": "1"}}}
    await _create_raw(shell, f"/api/v1/namespaces/{NAMESPACE}/resourcequotas", quota)
    stored = await shell.model_infer(replicas=2)
    execution = await executor(shell).execute(plan_from_nothing(stored), identity_of(owner_of(stored)))
    assert {failure.reason for failure in execution.failures.values()} == {"QuotaExceeded"}
    assert set(execution.failures) == {0, 1}
    with pytest.raises(ExceptionGroup) as raised:
        execution.raise_errors()
    assert all(isinstance(error, Forbidden) and error.is_quota for error in raised.value.exceptions)


async def test_pods_wait_when_their_service_could_not_be_made(shell: Shell) -> None:
    taken = {"metadata": {"name": "demo-0-decode-0-0"}, "spec": {"ports": [{"port": 80}]}}
    await shell.client.create(SERVICES, NAMESPACE, taken)
    stored = await shell.model_infer(replicas=2)
    execution = await executor(shell).execute(plan_from_nothing(stored), identity_of(owner_of(stored)))
    assert list(execution.failures) == [0]
    assert await pod_names(shell) == ["demo-1-decode-0-0", "demo-1-decode-0-1"]


async def _create_raw(shell: Shell, path: str, body: object) -> None:
    from modelinfer_controller.kube.transport import Request

    request = Request("POST", path, headers={"Content-Type": "application/json"}, body=json.dumps(body).encode())
    response = await shell.cluster.transport("test").request(request)
    assert response.status == 201, response.body


async def test_a_portion_is_of_whole_groups_in_order(shell: Shell) -> None:
    whole = plan_from_nothing(await shell.model_infer(replicas=10))
    portion = first_portion(whole, limit=7)
    assert sorted({group for action in portion.actions if (group := group_of(action)) is not None}) == [0, 1, 2]
    of_groups = [action for action in whole.actions if group_of(action) in (0, 1, 2, None)]
    assert list(portion.actions) == of_groups
    assert first_portion(whole, limit=1000) is whole


async def test_what_a_stopped_stage_did_not_reach_is_told_too(shell: Shell) -> None:
    quota = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "none"}, "spec": {"hard": {"pods": "0"}}}
    await _create_raw(shell, f"/api/v1/namespaces/{NAMESPACE}/resourcequotas", quota)
    stored = await shell.model_infer(replicas=20)
    execution = await executor(shell).execute(plan_from_nothing(stored), identity_of(owner_of(stored)))
    assert set(execution.failures) == set(range(20))
    assert all("exceeded quota" in failure.message for failure in execution.failures.values())


async def test_each_group_has_its_service_before_its_pods_and_waits_for_no_other_group(shell: Shell) -> None:
    stored = await shell.model_infer(replicas=40)
    client = Client(Faults(1, Rates(latency=1.0)).wrap(shell.cluster.transport("slow")))
    done: list[tuple[type[Action], int | None]] = []
    slow = Executor(
        client,
        shell.caches,
        FairLimiter(16),
        observe=lambda action, error: done.append((type(action), group_of(action))),
    )
    execution = await slow.execute(plan_from_nothing(stored), identity_of(owner_of(stored)))
    assert not execution.failures
    assert [kind for kind, _ in done].count(CreatePod) == 80
    services = [at for at, (kind, _) in enumerate(done) if kind is CreateService]
    pods = [at for at, (kind, _) in enumerate(done) if kind is CreatePod]
    assert min(pods) < max(services), "a group waited for another"
    for group in range(40):
        assert done.index((CreateService, group)) < done.index((CreatePod, group))
