"""The verb `simulate`."""

import re
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

from modelinfer_controller.api.duration import parse_duration
from modelinfer_controller.kubectl.model.access import failure
from modelinfer_controller.kubectl.model.manifest import read_manifest
from modelinfer_controller.kubectl.model.simulation import GroupFailure, Scenario, simulate
from modelinfer_controller.kubectl.model.simulation_report import simulation_of
from modelinfer_controller.kubectl.render.output import render, say
from modelinfer_controller.kubectl.render.simulation import simulation_lines
from modelinfer_controller.kubectl.render.simulation_plot import plot
from modelinfer_controller.kubectl.render.terminal import terminal_of
from modelinfer_controller.simulator.virtual_time import run as run_in_virtual_time

_FAILURE = re.compile(r"group=(\d+)@(.+)")


def show_simulation(
    paths: Sequence[str],
    nodes: int,
    start: str,
    failures: Sequence[str],
    seed: int,
    svg: str | None,
    output: str | None,
) -> int:
    """The exit code: 0 where everything came to be as specified, else 1."""
    mean, spread = _start(start)
    manifests = [read_manifest(path, None) for path in paths]
    if len({manifest.name for manifest in manifests}) > 1:
        raise failure("the manifests must be of one ModelInfer")
    scenario = Scenario(manifests, nodes, mean, spread, [_failure(each) for each in failures], seed)
    timeline = run_in_virtual_time(simulate(scenario))
    if svg is not None:
        Path(svg).write_text(plot(timeline), encoding="utf-8")
    told = simulation_of(timeline)
    say(render("Simulation", told, output) if output else "\n".join(simulation_lines(told, terminal_of())) + "\n")
    return 0 if timeline.is_finished else 1


def _start(text: str) -> tuple[timedelta, timedelta]:
    """90s±30s, or 90s+-30s, or 90s."""
    mean, _, spread = text.replace("+-", "±").partition("±")
    return _duration("--start", mean), _duration("--start", spread) if spread else timedelta(0)


def _failure(text: str) -> GroupFailure:
    match = _FAILURE.fullmatch(text)
    if match is None:
        raise failure(f"--fail: {text!r} is not of the form group=3@2m")
    return GroupFailure(int(match[1]), _duration("--fail", match[2]))


def _duration(option: str, text: str) -> timedelta:
    try:
        return parse_duration(text)
    except ValueError as error:
        raise failure(f"{option}: {error}") from error
