"""The metrics of each ModelInfer: what its groups are at, what it waited for, and that its series go with it."""

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from simulated import CRD, Noting, User, make_components, make_manager, running

from modelinfer_controller.api import well_known
from modelinfer_controller.app.metrics.scope import HistogramScope
from modelinfer_controller.app.telemetry import Telemetry
from modelinfer_controller.planning.group_phase import GroupPhase
from modelinfer_controller.simulator.control_plane import SimulatedControlPlane

MI = {"namespace": "default", "name": "mi"}


class World:
    """A cluster with a running controller and its metrics."""

    def __init__(self, cluster: SimulatedControlPlane, telemetry: Telemetry) -> None:
        self.cluster = cluster
        self.user = User(cluster)
        self._telemetry = telemetry

    def fleet_value(self, metric: str, **labels: str) -> float | None:
        """Of a series that is not the ModelInfer's own."""
        return self._telemetry.metrics.registry.get_sample_value(metric, labels)

    def value(self, metric: str, **labels: str) -> float | None:
        self._telemetry.metrics.refresh()
        return self._telemetry.metrics.registry.get_sample_value(metric, {**MI, **labels})

    def groups(self) -> dict[str, float]:
        """The states that groups are in, with their number."""
        states = {state: self.value("modelinfer_groups", state=state) for state in GroupPhase}
        return {str(state): count for state, count in states.items() if count}

    def series(self) -> list[str]:
        """Every series of the ModelInfer."""
        self._telemetry.metrics.refresh()
        return [
            sample.name
            for metric in self._telemetry.metrics.registry.collect()
            for sample in metric.samples
            if sample.labels.items() >= MI.items()
        ]


@pytest_asyncio.fixture
async def world(request: pytest.FixtureRequest) -> AsyncIterator[World]:
    """With what histograms, a test may say; here each ModelInfer has its own."""
    scope = getattr(request, "param", HistogramScope.PER_OBJECT)
    async with SimulatedControlPlane(definitions=[CRD], volcano=True) as cluster:
        telemetry, noting = Telemetry(server="https://server:6443", workers=4, histograms=scope), Noting()
        components = make_components(cluster.transport("controller"), cluster, telemetry)
        async with running(make_manager(components, noting)):
            yield World(cluster, telemetry)


async def test_groups_by_state_and_the_rollouts_progress(world: World) -> None:
    await world.user.create(2, annotations={"kwok.stage/ready-after": "20s"})
    await asyncio.sleep(10)
    assert world.groups() == {"starting": 2}
    assert world.value("modelinfer_rollout_progress_ratio") == 0
    await asyncio.sleep(20)
    assert world.groups() == {"available": 2}
    assert world.value("modelinfer_groups_desired") == 2
    assert world.value("modelinfer_groups_updated") == 2
    assert world.value("modelinfer_rollout_progress_ratio") == 1

    await world.user.patch({"schedulerName": "other"})  # a new revision, which nobody schedules
    await asyncio.sleep(30)
    assert world.groups() == {"available": 1, "pending": 1}
    assert world.value("modelinfer_groups_updated") == 1
    assert world.value("modelinfer_rollout_progress_ratio") == 0


async def test_no_replicas_are_all_there_are(world: World) -> None:
    await world.user.create(0)
    await asyncio.sleep(1)
    assert world.groups() == {}
    assert world.value("modelinfer_rollout_progress_ratio") == 1


async def test_a_pod_of_somebody_else_with_our_labels_makes_no_series(world: World) -> None:
    await world.user.create(1)
    await asyncio.sleep(10)
    before = len(world.series())
    labels = {well_known.NAME: "mi", well_known.ROLE: "made-up", well_known.GROUP_NAME: "mi-0"}
    for name in ("mine", "mi-0-decode-7-0"):
        await world.user.create_pod(name, labels)
    await asyncio.sleep(30)
    assert await world.user.is_ready("mine")
    assert len(world.series()) == before


async def test_the_times_to_available_by_group_and_by_role_and_phase(world: World) -> None:
    await world.user.create(2, annotations={"kwok.stage/ready-after": "20s", "kwok.stage/pull-after": "7s"})
    await asyncio.sleep(60)
    assert world.value("modelinfer_group_startup_seconds_count") == 2
    assert world.value("modelinfer_role_startup_seconds_count", role="Decode") == 2
    total = world.value("modelinfer_group_startup_seconds_sum")
    assert total == pytest.approx(2 * 27, abs=4)
    assert world.value("modelinfer_role_startup_seconds_sum", role="Decode") == total
    seconds = {
        phase: world.value("modelinfer_pod_startup_seconds_sum", role="Decode", phase=phase)
        for phase in ("scheduling", "pulling", "starting")
    }
    assert seconds == {"scheduling": pytest.approx(0, abs=4), "pulling": pytest.approx(28, abs=4), "starting": 80}
    assert world.value("modelinfer_pod_startup_seconds_count", role="Decode", phase="starting") == 4


async def test_rebuilds_by_policy_and_cause_and_their_starts(world: World) -> None:
    await world.user.create(1)
    await asyncio.sleep(5)
    await world.user.delete_pod("mi-0-decode-0-1")
    await asyncio.sleep(5)
    assert world.groups() == {"available": 1}
    assert world.value("modelinfer_rebuilds_total", policy="RoleRecreate", cause="deleted") == 1
    assert world.value("modelinfer_group_startup_seconds_count") == 2


async def test_a_rebuild_that_waits_is_backing_off(world: World) -> None:
    await world.user.create(1, annotations={"kwok.stage/fail-after": "1s"})
    await asyncio.sleep(5)
    assert world.groups() == {"backing_off": 1}
    assert world.value("modelinfer_rebuilds_total", policy="RoleRecreate", cause="failed") == 1


async def test_the_wait_for_the_gang(world: World) -> None:
    await world.user.create(1)
    await world.user.patch({"template": {"gangSchedule": {}}, "schedulerName": "volcano"})
    await asyncio.sleep(30)
    assert world.groups() == {"available": 1}
    assert world.value("modelinfer_gang_wait_seconds_count") == 1


async def test_the_series_go_with_their_object(world: World) -> None:
    await world.user.create(1)
    await asyncio.sleep(5)
    await world.user.delete_pod("mi-0-decode-0-1")
    await asyncio.sleep(5)
    assert len(set(world.series())) > 10
    await world.user.delete()
    await asyncio.sleep(5)
    assert await world.user.pods() == set()
    assert world.series() == []


async def test_an_object_made_again_under_its_name_starts_anew(world: World) -> None:
    await world.user.create(1)
    await asyncio.sleep(5)
    await world.user.delete()
    await asyncio.sleep(5)
    await world.user.create(1)
    await asyncio.sleep(5)
    assert world.value("modelinfer_group_startup_seconds_count") == 1


async def test_more_objects_than_the_limit_have_no_series(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Telemetry, "MAX_OBJECTS", 1)
    async with SimulatedControlPlane(definitions=[CRD]) as cluster:
        telemetry, noting = Telemetry(server="https://server:6443", workers=4), Noting()
        components = make_components(cluster.transport("controller"), cluster, telemetry)
        async with running(make_manager(components, noting)):
            world = World(cluster, telemetry)
            await world.user.create(1)
            await asyncio.sleep(1)
            await world.user.create(1, name="other")
            await asyncio.sleep(1)
            value = telemetry.metrics.registry.get_sample_value
            assert world.groups() == {"available": 1}
            assert value("modelinfer_groups_desired", {"namespace": "default", "name": "other"}) is None
            assert value("modelinfer_objects_without_metrics") == 1
            await world.user.delete("other")
            await asyncio.sleep(1)
            assert value("modelinfer_objects_without_metrics") == 0
