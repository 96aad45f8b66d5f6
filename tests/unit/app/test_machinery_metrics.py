"""The metrics that others have, too: their names, labels and when they count."""

import asyncio

import pytest
from simulated import CRD, Noting, User, make_components, make_manager, running

from modelinfer_controller.app.metrics.actions import outcome_of
from modelinfer_controller.app.telemetry import Telemetry
from modelinfer_controller.controller.writes import NameConflict
from modelinfer_controller.kube.errors import Conflict, Forbidden
from modelinfer_controller.kube.transport import TransportError
from modelinfer_controller.simulator.control_plane import SimulatedControlPlane


async def test_work_is_counted_by_the_names_of_client_go() -> None:
    async with SimulatedControlPlane(definitions=[CRD]) as cluster:
        telemetry, noting = Telemetry(server="https://server:6443", workers=4), Noting()
        async with running(make_manager(make_components(cluster.transport("controller"), cluster, telemetry), noting)):
            await User(cluster).create(1)
            await asyncio.sleep(5)
            telemetry.metrics.refresh()
            value = telemetry.metrics.registry.get_sample_value
            assert value("workqueue_depth", {"name": "modelinfer"}) == 0
            assert value("workqueue_longest_running_processor_seconds", {"name": "modelinfer"}) == 0
            adds = value("workqueue_adds_total", {"name": "modelinfer"})
            assert adds == value("workqueue_work_duration_seconds_count", {"name": "modelinfer"}) != 0
            results = [{"controller": "modelinfer", "result": r} for r in ("success", "requeue_after")]
            assert sum(value("controller_runtime_reconcile_total", result) or 0 for result in results) == adds
            created = {"code": "201", "method": "POST", "host": "server:6443"}
            assert value("rest_client_requests_total", created) == 4  # a revision, a Service, two pods
            assert value("modelinfer_actions_total", {"action": "CreatePod", "outcome": "success"}) == 2
            assert value("modelinfer_informer_objects", {"resource": "pods"}) == 2
            assert value("modelinfer_informer_lists_total", {"resource": "pods"}) == 1
            assert value("modelinfer_informer_synced", {"resource": "pods"}) == 1
            assert value("modelinfer_optional_resource_served", {"resource": "podgroups.scheduling.volcano.sh"}) == 0


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (None, "success"),
        (NameConflict("x"), "collision"),
        (Forbidden(403, "Forbidden", "exceeded quota: pods"), "quota_exceeded"),
        (Forbidden(403, "Forbidden", "may not"), "Forbidden"),
        (Conflict(409, "Conflict", "changed"), "Conflict"),
        (TransportError("reset"), "TransportError"),
        (ZeroDivisionError(), "other"),
    ],
)
def test_outcomes_are_few(error: Exception | None, outcome: str) -> None:
    assert outcome_of(error) == outcome


def test_a_request_without_an_answer_is_counted_as_client_go_does() -> None:
    telemetry = Telemetry(server="https://server:6443", workers=1)
    telemetry.requests("list", "pods", 0, 1.0)
    labels = {"code": "<error>", "method": "GET", "host": "server:6443"}
    assert telemetry.metrics.registry.get_sample_value("rest_client_requests_total", labels) == 1
