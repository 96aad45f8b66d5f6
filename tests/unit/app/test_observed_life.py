"""The metrics of availability, updates and the spec, as a ModelInfer lives through what they are about."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from simulated import CRD, Noting, User, make_components, make_manager, running

from modelinfer_controller.app.metrics.scope import HistogramScope
from modelinfer_controller.app.telemetry import Telemetry
from modelinfer_controller.simulator.control_plane import SimulatedControlPlane

MI = {"namespace": "default", "name": "mi"}
MAX_SERIES = 30  # of a ModelInfer with two roles, with the default settings, whatever became of it


class World:
    """A cluster with a running controller, whose metrics somebody scrapes."""

    def __init__(self, cluster: SimulatedControlPlane, telemetry: Telemetry) -> None:
        self.user = User(cluster)
        self._telemetry = telemetry

    def value(self, metric: str, **labels: str) -> float | None:
        return self._sample(metric, {**MI, **labels})

    def of_all(self, metric: str, **labels: str) -> float | None:
        """Of what is counted over all ModelInfers."""
        return self._sample(metric, labels)

    def _sample(self, metric: str, labels: dict[str, str]) -> float | None:
        self._telemetry.metrics.refresh()
        return self._telemetry.metrics.registry.get_sample_value(metric, labels)

    def by(self, metric: str, label: str) -> dict[str, float]:
        """Values of the ModelInfer's series of a metric, by one of its labels."""
        return {labels[label]: value for name, labels, value in self.series() if name == metric}

    def series(self) -> list[tuple[str, dict[str, str], float]]:
        """Every series of the ModelInfer."""
        self._telemetry.metrics.refresh()
        return [
            (sample.name, sample.labels, sample.value)
            for metric in self._telemetry.metrics.registry.collect()
            for sample in metric.samples
            if sample.labels.items() >= MI.items()
        ]

    async def text(self, accept: str) -> str:
        """What a scraper is given."""
        body, _ = await self._telemetry.metrics.expose(accept)
        return body.decode()


@pytest_asyncio.fixture
async def world(request: pytest.FixtureRequest) -> AsyncIterator[World]:
    """A cluster without PodGroups; with the default histograms, or those that a test names."""
    options = {"histograms": request.param} if hasattr(request, "param") else {}
    async with SimulatedControlPlane(definitions=[CRD]) as cluster:
        telemetry, noting = Telemetry(server="https://server:6443", workers=4, **options), Noting()
        components = make_components(cluster.transport("controller"), cluster, telemetry)
        async with running(make_manager(components, noting)):
            yield World(cluster, telemetry)


def rolling(**configuration: Any) -> dict[str, Any]:
    return {"rolloutStrategy": {"rollingUpdateConfiguration": configuration}}


SPREAD = {"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "ScheduleAnyway"}
NOBODY_SCHEDULES = {"schedulerName": "other"}


async def test_groups_that_are_not_available_by_reason_and_for_how_long(world: World) -> None:
    await world.user.create(2, annotations={"kwok.stage/ready-after": "30s"})
    await asyncio.sleep(20)
    assert world.by("modelinfer_groups_unavailable", "reason") == {"PodsNotReady": 2}
    assert world.value("modelinfer_groups_available_seconds_total") == 0

    await asyncio.sleep(80)
    assert world.by("modelinfer_groups_unavailable", "reason") == {}
    assert world.value("modelinfer_groups_available_seconds_total") == pytest.approx(2 * 70, abs=6)
    seconds = world.by("modelinfer_groups_unavailable_seconds_total", "reason")
    assert seconds["PodsNotReady"] == pytest.approx(2 * 30, abs=6)
    assert sum(seconds.values()) == pytest.approx(2 * 30, abs=6)


async def test_each_scrape_counts_until_then_though_nothing_happens(world: World) -> None:
    await world.user.create(1)
    await asyncio.sleep(10)
    before = world.value("modelinfer_groups_available_seconds_total")
    await asyncio.sleep(100)
    after = world.value("modelinfer_groups_available_seconds_total")
    assert before is not None
    assert after == pytest.approx(before + 100, abs=1)


async def test_the_start_and_the_duration_of_an_update(world: World) -> None:
    await world.user.create(2, annotations={"kwok.stage/ready-after": "20s"})
    await asyncio.sleep(30)
    assert world.value("modelinfer_rollout_start_timestamp_seconds") is None  # a creation is no update
    assert world.value("modelinfer_rollout_last_duration_seconds") is None

    await world.user.patch({"topologySpreadConstraints": [SPREAD]})
    await asyncio.sleep(10)
    started = world.value("modelinfer_rollout_start_timestamp_seconds")
    await asyncio.sleep(10)
    assert started is not None
    assert world.value("modelinfer_rollout_start_timestamp_seconds") == started

    await asyncio.sleep(60)
    assert world.value("modelinfer_rollout_start_timestamp_seconds") is None
    assert world.value("modelinfer_rollout_last_duration_seconds") == pytest.approx(2 * 20, abs=6)
    assert world.by("modelinfer_rollouts_total", "outcome") == {"completed": 1, "halted": 0, "rolled_back": 0}
    assert world.of_all("modelinfer_rollout_duration_seconds_count") == 1


async def test_a_changed_template_starts_another_update(world: World) -> None:
    await world.user.create(2)
    await asyncio.sleep(5)
    await world.user.patch(NOBODY_SCHEDULES)
    await asyncio.sleep(100)
    first = world.value("modelinfer_rollout_start_timestamp_seconds")
    await world.user.patch({"schedulerName": "third"})
    await asyncio.sleep(5)
    assert first is not None
    assert world.value("modelinfer_rollout_start_timestamp_seconds") == pytest.approx(first + 100, abs=2)
    assert world.by("modelinfer_rollouts_total", "outcome")["completed"] == 0


async def test_an_update_that_fails_and_halts(world: World) -> None:
    await world.user.create(2)
    await asyncio.sleep(5)
    assert world.value("modelinfer_rollout_failed") == 0
    await world.user.patch({**NOBODY_SCHEDULES, "progressDeadlineSeconds": 60})
    await asyncio.sleep(70)
    assert world.value("modelinfer_rollout_failed") == 1
    assert world.by("modelinfer_rollouts_total", "outcome") == {"completed": 0, "halted": 1, "rolled_back": 0}
    await world.user.patch({"schedulerName": None})
    await asyncio.sleep(30)
    assert world.value("modelinfer_rollout_failed") == 0


async def test_an_update_that_is_rolled_back_is_not_completed(world: World) -> None:
    await world.user.create(2)
    await asyncio.sleep(5)
    await world.user.patch({**NOBODY_SCHEDULES, "progressDeadlineSeconds": 60, **rolling(onFailure="Rollback")})
    await asyncio.sleep(120)
    assert world.value("modelinfer_groups", state="available") == 2
    assert world.value("modelinfer_rollout_failed") == 1
    assert world.by("modelinfer_rollouts_total", "outcome") == {"completed": 0, "halted": 0, "rolled_back": 1}
    assert world.value("modelinfer_rollout_last_duration_seconds") is None


async def test_a_held_canary_is_no_update_under_way_and_a_paused_one_says_so(world: World) -> None:
    await world.user.create(2)
    await asyncio.sleep(5)
    await world.user.patch({"topologySpreadConstraints": [SPREAD], **rolling(partition=1)})
    await asyncio.sleep(30)
    assert world.value("modelinfer_partition") == 1
    assert world.value("modelinfer_paused") == 0
    assert world.value("modelinfer_groups_updated") == 1
    assert world.value("modelinfer_rollout_start_timestamp_seconds") is None

    await world.user.patch({"paused": True, **rolling(partition=0)})
    await asyncio.sleep(30)
    assert world.value("modelinfer_paused") == 1
    assert world.value("modelinfer_partition") == 0
    assert world.value("modelinfer_groups_updated") == 1


async def test_a_suspended_model_infer_lacks_nothing(world: World) -> None:
    await world.user.create(2)
    await asyncio.sleep(5)
    await world.user.patch({"suspend": True})
    await asyncio.sleep(10)
    before = world.by("modelinfer_groups_unavailable_seconds_total", "reason")
    await asyncio.sleep(100)
    assert world.value("modelinfer_groups_desired") == 0
    assert world.by("modelinfer_groups_unavailable", "reason") == {}
    assert world.by("modelinfer_groups_unavailable_seconds_total", "reason") == before


async def test_a_crash_loop_shows_under_the_policy_none(world: World) -> None:
    await world.user.create(1, annotations={"kwok.stage/crash-loop": "true"})
    await world.user.patch({"recoveryPolicy": "None"})
    await asyncio.sleep(600)
    before = world.by("modelinfer_groups_unavailable_seconds_total", "reason")["CrashLoopBackOff"]
    await asyncio.sleep(600)
    after = world.by("modelinfer_groups_unavailable_seconds_total", "reason")["CrashLoopBackOff"]
    assert after - before > 540  # nearly always, whatever state of the loop a scrape sees


async def test_pod_groups_that_the_cluster_lacks(world: World) -> None:
    await world.user.create(1)
    await asyncio.sleep(5)
    assert world.value("modelinfer_pod_group_kind_missing") is None
    await world.user.patch({"template": {"gangSchedule": {}}, "schedulerName": "volcano"})
    await asyncio.sleep(5)
    assert world.value("modelinfer_pod_group_kind_missing") == 1


async def test_counters_begin_at_0_so_that_the_first_time_is_a_rise(world: World) -> None:
    await world.user.create(1)
    await asyncio.sleep(5)
    assert world.by("modelinfer_rebuilds_total", "cause") == {"deleted": 0, "failed": 0, "restarted": 0}
    assert world.by("modelinfer_rollouts_total", "outcome") == {"completed": 0, "halted": 0, "rolled_back": 0}


async def test_replacements_by_reason_each_counted_once_though_it_drains_for_long(world: World) -> None:
    """Four groups are updated; then those with pods on one node are handed over."""
    await world.user.create(4)
    await asyncio.sleep(5)
    assert world.by("modelinfer_replacements_total", "reason") == {"RollingUpdate": 0, "HandingOver": 0}
    await world.user.patch({"template": {"drain": {"timeoutSeconds": 30}}, "nodeDrainPolicy": "HandOver"})
    await world.user.patch({"recoveryPolicy": "InferGroupRecreate", "topologySpreadConstraints": [SPREAD]})
    await asyncio.sleep(300)
    assert world.by("modelinfer_replacements_total", "reason") == {"RollingUpdate": 4, "HandingOver": 0}
    before = await world.user.uids()
    await world.user.cordon(sorted(await world.user.nodes())[0])
    await asyncio.sleep(300)
    moved = {name.split("-")[1] for name, uid in (await world.user.uids()).items() if before[name] != uid}
    assert world.by("modelinfer_replacements_total", "reason") == {"RollingUpdate": 4, "HandingOver": len(moved)}
    assert 0 < len(moved) < 4


async def test_the_info_names_revisions_and_policy(world: World) -> None:
    await world.user.create(1)
    await asyncio.sleep(5)
    (info,) = [labels for name, labels, _ in world.series() if name == "modelinfer_info"]
    assert info["current_revision"] == info["update_revision"] != ""
    assert info["recovery_policy"] == "RoleRecreate"
    assert info["gang_scheduler"] == ""


async def live_through_much(world: World) -> None:
    """Two roles; created, a pod lost, an update, one that fails, one that is undone."""
    await world.user.create_roles(2, "prefill", "decode")
    await asyncio.sleep(10)
    await world.user.delete_pod("mi-0-decode-0-1")
    await asyncio.sleep(10)
    await world.user.patch({"topologySpreadConstraints": [SPREAD]})
    await asyncio.sleep(60)
    await world.user.patch({**NOBODY_SCHEDULES, "progressDeadlineSeconds": 60})
    await asyncio.sleep(100)


async def test_a_model_infer_of_two_roles_has_few_series(world: World) -> None:
    await live_through_much(world)
    series = [name for name, _, _ in world.series()]
    assert 15 < len(series) <= MAX_SERIES, sorted(series)


@pytest.mark.parametrize("world", [HistogramScope.PER_OBJECT], indirect=True)
async def test_with_its_own_histograms_it_has_many(world: World) -> None:
    await live_through_much(world)
    assert len(world.series()) > 100


@pytest.mark.parametrize("world", [HistogramScope.OFF], indirect=True)
async def test_histograms_may_be_off(world: World) -> None:
    await live_through_much(world)
    text = await world.text("text/plain")
    assert "modelinfer_groups{" in text
    assert "startup_seconds" not in text
    assert "rollout_duration_seconds" not in text


@pytest.mark.parametrize("accept", ["text/plain", "application/openmetrics-text; version=1.0.0"])
async def test_nothing_says_when_it_was_created(world: World, accept: str) -> None:
    await live_through_much(world)
    text = await world.text(accept)
    assert "_total" in text
    assert "_bucket" in text
    assert "_created" not in text


async def test_the_series_go_with_their_object_and_what_is_counted_over_all_stays(world: World) -> None:
    await live_through_much(world)
    starts = world.of_all("modelinfer_group_startup_seconds_count")
    await world.user.delete()
    await asyncio.sleep(5)
    assert world.series() == []
    assert world.of_all("modelinfer_group_startup_seconds_count") == starts != 0
