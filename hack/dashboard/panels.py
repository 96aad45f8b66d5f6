"""What a panel is: titles, queries, a unit, and which runbook belongs to it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum

OF = 'namespace=~"$namespace", name=~"$name"'  # the ModelInfers that are chosen
PODS_OF = 'namespace=~"$namespace", pod=~"$name-.*"'  # their pods, as a scrape of pods labels them
JOB = 'job="modelinfer-controller"'
BY = "sum by (namespace, name)"


class Kind(StrEnum):
    """Grafana's panel types."""

    SERIES = "timeseries"
    STAT = "stat"
    TABLE = "table"


@dataclass(frozen=True)
class Query:
    expr: str
    legend: str = ""


@dataclass(frozen=True)
class Panel:
    """runbook: a heading of docs/operate.md. width: of 24. description: what a reader cannot guess."""

    title: str
    queries: Sequence[Query]
    kind: Kind = Kind.SERIES
    unit: str = "short"
    width: int = 12
    stacked: bool = False
    runbook: str = ""
    description: str = ""


@dataclass(frozen=True)
class Row:
    title: str
    panels: Sequence[Panel] = field(default=())
    collapsed: bool = False


def one(expr: str, legend: str = "") -> tuple[Query]:
    return (Query(expr, legend),)


def stat(title: str, expr: str, *, runbook: str = "", unit: str = "short") -> Panel:
    return Panel(title, one(expr), Kind.STAT, width=4, runbook=runbook, unit=unit)


def quantiles(metric: str, *shares: float) -> tuple[Query, ...]:
    return tuple(
        Query(f"histogram_quantile({share}, sum by (le) (increase({metric}_bucket[1h])))", f"{share * 100:g} %")
        for share in shares
    )
