"""Which alerts fire in the story: the rules' own expressions, evaluated by Prometheus, and what `for` makes of them.

A Prometheus evaluates alerts as time passes, and the story is in the past. So its ALERTS series are worked out here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

RULES = Path(__file__).resolve().parents[2] / "manifests" / "components" / "alerts" / "alerts.yaml"
_SECONDS = {"s": 1, "m": 60, "h": 3600}
Series = Mapping[str, Any]  # as the query API answers: "metric" and "values"
Alert = tuple[dict[str, str], list[float]]  # the labels of ALERTS, and the times at which it fires


def firing(ask: Callable[[str], Sequence[Series]], interval: float) -> Iterator[Alert]:
    """ask: the answer of query_range to an expression, with the step `interval` in seconds."""
    for group in yaml.safe_load(RULES.read_text())["spec"]["groups"]:
        for rule in group["rules"]:
            for one in ask(rule["expr"]):
                times = _held([float(time) for time, _ in one["values"]], _seconds(rule.get("for", "0s")), interval)
                labels = {name: value for name, value in one["metric"].items() if name != "__name__"}
                if times:
                    yield {"alertname": rule["alert"], "alertstate": "firing", **labels, **rule["labels"]}, times


def _held(times: list[float], wanted: float, interval: float) -> list[float]:
    """The times at which the expression had a value for as long as `for` asks, without a gap."""
    held, since = [], None
    for before, time in zip([None, *times], times, strict=False):
        if since is None or before is None or time - before > 1.5 * interval:
            since = time
        if time - since >= wanted:
            held.append(time)
    return held


def _seconds(duration: str) -> float:
    found = re.fullmatch(r"(\d+)([smh])", duration)
    assert found is not None, duration
    return float(found[1]) * _SECONDS[found[2]]
