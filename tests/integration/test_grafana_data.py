"""The dashboard over three hours of simulated ModelInfers, in a real Prometheus: each panel shows what happened."""

from __future__ import annotations

import json
import os
from typing import Any

import pytest
from dashboard import data
from prometheus_binaries import PrometheusUnavailable, find_prometheus


@pytest.fixture(scope="module")
def panels(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """By title: what is drawn."""
    try:
        find_prometheus()
    except PrometheusUnavailable as unavailable:
        if os.environ.get("CI"):
            raise
        pytest.skip(str(unavailable))
    file = tmp_path_factory.mktemp("dashboard") / "data.json"
    data.main(file)
    return {panel["title"]: panel["series"] for row in json.loads(file.read_text())["rows"] for panel in row["panels"]}


def highest(series: list[Any], name: str) -> float:
    return max(float(value) for each, values in series if each == name for _, value in values if value != "NaN")


def test_every_panel_shows_something(panels: dict[str, Any]) -> None:
    assert [title for title, series in panels.items() if not series] == []


def test_what_happened_can_be_read_off(panels: dict[str, Any]) -> None:
    assert highest(panels["Groups not available over time, by reason"], "CrashLoopBackOff") == 1
    assert highest(panels["Groups not available over time, by reason"], "Unschedulable") >= 1
    assert highest(panels["Recreations in an hour, by cause"], "models/qwen failed") == pytest.approx(1, rel=0.1)
    assert highest(panels["Updates in a day, by outcome"], "completed") == pytest.approx(3, rel=0.1)
    assert highest(panels["Updates in a day, by outcome"], "halted") == pytest.approx(1, rel=0.1)
    assert highest(panels["Held: partition, and paused"], "research/mixtral paused") == 1
    assert [name for name, _ in panels["Groups that are not available, by reason"]] == [
        "llama, models, CrashLoopBackOff"
    ]


def test_the_alerts_that_fire_at_the_end_are_about_what_crashes(panels: dict[str, Any]) -> None:
    assert [name for name, _ in panels["Alerts"]] == [
        "ModelInferCrashLoop, firing, llama, models, warning",
        "ModelInferGroupsUnavailable, firing, llama, models, warning",
    ]


def test_both_engines_and_the_lost_gpu_are_seen(panels: dict[str, Any]) -> None:
    names = {name for name, _ in panels["Requests that run"]}
    assert {"llama-0-server-0-0 (SGLang)", "qwen-0-decode-0-0 (vLLM)"} <= names
    assert highest(panels["Last XID error of a GPU"], "qwen-1-decode-0-1 GPU 0") == 79
    assert highest(panels["KV cache in use"], "mixtral-0-server-0-0 (vLLM)") == pytest.approx(0.9)


def test_the_availability_is_a_share(panels: dict[str, Any]) -> None:
    found = [value for _, values in panels["Availability of groups over an hour"] for _, value in values]
    values = [float(value) for value in found if value != "NaN"]
    assert values
    assert all(0 <= value <= 1 for value in values)
