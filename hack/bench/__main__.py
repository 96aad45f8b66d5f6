"""`make bench ARGS="--only one --json rows.json"`."""

from __future__ import annotations

import argparse
import asyncio
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from bench.measure import MEASUREMENTS, Row


def main() -> None:
    parser = argparse.ArgumentParser(prog="make bench ARGS=", description="The controller beside a bare loop.")
    parser.add_argument("--only", choices=sorted(MEASUREMENTS), action="append", help="measure this (repeatable)")
    parser.add_argument("--nodes", type=int, default=50, help="simulated nodes (default 50)")
    parser.add_argument("--scale", type=float, default=1.0, help="share of the full sizes (default 1)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the rows there")
    arguments = parser.parse_args()
    rows: list[Row] = []
    for name in arguments.only or MEASUREMENTS:
        rows += asyncio.run(_run(name, arguments.nodes, arguments.scale))
    Console().print(_table(rows))
    if arguments.json:
        arguments.json.write_text(json.dumps([row.as_json() for row in rows], indent=2) + "\n")


async def _run(name: str, nodes: int, scale: float) -> list[Row]:
    return await MEASUREMENTS[name](nodes, scale)


def _table(rows: list[Row]) -> Table:
    table = Table("work", "ours s", "limit s", "ratio", "aim", "details", title="One run, the limit beside it")
    for row in rows:
        aim = f"≤ {row.aim:.1f}" if row.aim else ""
        details = "\n".join(_lines(row.details))
        table.add_row(row.work, f"{row.ours_s:.2f}", f"{row.limit_s:.2f}", f"{row.ratio:.2f}", aim, details)
    return table


def _lines(details: Mapping[str, Any]) -> Iterator[str]:
    for key, value in details.items():
        if isinstance(value, dict):
            yield from (f"{count} x {call}" for call, count in value.items())
        else:
            yield f"{key} {value}"


if __name__ == "__main__":
    main()
