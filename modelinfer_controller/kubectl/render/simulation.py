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


def simulation_lines(told: Simulation, terminal: Terminal) -> Iterator[str]:
    rows = [
        (
            Cell(span(timedelta(seconds=entry.after))),
            Cell(f"{entry.available}/{entry.replicas}"),
            Cell(entry.text),
        )
        for entry in told.timeline
    ]
    yield from table(COLUMNS, rows, terminal)
    yield ""
    took = span(timedelta(seconds=told.seconds))
    end = f"done after {took}" if told.is_finished else f"not done after {took}"
    tone = Tone.GOOD if told.is_finished else Tone.BAD
    lowest = f"{told.lowest_available} of {told.replicas} groups available at the lowest"
    for line in terminal.wrap(f"{end}; {lowest if told.replicas else 'no groups are wanted any more'}"):
        yield terminal.paint(line, tone)
