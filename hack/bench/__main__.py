"""`make bench ARGS="--only fleet --scale 0.1 --json build/bench/fleet.json"`."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from bench.contender import OURS, Contender, Foreign
from bench.creation import Fleet, creation
from bench.failover import failover, start
from bench.lifecycle import lifecycle
from bench.machine import conditions, load
from bench.passes import one_pass
from bench.rollout import rolling_update
from bench.row import Row
from bench.simulated import simulated_fleet
from bench.tenants import hanging_webhook


class Sizes:
    """The full sizes, which the aims are stated for, times a scale."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        self.nodes: int = arguments.nodes
        self.repeats: int = arguments.repeats
        self._scale: float = arguments.scale
        self.contender: Contender = _contender(arguments)

    def of(self, full: int) -> int:
        return max(1, round(full * self._scale))


# "fleet" and "large" are 10,000 pods and take minutes; the others seconds to a minute.
MEASUREMENTS: Mapping[str, Callable[[Sizes], Awaitable[list[Row]]]] = {
    "one": lambda sizes: creation(sizes.nodes, Fleet(1, sizes.of(500)), sizes.repeats, sizes.contender),
    "many": lambda sizes: creation(sizes.nodes, Fleet(sizes.of(500), 1), sizes.repeats, sizes.contender),
    "rollout": lambda sizes: rolling_update(sizes.nodes, sizes.of(100)),
    "fleet": lambda sizes: lifecycle(sizes.nodes, Fleet(sizes.of(100), 50)),
    "large": lambda sizes: lifecycle(sizes.nodes, Fleet(1, sizes.of(5000))),
    "failover": lambda sizes: failover(3, sizes.repeats),
    "start": lambda sizes: start(3, sizes.repeats),
    "hang": lambda sizes: hanging_webhook(3, sizes.of(100), sizes.repeats),
    "hang-many": lambda sizes: hanging_webhook(3, sizes.of(300), sizes.repeats),
    "pass": lambda sizes: _now(one_pass(sizes.of(17_000), sizes.repeats)),
    "simulated": lambda sizes: simulated_fleet(Fleet(sizes.of(2000), 25)),
}
OF_FOREIGN = ("one", "many")


async def _now(rows: list[Row]) -> list[Row]:
    return rows


def main() -> None:
    arguments = _arguments()
    sizes = Sizes(arguments)
    chosen = arguments.only or (list(MEASUREMENTS) if sizes.contender is OURS else list(OF_FOREIGN))
    for name in chosen:
        if sizes.contender is not OURS and name not in OF_FOREIGN:
            sys.exit(f"a foreign controller is measured by {' and '.join(OF_FOREIGN)}, not by {name}")
    before = conditions()
    rows: list[Row] = []
    for name in chosen:
        rows += asyncio.run(_run(name, sizes))
    Console().print(_table(rows))
    if arguments.json:
        command = f'make bench ARGS="{" ".join(sys.argv[1:])}"'
        document = {
            **before,
            "load_after": load(),
            "command": command,
            "scale": arguments.scale,
            "controller": sizes.contender.name,
            "rows": [row.as_json() for row in rows],
        }
        arguments.json.parent.mkdir(parents=True, exist_ok=True)
        arguments.json.write_text(json.dumps(document, indent=1) + "\n")


async def _run(name: str, sizes: Sizes) -> list[Row]:
    return await MEASUREMENTS[name](sizes)


def _contender(arguments: argparse.Namespace) -> Contender:
    if arguments.foreign is None:
        return OURS
    return Foreign(
        name=arguments.foreign,
        pod_selector=arguments.pod_selector,
        template=arguments.template.read_text(),
        plural=arguments.plural,
        setup=tuple(arguments.setup or ()),
        command=arguments.command or "",
        component=arguments.component,
    )


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make bench ARGS=", description="The controller beside a bare loop.")
    parser.add_argument("--only", choices=sorted(MEASUREMENTS), action="append", help="measure this (repeatable)")
    parser.add_argument("--nodes", type=int, default=50, help="simulated nodes (default 50)")
    parser.add_argument("--scale", type=float, default=1.0, help="share of the full sizes (default 1)")
    parser.add_argument("--repeats", type=int, default=5, help="of what is short (default 5); the best counts")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the rows there, with hardware and load")
    foreign = parser.add_argument_group("another controller, by the same script")
    foreign.add_argument("--foreign", metavar="NAME", help="measure this one: created and ready")
    foreign.add_argument("--template", type=Path, help="its manifest: YAML with ${name}, ${groups}, ${pods}")
    foreign.add_argument("--plural", help="the resource's plural, such as statefulsets")
    foreign.add_argument("--pod-selector", help="a label selector of the pods that it makes")
    foreign.add_argument("--setup", type=Path, action="append", help="apply this first, such as its CRDs (repeatable)")
    foreign.add_argument("--command", help="its process, with {kubeconfig}; default: it is a component")
    foreign.add_argument("--component", default="kube-controller-manager", help="which one (default %(default)s)")
    return parser.parse_args()


def _table(rows: list[Row]) -> Table:
    table = Table("line", "of", "ours", "floor", "ratio", "aim", "details", title="The floor is a bare loop")
    for row in rows:
        table.add_row(
            row.line,
            row.size,
            f"{row.value:.3g} {row.unit}",
            "" if row.floor_value is None else f"{row.floor_value:.3g}",
            "" if row.ratio is None else f"{row.ratio:.2f}",
            aim_of(row),
            "\n".join(f"{key} {value}" for key, value in _flat(row.details).items()),
        )
    return table


def aim_of(row: Row) -> str:
    if row.aim_ratio is not None:
        return f"≤ {row.aim_ratio:g} x"
    return f"≤ {row.aim:g} {row.unit}" if row.aim is not None else ""


def _flat(details: Mapping[str, Any]) -> dict[str, Any]:
    calls: dict[str, Any] = details.get("calls", {})
    return {key: value for key, value in details.items() if key != "calls"} | calls


if __name__ == "__main__":
    main()
