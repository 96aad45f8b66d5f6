"""`make bench-report`: docs/performance.md and its plots, from the JSON that runs of `make bench` left in results/."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.plot import Bar, bars
from bench.row import Row, row_of

CHECKOUT = Path(__file__).resolve().parents[2]
RESULTS = Path(__file__).resolve().parent / "results"
PAGE = CHECKOUT / "docs" / "performance.md"
PICTURES = CHECKOUT / "docs" / "pictures" / "performance"
_WITHOUT_SIZE = ("leader killed", "planned hand-over", "start ->")
_BEGIN, _END = "<!-- results: make bench-report -->", "<!-- end of results -->"


@dataclass(frozen=True)
class Run:
    """One run of the benchmark: where and how it was measured, and its rows."""

    file: str
    conditions: Mapping[str, Any]
    rows: tuple[Row, ...]

    def is_judged(self, row: Row) -> bool:
        """Aims are stated for full sizes; a smaller run says nothing of them, but for what has no size."""
        return self.conditions["scale"] >= 1 or row.line.startswith(_WITHOUT_SIZE)

    @property
    def controller(self) -> str:
        return str(self.conditions["controller"])


def read_runs(folder: Path = RESULTS) -> list[Run]:
    found = []
    for path in sorted(folder.glob("*.json")):
        document = json.loads(path.read_text())
        rows = tuple(row_of(row) for row in document.pop("rows"))
        found.append(Run(path.stem, document, rows))
    return found


def page(before: str, runs: Sequence[Run]) -> str:
    """The page with its results as they are now; all else stays."""
    head, _, rest = before.partition(_BEGIN)
    tail = rest.partition(_END)[2]
    results = "\n".join(_results(runs))
    return f"{head}{_BEGIN}\n\n{results}\n{_END}{tail}"


def pictures(runs: Sequence[Run]) -> dict[str, str]:
    """SVG by file name."""
    with_floor = [(run, row) for run in runs for row in run.rows if row.ratio is not None]
    with_aim = [(run, row) for run in runs for row in run.rows if row.aim and run.is_judged(row)]
    return {
        "floor.svg": bars(
            "Beside a bare loop of the same size: 1 is the API server's own speed",
            [
                _bar(run, row, row.ratio or 0.0, row.aim_ratio if run.is_judged(row) else None)
                for run, row in with_floor
            ],
            unit="x",
        ),
        "aims.svg": bars(
            "Share of the aim: below 1 it is reached",
            [_bar(run, row, row.value / row.aim, 1.0) for run, row in with_aim if row.aim],
            unit="x",
        ),
    }


def _bar(run: Run, row: Row, value: float, aim: float | None) -> Bar:
    name = f"{row.line}, {row.size}"
    return Bar(name if run.controller == "modelinfer-controller" else f"{run.controller}: {name}", value, aim)


def _results(runs: Sequence[Run]) -> Iterator[str]:
    for run in runs:
        yield f"### {run.file}"
        yield ""
        yield from _conditions(run)
        yield ""
        yield "| line | size | measured | floor | ratio | aim | spread |"
        yield "|---|---|---|---|---|---|---|"
        yield from (_line(row, is_judged=run.is_judged(row)) for row in run.rows)
        yield ""


def _conditions(run: Run) -> Iterator[str]:
    seen = run.conditions
    hardware = seen["hardware"]
    versions = ", ".join(f"{name} {version}" for name, version in seen["versions"].items())
    yield f"`{seen['command']}`, {seen['date']}: {seen['controller']} on {hardware['cores']} cores of"
    yield f"{hardware['processor']}, {hardware['memory_gb']} GB; load average {seen['load']} before and"
    yield f"{seen['load_after']} after. {versions}."
    if "note" in seen:
        yield seen["note"]


def _line(row: Row, *, is_judged: bool) -> str:
    floor = "" if row.floor_value is None else _number(row.floor_value, row.unit)
    ratio = "" if row.ratio is None else f"{row.ratio:.2f}"
    mark = {True: ": reached", False: ": **missed**", None: ""}[row.reaches_aim]
    mark = mark if is_judged or not mark else " at full size"
    cells = (row.line, row.size, _number(row.value, row.unit), floor, ratio, f"{_aim(row)}{mark}", _spread(row))
    return f"| {' | '.join(cells)} |"


def _aim(row: Row) -> str:
    if row.aim_ratio is not None:
        return f"{row.aim_ratio:g} x"
    return "" if row.aim is None else f"{row.aim:g} {row.unit}"


def _number(value: float, unit: str) -> str:
    return f"{value:.3g} {unit}"


def _spread(row: Row) -> str:
    """Of all repeats, from the least to the most."""
    return _range(row.ours) + (f"; floor {_range(row.floor)}" if len(row.floor) > 1 else "")


def _range(values: Sequence[float]) -> str:
    return f"{min(values):.3g} to {max(values):.3g} of {len(values)}" if len(values) > 1 else "one run"


def main() -> int:
    runs = read_runs()
    PAGE.write_text(page(PAGE.read_text(), runs))
    for name, svg in pictures(runs).items():
        (PICTURES / name).write_text(svg)
    print(f"{PAGE.relative_to(CHECKOUT)} from {len(runs)} runs")
    return 0


if __name__ == "__main__":
    sys.exit(main())
