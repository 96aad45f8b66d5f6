"""Carrying out plans: what is made, what is left alone, and what is said of what went wrong."""

import asyncio
import json
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from modelinfer_controller.api import well_known
from modelinfer_controller.api.core import Pod, Service
from modelinfer_controller.api.reasons import Reason
from modelinfer_controller.api.status import ApiFailure, ModelInfer
from modelinfer_controller.controller.execute import Executor
from modelinfer_controller.controller.pacing import REFUSALS_PER_PASS, Pacing, PassPacing
from modelinfer_controller.controller.writes import Writes
from modelinfer_controller.kube.client import Client
from modelinfer_controller.kube.inflight import FairLimiter
from modelinfer_controller.kube.resource import PODS, SERVICES, Resource
from modelinfer_controller.kube.transport import Request
from modelinfer_controller.planning.actions import (
    Action,
    CreatePod,
    CreateService,
    DeletePod,
    GroupPlan,
    PatchPodMetadata,
    Plan,
    group_of,
)
from modelinfer_controller.planning.decide import decide
from modelinfer_controller.planning.desired import identity_of
from modelinfer_controller.planning.observed import Observed
from modelinfer_controller.planning.pod_identity import PodIdentity, parse_pod_name
from modelinfer_controller.simulator.faults.transport import Faults, Rates
from tests.unit.controller.conftest import NAMESPACE, Shell, owner_of

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def plan_from_nothing(stored: ModelInfer, deferred: tuple[int, ...] = ()) -> Plan:
    """What the controller would do for a ModelInfer without any children."""
    return decide(Observed(owner_of(stored), deferred_groups=deferred), NOW).plan


class Passes:
    """Passes over plans, with one pacing."""

    def __init__(self, shell: Shell) -> None:
        self.tried: list[Action] = []
        self.pacing = Pacing(asyncio.get_running_loop().time, shell.cluster.clock)
        self._executor = Executor(Writes(shell.client, shell.caches), FairLimiter(8), observe=self._note)

    def _note(self, action: Action, error: Exception | None) -> None:
        self.tried.append(action)

    async def carry_out(self, stored: ModelInfer, plan: Plan | None = None) -> PassPacing:
        """One pass; what comes back knows what was refused."""
        pacing = self.pacing.of(stored.metadata)
        self.tried.clear()
        plan = plan or plan_from_nothing(stored, pacing.deferred_groups())
        await self._executor.execute(plan, identity_of(owner_of(stored)), pacing)
        return pacing

    def tried_pods(self) -> list[str]:
        return [action.name for action in self.tried if isinstance(action, CreatePod)]


async def pod_names(shell: Shell) -> list[str]:
    return sorted(pod.metadata.name for pod in (await shell.client.list_all(PODS, NAMESPACE)).items)


async def foreign_pod(shell: Shell, name: str) -> None:
    body = {"metadata": {"name": name}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    await shell.client.create(PODS, NAMESPACE, body)


async def quota(shell: Shell, pods: int) -> None:
    body = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "few"}}
    spec = {"spec": {"hard": {"pods": str(pods)}}}
    await _create_raw(shell, f"/api/v1/namespaces/{NAMESPACE}/resourcequotas", {**body, **spec})


async def _create_raw(shell: Shell, path: str, body: object) -> None:
    request = Request("POST", path, headers={"Content-Type": "application/json"}, body=json.dumps(body).encode())
    response = await shell.cluster.transport("test").request(request)
    assert response.status == 201, response.body


async def test_a_plan_makes_every_child(shell: Shell) -> None:
    stored = await shell.model_infer(replicas=2)
    assert not (await Passes(shell).carry_out(stored)).failures()
    expected = ["demo-0-decode-0-0", "demo-0-decode-0-1", "demo-1-decode-0-0", "demo-1-decode-0-1"]
    assert await pod_names(shell) == expected


async def test_own_writes_are_seen_at_once_though_the_cache_lags(shell: Shell) -> None:
    stored = await shell.model_infer()
    await Passes(shell).carry_out(stored)
    seen = shell.caches.pods.of(stored.metadata.uid)
    assert sorted(pod.metadata.name for pod in seen) == ["demo-0-decode-0-0", "demo-0-decode-0-1"]


async def test_doing_a_plan_twice_makes_nothing_twice(shell: Shell) -> None:
    stored = await shell.model_infer()
    passes = Passes(shell)
    for _ in range(2):
        assert not (await passes.carry_out(stored)).failures()
    assert len(await pod_names(shell)) == 2


async def test_a_foreign_pod_stops_only_its_own_group_and_is_left_alone(shell: Shell) -> None:
    await foreign_pod(shell, "demo-0-decode-0-0")
    stored = await shell.model_infer(replicas=3)
    failures = (await Passes(shell).carry_out(stored)).failures()
    assert list(failures) == [0]
    assert failures[0].reason == "NameCollision"
    assert "Pod demo-0-decode-0-0 is in the way: it has no controller" in failures[0].message
    assert {"demo-1-decode-0-1", "demo-2-decode-0-1"} <= set(await pod_names(shell))
    assert "demo-0-decode-0-1" in await pod_names(shell), (
        "what is in the way of one pod is not in the way of its siblings"
    )
    foreign = await shell.client.get(PODS, NAMESPACE, "demo-0-decode-0-0")
    assert well_known.NAME not in foreign.metadata.labels


@pytest.mark.parametrize("labels", [{"app": "theirs"}, {well_known.NAME: "demo"}], ids=["", "with our label"])
@pytest.mark.parametrize("resource", [PODS, SERVICES], ids=lambda resource: resource.kind)
async def test_what_another_controller_owns_is_not_adopted(
    shell: Shell, resource: Resource[Pod] | Resource[Service], labels: dict[str, str]
) -> None:
    other = await shell.model_infer("other")
    theirs = {
        "apiVersion": "workload.volcano.sh/v1alpha1",
        "kind": "ModelInfer",
        "name": "other",
        "uid": other.metadata.uid,
        "controller": True,
    }
    spec = {"containers": [{"name": "c", "image": "i"}]} if resource is PODS else {"ports": [{"port": 80}]}
    metadata = {"name": "demo-0-decode-0-0", "labels": labels, "ownerReferences": [theirs]}
    before = await shell.client.create(resource, NAMESPACE, {"metadata": metadata, "spec": spec})
    stored = await shell.model_infer()
    failure = (await Passes(shell).carry_out(stored)).failures()[0]
    assert failure.reason == "NameCollision"
    assert f"it is controlled by ModelInfer other (UID {other.metadata.uid})" in failure.message
    found = await shell.client.get(resource, NAMESPACE, "demo-0-decode-0-0")
    assert (found.metadata.uid, found.metadata.labels) == (before.metadata.uid, labels)
    assert [one.uid for one in found.metadata.owner_references] == [other.metadata.uid]
    own = (*shell.caches.pods.of(stored.metadata.uid), *shell.caches.services.of(stored.metadata.uid))
    assert found.metadata.uid not in {child.metadata.uid for child in own}


async def test_a_pod_of_ours_that_lost_its_labels_gets_them_back(shell: Shell) -> None:
    stored = await shell.model_infer()
    passes = Passes(shell)
    await passes.carry_out(stored)
    gone = {"metadata": {"labels": {well_known.NAME: None}}}
    stripped = await shell.client.patch(PODS, NAMESPACE, "demo-0-decode-0-1", gone)
    await passes.carry_out(stored)
    found = await shell.client.get(PODS, NAMESPACE, "demo-0-decode-0-1")
    assert found.metadata.labels[well_known.NAME] == "demo"
    assert found.metadata.uid == stripped.metadata.uid


async def test_a_successor_of_the_same_name_survives_the_deletion(shell: Shell) -> None:
    stored = await shell.model_infer()
    await foreign_pod(shell, "demo-0-decode-0-0")
    outdated = DeletePod(PodIdentity(0, "decode", 0, 0), "demo-0-decode-0-0", "a-uid-of-before", "is replaced")
    plan = Plan(groups=(GroupPlan(0, ((outdated,),)),))
    assert not (await Passes(shell).carry_out(stored, plan)).failures()
    assert await pod_names(shell) == ["demo-0-decode-0-0"]


async def test_pods_wait_when_their_service_could_not_be_made(shell: Shell) -> None:
    taken = {"metadata": {"name": "demo-0-decode-0-0"}, "spec": {"ports": [{"port": 80}]}}
    await shell.client.create(SERVICES, NAMESPACE, taken)
    stored = await shell.model_infer(replicas=2)
    assert list((await Passes(shell).carry_out(stored)).failures()) == [0]
    assert await pod_names(shell) == ["demo-1-decode-0-0", "demo-1-decode-0-1"]


async def test_a_full_quota_is_not_asked_for_every_pod(shell: Shell) -> None:
    await quota(shell, pods=0)
    stored = await shell.model_infer(replicas=200)
    passes = Passes(shell)
    pacing = await passes.carry_out(stored)
    assert 0 < len(passes.tried_pods()) <= 2 * REFUSALS_PER_PASS, "those under way at the first refusal come on top"
    assert all("exceeded quota" in failure.message for failure in pacing.failures().values())
    services = (await shell.client.list_all(SERVICES, NAMESPACE)).items
    assert len(services) <= 2 * REFUSALS_PER_PASS, "Services are made with their pods, not ahead of them"
    again = await passes.carry_out(stored)
    assert passes.tried_pods() == []
    assert again.wait() is not None


async def test_groups_take_turns_to_be_refused(shell: Shell) -> None:
    await quota(shell, pods=0)
    stored = await shell.model_infer(replicas=12)
    passes = Passes(shell)
    tried: set[str] = set()
    for _ in range(12):
        pacing = await passes.carry_out(stored)
        tried |= {name.split("-")[1] for name in passes.tried_pods()}
        await shell.sleep(61 if pacing.wait() is None else pacing.wait() or 0)
    assert tried == {str(group) for group in range(12)}


async def test_a_refused_pod_waits_longer_each_time_and_a_success_forgets_it(shell: Shell) -> None:
    await quota(shell, pods=1)
    stored = await shell.model_infer()
    passes = Passes(shell)
    waits = []
    for _ in range(9):
        pacing = await passes.carry_out(stored)
        wait = pacing.wait()
        assert wait is not None
        waits.append(round(wait))
        await shell.sleep(wait + 0.01)
    assert waits == [1, 2, 4, 8, 16, 32, 60, 60, 60]
    await _patch_quota(shell, pods=2)
    assert not (await passes.carry_out(stored)).failures()


async def _patch_quota(shell: Shell, pods: int) -> None:
    body = json.dumps({"spec": {"hard": {"pods": str(pods)}}}).encode()
    path = f"/api/v1/namespaces/{NAMESPACE}/resourcequotas/few"
    headers = {"Content-Type": "application/merge-patch+json"}
    response = await shell.cluster.transport("test").request(Request("PATCH", path, headers=headers, body=body))
    assert response.status == 200, response.body


async def test_each_group_has_its_service_before_its_pods_and_waits_for_no_other_group(shell: Shell) -> None:
    stored = await shell.model_infer(replicas=40)
    client = Client(Faults(1, Rates(latency=1.0)).wrap(shell.cluster.transport("slow")))
    done: list[tuple[type[Action], int | None]] = []
    slow = Executor(
        Writes(client, shell.caches),
        FairLimiter(16),
        observe=lambda action, error: done.append((type(action), group_of(action))),
    )
    pacing = Pacing(asyncio.get_running_loop().time, shell.cluster.clock).of(stored.metadata)
    await slow.execute(plan_from_nothing(stored), identity_of(owner_of(stored)), pacing)
    assert not pacing.failures()
    assert [kind for kind, _ in done].count(CreatePod) == 80
    services = [at for at, (kind, _) in enumerate(done) if kind is CreateService]
    pods = [at for at, (kind, _) in enumerate(done) if kind is CreatePod]
    assert min(pods) < max(services), "a group waited for another"
    for group in range(40):
        assert done.index((CreateService, group)) < done.index((CreatePod, group))


async def test_a_patch_whose_watch_event_outruns_its_answer_is_not_taken_for_undone(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored = await shell.model_infer()
    passes = Passes(shell)
    await passes.carry_out(stored)
    await shell.sleep(1)
    pod = (await shell.client.list_all(PODS, NAMESPACE)).items[0]
    send = shell.client.patch

    async def answered_late(*arguments: object, **options: object) -> object:
        answer = await send(*arguments, **options)  # type: ignore[arg-type]
        await shell.sleep(1)
        return answer

    monkeypatch.setattr(shell.client, "patch", answered_late)
    identity = parse_pod_name("demo", pod.metadata.name)
    assert identity is not None
    patch = PatchPodMetadata(identity, pod.metadata.name, pod.metadata.uid, {"new": "label"})
    await Writes(shell.client, shell.caches).perform(patch, identity_of(owner_of(stored)))
    assert (await shell.client.list_all(PODS, NAMESPACE)).items[0].metadata.labels["new"] == "label"


async def test_what_a_recreation_was_refused_asks_for_no_pass_that_a_full_quota_holds_up(shell: Shell) -> None:
    """Once the recreation is over, what is left of its refusal waits for the quota, like all else."""
    stored = await shell.model_infer(replicas=REFUSALS_PER_PASS + 1)
    first, *others = plan_from_nothing(stored).groups
    full = ApiFailure(Reason.QUOTA_EXCEEDED, "exceeded quota: few")
    pacing = Passes(shell).pacing

    def creation(plan: GroupPlan) -> Action:
        return next(action for action in plan.actions if isinstance(action, CreatePod))

    begun = pacing.of(stored.metadata)
    begun.refused(creation(first), replace(first, is_recreating=True), full)
    begun.end()
    for _ in range(3):  # the quota is full for longer each time
        later = pacing.of(stored.metadata)
        for plan in others:
            later.refused(creation(plan), plan, full)
        later.end()
    await asyncio.sleep(1.5)
    now = pacing.of(stored.metadata)
    assert all(now.refusal_of(creation(plan), plan) is not None for plan in (first, *others))
    assert now.wait() == pytest.approx(2.5)
