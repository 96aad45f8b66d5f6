# /// script
# requires-python = ">=3.11"
# dependencies = ["matplotlib>=3.10"]
# ///
"""A picture of each row of the dashboard, in docs/pictures: `uv run hack/dashboard_pictures.py DATA`.

DATA is what `dashboard.data` writes.

Grafana draws the same series; here they are drawn without one. A panel without data is left out.
"""

from __future__ import annotations

import json
import math
import re
import sys
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")
from matplotlib import pyplot
from matplotlib.ticker import FuncFormatter, MultipleLocator

FOLDER = Path(__file__).resolve().parents[1] / "docs" / "pictures"
COLUMNS, WIDTH, HEIGHT = 2, 7.4, 2.7
MAX_LEGEND = 15


def main(data: dict[str, Any]) -> None:
    grid = [(data["begin"] + step * data["step"]) for step in range(int(data["end"] - data["begin"]) // data["step"])]
    for row in data["rows"]:
        panels = [panel for panel in row["panels"] if panel["series"]]
        charts = [panel for panel in panels if panel["kind"] == "timeseries"]
        rest = [panel for panel in panels if panel["kind"] != "timeseries"]
        name = re.sub(r"\W+", "-", re.sub(r"\(.*\)", "", row["title"]).strip().lower())
        if charts:
            draw_charts(charts, grid, data["starts"], FOLDER / f"grafana-{name}.png")
        elif rest:
            draw_numbers(rest, FOLDER / f"grafana-{name}.png")


def draw_charts(panels: list[dict[str, Any]], grid: list[float], starts: list[float], file: Path) -> None:
    """starts: of updates, which Grafana marks in every panel."""
    rows = -(-len(panels) // COLUMNS)
    figure, places = pyplot.subplots(rows, COLUMNS, figsize=(WIDTH * COLUMNS, HEIGHT * rows), squeeze=False)
    for axes, panel in zip(places.flat, panels, strict=False):
        draw_chart(axes, panel, grid)
        for start in starts:
            axes.axvline((start - grid[0]) / 60, color="#1f6feb", linestyle="--", linewidth=0.8, alpha=0.6)
    for axes in list(places.flat)[len(panels) :]:
        axes.set_axis_off()
    save(figure, file)


def draw_chart(axes: Any, panel: dict[str, Any], grid: list[float]) -> None:
    axes.set_title(panel["title"], loc="left", fontsize=10, fontweight="bold")
    minutes = [(time - grid[0]) / 60 for time in grid]
    shown = {name: on_grid(values, grid) for name, values in panel["series"]}
    if panel["stacked"]:
        heights = [[0.0 if value != value else value for value in values] for values in shown.values()]
        axes.stackplot(minutes, heights, labels=list(shown), alpha=0.75, step="post")
    else:
        for name, values in shown.items():
            axes.plot(minutes, values, label=name, linewidth=1.3)
    axes.set_ylim(bottom=0)
    axes.set_xlim(0, minutes[-1])
    axes.xaxis.set_major_locator(MultipleLocator(30))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda minute, _: f"{int(minute) // 60}:{int(minute) % 60:02}"))
    axes.yaxis.set_major_formatter(FuncFormatter(formatter(panel["unit"])))
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    if len(shown) <= MAX_LEGEND:
        axes.legend(fontsize=7, loc="upper left", bbox_to_anchor=(1.0, 1.02), frameon=False)


def on_grid(values: list[list[Any]], grid: list[float]) -> list[float]:
    """NaN where there is no value, so that nothing is drawn there."""
    found = {round(time): float(value) for time, value in values}
    return [found.get(round(time), math.nan) for time in grid]


def formatter(unit: str) -> Any:
    match unit:
        case "percentunit":
            return lambda value, _: f"{value:.0%}"
        case "percent":
            return lambda value, _: f"{value:g}%"
        case "s":
            return lambda value, _: f"{value / 60:.3g} min" if value >= 120 else f"{value:.3g} s"
        case _:
            return lambda value, _: f"{value:g}"


def draw_numbers(panels: list[dict[str, Any]], file: Path) -> None:
    stats = [panel for panel in panels if panel["kind"] == "stat"]
    tables = [panel for panel in panels if panel["kind"] == "table"]
    figure = pyplot.figure(figsize=(WIDTH * COLUMNS, 1.5 + 1.8 * len(tables)))
    grid = figure.add_gridspec(1 + len(tables), max(1, len(stats)), height_ratios=[1, *[1.3] * len(tables)])
    for column, panel in enumerate(stats):
        draw_stat(figure.add_subplot(grid[0, column]), panel)
    for line, panel in enumerate(tables, start=1):
        draw_table(figure.add_subplot(grid[line, :]), panel)
    save(figure, file)


def draw_stat(axes: Any, panel: dict[str, Any]) -> None:
    axes.set_axis_off()
    axes.set_title(panel["title"], fontsize=10, fontweight="bold")
    axes.text(
        0.5, 0.4, f"{float(panel['series'][0][1][0][1]):g}", fontsize=30, ha="center", va="center", color="#1a7f37"
    )


def draw_table(axes: Any, panel: dict[str, Any]) -> None:
    axes.set_axis_off()
    axes.set_title(panel["title"], loc="left", fontsize=10, fontweight="bold")
    cells = [[*name.split(", "), f"{float(values[0][1]):g}"] for name, values in panel["series"]]
    table = axes.table(cells, colLabels=[*panel["columns"], "value"], loc="upper left", cellLoc="left")
    table.auto_set_font_size(False)
    table.set_fontsize(9)


def save(figure: Any, file: Path) -> None:
    figure.tight_layout()
    figure.savefig(file, dpi=80, metadata={"Software": None})
    pyplot.close(figure)


if __name__ == "__main__":
    main(json.loads(Path(sys.argv[1]).read_text()))
