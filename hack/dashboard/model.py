"""Panels as Grafana's dashboard JSON."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any

from dashboard.model_infer_rows import MODEL_INFER_ROWS
from dashboard.panels import OF, Kind, Panel, Row
from dashboard.process_rows import PROCESS_ROWS

ROWS = (*MODEL_INFER_ROWS, *PROCESS_ROWS)
WIDTH = 24
HEIGHT = {Kind.STAT: 4, Kind.TABLE: 8, Kind.SERIES: 8}
SOURCE = {"type": "prometheus", "uid": "${datasource}"}
DOCS = "http://localhost:8000"  # of `mkdocs serve`: the variable is to be set to where these pages are


def dashboard() -> dict[str, Any]:
    return {
        "uid": "modelinfer",
        "title": "ModelInfer",
        "tags": ["modelinfer"],
        "timezone": "browser",
        "schemaVersion": 39,
        "version": 2,
        "editable": True,
        "refresh": "30s",
        "time": {"from": "now-3h", "to": "now"},
        "templating": {"list": _variables()},
        "annotations": {"list": _annotations()},
        "links": [{"title": "Runbooks", "type": "link", "url": "${docs}/operate/", "targetBlank": True}],
        "panels": list(_laid_out(ROWS)),
    }


def anchor(heading: str) -> str:
    """As mkdocs makes them of headings."""
    return re.sub(r"[\s-]+", "-", re.sub(r"[^\w\s-]", "", heading).strip().lower())


def _variables() -> list[dict[str, Any]]:
    def values_of(label: str, selector: str) -> dict[str, Any]:
        query = f"label_values(modelinfer_groups_desired{selector}, {label})"
        return {
            "name": label,
            "type": "query",
            "datasource": SOURCE,
            "query": query,
            "definition": query,
            "refresh": 2,
            "includeAll": True,
            "multi": True,
            "allValue": ".*",
            "current": {"text": "All", "value": "$__all"},
        }

    return [
        {"name": "datasource", "type": "datasource", "query": "prometheus"},
        values_of("namespace", ""),
        values_of("name", '{namespace=~"$namespace"}'),
        {
            "name": "docs",
            "label": "documentation",
            "type": "textbox",
            "query": DOCS,
            "current": {"text": DOCS, "value": DOCS},
        },
    ]


def _annotations() -> list[dict[str, Any]]:
    def annotation(name: str, expr: str, colour: str, *, is_time: bool = False) -> dict[str, Any]:
        return {
            "name": name,
            "datasource": SOURCE,
            "enable": True,
            "expr": expr,
            "iconColor": colour,
            "step": "30s",
            "titleFormat": name,
            "textFormat": "{{namespace}}/{{name}}",
            "useValueForTime": is_time,
        }

    start = f"max by (namespace, name) (modelinfer_rollout_start_timestamp_seconds{{{OF}}}) * 1000"
    return [
        annotation("Update began", start, "blue", is_time=True),
        annotation(
            "Update completed",
            f'sum by (namespace, name) (increase(modelinfer_rollouts_total{{outcome="completed", {OF}}}[1m])) > 0',
            "green",
        ),
        annotation(
            "Update failed",
            f'sum by (namespace, name) (increase(modelinfer_rollouts_total{{outcome!="completed", {OF}}}[1m])) > 0',
            "red",
        ),
    ]


def _laid_out(rows: Iterable[Row]) -> Iterator[dict[str, Any]]:
    """From left to right and from top to bottom. Rows of Grafana have ids, too."""
    x = y = number = height = 0
    for row in rows:
        y, x, number = y + height, 0, number + 1
        yield {"id": number, "type": "row", "title": row.title, "gridPos": _place(0, y, WIDTH, 1), "panels": []}
        y, height = y + 1, 0
        for panel in row.panels:
            number += 1
            if x + panel.width > WIDTH:
                x, y, height = 0, y + height, 0
            yield {"id": number, **_panel(panel), "gridPos": _place(x, y, panel.width, HEIGHT[panel.kind])}
            x, height = x + panel.width, max(height, HEIGHT[panel.kind])


def _place(x: int, y: int, width: int, height: int) -> dict[str, int]:
    return {"x": x, "y": y, "w": width, "h": height}


def _panel(panel: Panel) -> dict[str, Any]:
    is_table = panel.kind is Kind.TABLE
    made: dict[str, Any] = {
        "type": panel.kind.value,
        "title": panel.title,
        "description": panel.description,
        "datasource": SOURCE,
        "targets": [
            {
                "refId": chr(ord("A") + index),
                "datasource": SOURCE,
                "expr": query.expr,
                "legendFormat": query.legend or "__auto",
                **({"format": "table", "instant": True} if is_table else {}),
                **({"instant": True} if panel.kind is Kind.STAT else {}),
            }
            for index, query in enumerate(panel.queries)
        ],
        "fieldConfig": {"defaults": {"unit": panel.unit, "custom": _custom(panel)}, "overrides": []},
        "options": {"tooltip": {"mode": "multi", "sort": "desc"}} if panel.kind is Kind.SERIES else {},
    }
    if is_table:
        made["transformations"] = [{"id": "organize", "options": {"excludeByName": {"Time": True, "__name__": True}}}]
    if panel.runbook:
        url = f"${{docs}}/operate/#{anchor(panel.runbook)}"
        made["links"] = [{"title": "Runbook", "url": url, "targetBlank": True}]
    return made


def _custom(panel: Panel) -> dict[str, Any]:
    if panel.kind is not Kind.SERIES:
        return {}
    stacking = {"stacking": {"mode": "normal"}, "fillOpacity": 30} if panel.stacked else {"fillOpacity": 0}
    return {"lineWidth": 1, "showPoints": "never", **stacking}
