"""The timeline of a simulation as lines of text."""

from collections.abc import Iterator
from datetime import timedelta

from modelinfer_controller.kubectl.model.humanize import span
from modelinfer_controller.kubectl.model.simulation_report import Simulation
from modelinfer_controller.kubectl.render.terminal import Terminal, Tone


def simulation_lines(told: Simulation, terminal: Terminal) -> Iterator[str]:
    yield terminal.paint("after    available  what", Tone.FAINT)
    for entry in told.timeline:
        line = f"{span(timedelta(seconds=entry.after)):<7}  {f'{entry.available}/{told.replicas}':<9}  {entry.text}"
        yield terminal.cut(line, terminal.width or 10**6)
    yield ""
    took = span(timedelta(seconds=told.seconds))
    end = f"done after {took}" if told.is_finished else f"not done after {took}"
    tone = Tone.GOOD if told.is_finished else Tone.BAD
    yield terminal.paint(f"{end}; {told.lowest_available} of {told.replicas} groups available at the lowest", tone)
