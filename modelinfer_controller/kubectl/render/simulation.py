"""The timeline of a simulation as lines of text."""

from collections.abc import Iterator
from datetime import timedelta

from modelinfer_controller.kubectl.model.humanize import span
from modelinfer_controller.kubectl.model.simulation_report import Simulation
from modelinfer_controller.kubectl.render.columns import Cell, Column, table
from modelinfer_controller.kubectl.render.terminal import Terminal, Tone

COLUMNS = (
    Column("AFTER", shortest=5),
    Column("AVAILABLE", shortest=5),
    Column("WHAT", shortest=16, wraps=True),
)


def simulation_lines(simulation: Simulation, terminal: Terminal) -> Iterator[str]:
    rows = [
        (
            Cell(span(timedelta(seconds=entry.after))),
            Cell(f"{entry.available}/{entry.replicas}"),
            Cell(entry.text),
        )
        for entry in simulation.timeline
    ]
    yield from table(COLUMNS, rows, terminal)
    yield ""
    took = span(timedelta(seconds=simulation.seconds))
    end = f"done after {took}" if simulation.is_finished else f"not done after {took}"
    tone = Tone.GOOD if simulation.is_finished else Tone.BAD
    lowest = f"{simulation.lowest_available} of {simulation.replicas} groups available at the lowest"
    for line in terminal.wrap(f"{end}; {lowest if simulation.replicas else 'no groups are wanted any more'}"):
        yield terminal.paint(line, tone)
