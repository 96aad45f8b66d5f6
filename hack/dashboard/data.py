"""What each panel shows of the story, for the pictures: `PYTHONPATH=hack python -m dashboard.data FILE` writes JSON.

A real Prometheus holds the scrapes, and answers the panels' own queries, with the variables at All.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from controlplane.processes import free_ports, spawn
from prometheus_binaries import Prometheus, find_prometheus

from dashboard.alerts import firing
from dashboard.model import ROWS
from dashboard.panels import Kind, Panel, Row
from dashboard.story import HOURS, INTERVAL, openmetrics, play_into
from modelinfer_controller.simulator.virtual_time import EPOCH

VARIABLES = {"$namespace": ".*", "$name": ".*", "$__rate_interval": "2m"}
STARTS = "modelinfer_rollout_start_timestamp_seconds"
IN_VIRTUAL_TIME = {"Length of a reconcile", "Wait in the work queue (99 %)"}  # nothing takes any
BEGIN = EPOCH.timestamp()
END = BEGIN + HOURS * 3600


def main(output: Path) -> None:
    programs = find_prometheus()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        play_into(folder / "scrapes.om")
        _store(programs, folder, "scrapes.om")
        with _served(programs, folder) as url:
            _write_alerts(url, folder / "alerts.om")
        _store(programs, folder, "alerts.om")
        with _served(programs, folder) as url:
            rows = [{"title": row.title, "panels": _panels(url, row)} for row in ROWS]
            starts = {value for one in _asked(url, STARTS, is_range=True) for _, value in one["values"]}
    output.write_text(
        json.dumps({"begin": BEGIN, "end": END, "step": INTERVAL, "starts": sorted(map(float, starts)), "rows": rows})
    )


def _store(programs: Prometheus, folder: Path, scrapes: str) -> None:
    make_blocks = [str(programs.promtool), "tsdb", "create-blocks-from", "openmetrics"]
    subprocess.run([*make_blocks, str(folder / scrapes), str(folder / "data")], check=True, capture_output=True)


def _write_alerts(url: str, file: Path) -> None:
    with file.open("w", encoding="utf-8") as out:
        for labels, times in firing(lambda expr: _asked(url, expr, is_range=True), INTERVAL):
            out.writelines(openmetrics("ALERTS", labels, 1.0, time) for time in times)
        out.write("# EOF\n")


@contextmanager
def _served(programs: Prometheus, folder: Path) -> Iterator[str]:
    (port,) = free_ports(1)
    (folder / "prometheus.yaml").write_text("{}\n")
    options = [
        f"--config.file={folder}/prometheus.yaml",
        f"--storage.tsdb.path={folder}/data",
        "--storage.tsdb.retention.time=100y",
        f"--query.lookback-delta={INTERVAL + 5}s",  # what is read from a file has no mark where a series ends
        f"--web.listen-address=127.0.0.1:{port}",
    ]
    process = spawn([str(programs.server), *options], folder / "prometheus.log")
    try:
        url = f"http://127.0.0.1:{port}"
        _wait_until_ready(url)
        yield url
    finally:
        process.kill()
        process.wait()


def _wait_until_ready(url: str) -> None:
    deadline = time.monotonic() + 60
    while True:
        try:
            with urllib.request.urlopen(f"{url}/-/ready", timeout=5):
                return
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)


def _panels(url: str, row: Row) -> list[dict[str, Any]]:
    return [_shown(url, panel) for panel in row.panels if panel.title not in IN_VIRTUAL_TIME]


def _shown(url: str, panel: Panel) -> dict[str, Any]:
    """The panel, with the series that Grafana would draw: [name, times, values]; of a table the last values."""
    is_range = panel.kind is Kind.SERIES
    found = [
        (query.legend, one) for query in panel.queries for one in _asked(url, _filled(query.expr), is_range=is_range)
    ]
    return {
        "title": panel.title,
        "kind": panel.kind.value,
        "unit": panel.unit,
        "stacked": panel.stacked,
        "columns": _unlike(found[0][1]["metric"]) if found and panel.kind is Kind.TABLE else [],
        "series": [
            [_named(legend, one["metric"]), one["values"] if is_range else [one["value"]]] for legend, one in found
        ],
    }


def _filled(query: str) -> str:
    for variable, value in VARIABLES.items():
        query = query.replace(variable, value)
    return query


def _asked(url: str, query: str, *, is_range: bool) -> list[dict[str, Any]]:
    path = "query_range" if is_range else "query"
    times = {"start": BEGIN, "end": END, "step": INTERVAL} if is_range else {"time": END}
    with urllib.request.urlopen(f"{url}/api/v1/{path}?{urllib.parse.urlencode({'query': query, **times})}") as answer:
        found: list[dict[str, Any]] = json.load(answer)["data"]["result"]
    return found


def _named(legend: str, labels: dict[str, str]) -> str:
    if not legend:
        return ", ".join(labels[name] for name in _unlike(labels))
    for name, value in labels.items():
        legend = legend.replace(f"{{{{{name}}}}}", value)
    return legend


def _unlike(labels: dict[str, str]) -> list[str]:
    """The labels by which series differ."""
    return [name for name in labels if name not in ("__name__", "job", "instance")]


if __name__ == "__main__":
    main(Path(sys.argv[1]))
