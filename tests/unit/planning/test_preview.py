"""The preview goes where the toy world goes: the same groups in the same order, and the same lowest availability."""

from __future__ import annotations

from datetime import timedelta

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelinfer_controller.api import well_known
from modelinfer_controller.api.core import PodGroup, Service
from modelinfer_controller.planning import preview as preview_module
from modelinfer_controller.planning.actions import DeletePod, describe
from modelinfer_controller.planning.group_states import state_of
from modelinfer_controller.planning.observed import GangSupport, Observed, PodGroupKey
from modelinfer_controller.planning.preview import Preview, preview
from modelinfer_controller.planning.update import GroupState
from planning.world import World, a_role, a_spec, pod_name

STARTING = timedelta(seconds=30)


def settled(replicas: int, **rolling: object) -> World:
    world = World(a_spec(replicas, a_role(workers=1), **rolling))
    world.settle()
    return world


def seen(world: World) -> Preview:
    return preview(world.observe(), world.now, STARTING)


def states(found: Preview) -> dict[int, GroupState]:
    return {ordinal: state_of(group) for ordinal, group in found.last.groups.items()}


def test_a_settled_world_needs_no_step() -> None:
    found = seen(settled(3))
    assert (found.steps, found.is_finished, found.lowest_available) == ((), True, 3)


def test_a_rollout_is_seen_group_by_group_with_its_time() -> None:
    world = settled(3)
    world.edit(image="v2")
    found = seen(world)
    assert [step.replaced for step in found.steps if step.replaced] == [(2,), (1,), (0,)]
    assert (found.lowest_available, found.is_finished) == (2, True)
    assert found.ended_at - world.now == 3 * STARTING


def test_what_is_in_trouble_stays_so_and_a_rollout_that_waits_for_it_does_not_end() -> None:
    world = settled(2)
    world.bad_images.add("v2")
    world.edit(image="v2")
    for _ in range(4):
        world.reconcile()
        world.kubelet()
    found = seen(world)
    assert not found.is_finished
    assert not states(found)[1].is_available


@settings(max_examples=40, deadline=None)
@given(
    replicas=st.integers(1, 5),
    unavailable=st.integers(0, 3),
    surge=st.integers(0, 2),
    partition=st.integers(0, 3),
    target=st.integers(0, 5),
    image=st.sampled_from(["v1", "v2"]),
)
def test_the_world_goes_as_the_preview_saw_it(
    replicas: int, unavailable: int, surge: int, partition: int, target: int, image: str
) -> None:
    world = settled(replicas, max_unavailable=unavailable or 1, max_surge=surge, partition=0)
    world.edit(image=image, partition=partition, replicas=target)
    found = seen(world)
    assert found.is_finished
    order: list[int] = []
    for _ in range(300):
        decided = world.decide().update.replaced
        order += [group for group in decided if world.decide().groups[group].live_pods]
        planned = world.reconcile()
        if not (planned.actions or world.kubelet()):
            break
        world.pass_time(1)
    assert [group for step in found.steps for group in step.replaced] == order
    assert world.pod_names() == sorted(pod.name for pod in found.last.observed.pods)


def made(found: Preview) -> list[str]:
    return [describe(action) for step in found.steps for action in step.actions]


def test_a_gangs_groups_are_seen_with_their_pod_groups_whoever_schedules() -> None:
    for support in (GangSupport(volcano=True), GangSupport(kubernetes=True)):
        world = World(a_spec(2, a_role(workers=1), gang={}), gang_support=support)
        world.settle()
        world.edit(roles=[a_role(workers=2)], replicas=1)
        found = seen(world)
        assert found.is_finished
        assert "delete PodGroup m-1" in made(found)
        assert [key.name for key in pod_groups(found.last.observed)] == ["m-0"]
        assert len(found.last.observed.pods) == 3


def services(observed: Observed) -> dict[str, Service]:
    return {one.metadata.name: one for each in observed.children.values() for one in each.services}


def pod_groups(observed: Observed) -> dict[PodGroupKey, PodGroup]:
    return {key: one for each in observed.children.values() for key, one in each.pod_groups}


def test_a_pod_group_is_seen_patched_where_only_its_minimum_changes() -> None:
    gang = {"minRoleReplicas": {"decode": 1}}
    world = World(a_spec(1, a_role(replicas=2), gang=gang), gang_support=GangSupport(volcano=True))
    world.settle()
    world.edit(gang={"minRoleReplicas": {"decode": 2}})
    found = seen(world)
    assert "patch PodGroup m-0" in made(found)
    (stored,) = pod_groups(found.last.observed).values()
    assert stored.spec["minMember"] == 2


def test_services_and_labels_that_somebody_spoilt_are_seen_put_right() -> None:
    world = settled(2)
    service = world.services[pod_name(0)]
    spec = msgspec.structs.replace(service.spec, selector={"app": "x"})
    world.services[pod_name(0)] = msgspec.structs.replace(service, spec=spec)
    pod = world.pods[pod_name(1)]
    labels = {key: value for key, value in pod.metadata.labels.items() if key != well_known.ROLE}
    world.pods[pod_name(1)] = msgspec.structs.replace(
        pod, metadata=msgspec.structs.replace(pod.metadata, labels=labels)
    )
    found = seen(world)
    assert made(found) == ["patch Service m-0-decode-0-0", "patch pod m-1-decode-0-0"]
    observed = found.last.observed
    assert services(observed)[pod_name(0)].spec.selector == service.spec.selector
    assert {view.name: dict(view.labels) for view in observed.pods}[pod_name(1)] == pod.metadata.labels


def test_a_scale_down_is_seen_with_its_services_and_a_history_with_what_expires() -> None:
    world = settled(2)
    for image in (f"v{number}" for number in range(2, 14)):
        world.edit(image=image)
        world.settle()
    world.edit(image="v99", replicas=1)
    found = seen(world)
    assert "delete Service m-1-decode-0-0" in made(found)
    assert [text for text in made(found) if text.startswith("delete ControllerRevision")]
    assert list(services(found.last.observed)) == [pod_name(0)]
    assert len(found.last.observed.revisions) == len(world.revisions)


def test_a_way_back_is_seen_with_its_revision_at_the_top_of_the_history() -> None:
    world = settled(1)
    (first,) = world.revisions
    world.edit(image="v2")
    world.settle()
    world.edit(image="v1")
    found = seen(world)
    assert f"renumber ControllerRevision {first}" in made(found)
    numbers = {one.name: one.number for one in found.last.observed.revisions}
    assert numbers[first] == max(numbers.values()) == 3


def test_a_recreation_after_its_back_off_and_what_is_noted_of_it_are_seen() -> None:
    world = World(a_spec(1, grace=30))
    world.settle()
    world.pass_time(3600)
    world.restart(pod_name(0))
    at = world.now
    found = seen(world)
    assert found.is_finished
    assert [text for text in made(found) if text.startswith("patch pod")], "when the failure began"
    deleted = [step.at for step in found.steps for action in step.actions if isinstance(action, DeletePod)]
    assert deleted == [at + timedelta(seconds=30)]


def test_restarts_that_nobody_holds_against_a_pod_are_seen_acknowledged() -> None:
    world = World(a_spec(1, recoveryPolicy="None"))
    world.settle()
    world.restart(pod_name(0))
    world.start(pod_name(0))
    found = seen(world)
    assert made(found) == ["patch pod m-0-decode-0-0"]
    assert found.is_finished


def test_what_never_ends_is_given_up_and_said_so(monkeypatch: pytest.MonkeyPatch) -> None:
    world = settled(3)
    world.edit(image="v2")
    monkeypatch.setattr(preview_module, "MAX_PASSES", 3)
    found = seen(world)
    assert not found.is_finished
    assert 0 < len(found.steps) <= 3


def test_a_drain_is_seen_to_its_deadline() -> None:
    world = settled(2)
    world.edit(lambda spec: spec["template"].update(drain={"timeoutSeconds": 45}))
    world.settle()
    world.edit(replicas=1)
    found = seen(world)
    assert found.is_finished
    assert [step.at - world.now for step in found.steps] == [timedelta(), timedelta(seconds=45)]
    assert len(found.last.observed.pods) == 2


def test_a_drain_that_is_undone_is_seen_undone() -> None:
    world = settled(2)
    world.edit(lambda spec: spec["template"].update(drain={"timeoutSeconds": 45}))
    world.settle()
    world.edit(replicas=1)
    world.reconcile()
    world.edit(replicas=2)
    found = seen(world)
    assert made(found) == ["patch pod m-1-decode-0-0", "patch pod m-1-decode-0-1"]
    assert (found.is_finished, found.lowest_available) == (True, 1)
    assert [view.drain_deadline for view in found.last.observed.pods] == [None] * 4
