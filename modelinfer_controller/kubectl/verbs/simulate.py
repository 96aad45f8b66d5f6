"""The verb `simulate`."""

import re
from collections.abc import Sequence
from datetime import timedelta

from modelinfer_controller.api.duration import parse_duration
from modelinfer_controller.kubectl.model.kubeconfig import failure
from modelinfer_controller.kubectl.model.manifest import read_manifests
from modelinfer_controller.kubectl.model.simulation import NODE_CAPACITY, GroupFailure, NodeDrain, Scenario, simulate
from modelinfer_controller.kubectl.model.simulation_report import simulation_of
from modelinfer_controller.kubectl.render.output import show
from modelinfer_controller.kubectl.render.picture import require_picture, write_picture
from modelinfer_controller.kubectl.render.simulation import simulation_lines
from modelinfer_controller.kubectl.render.simulation_plot import plot
from modelinfer_controller.simulator.virtual_time import run as run_in_virtual_time

_FAILURE = re.compile(r"group=(\d+)@(.+)")
_DRAIN = re.compile(r"([a-z0-9.-]+)@(.+)")


def show_simulation(  # noqa: PLR0913 # the options of the verb
    paths: Sequence[str],
    nodes: int,
    capacity: Sequence[str],
    start: str,
    failures: Sequence[str],
    drains: Sequence[str],
    seed: int,
    picture: str | None,
    output: str | None,
) -> int:
    """The exit code: 0 where everything came to be as specified, else 1."""
    if picture is not None:
        require_picture(picture)
    mean, spread = _start(start)
    manifests = read_manifests(paths)
    if len({manifest.name for manifest in manifests}) > 1:
        raise failure("the manifests must be of one ModelInfer")
    scenario = Scenario(
        manifests,
        nodes,
        _capacity(capacity),
        mean,
        spread,
        [_failure(each) for each in failures],
        seed,
        drains=[_drain(each) for each in drains],
    )
    timeline = run_in_virtual_time(simulate(scenario))
    if picture is not None:
        write_picture(picture, plot(timeline))
    simulation = simulation_of(timeline)
    show("Simulation", simulation, output, lambda terminal: simulation_lines(simulation, terminal))
    return 0 if timeline.is_finished else 1


def _capacity(given: Sequence[str]) -> dict[str, str]:
    """The usual node's, with what is given in its place."""
    pairs = [each.partition("=") for text in given for each in text.split(",")]
    for name, _, quantity in pairs:
        if not (name and quantity):
            raise failure("--node: it is of the form nvidia.com/gpu=8,cpu=96")
    return {**NODE_CAPACITY, **{name: quantity for name, _, quantity in pairs}}


def _start(text: str) -> tuple[timedelta, timedelta]:
    """90s±30s, or 90s+-30s, or 90s."""
    mean, _, spread = text.replace("+-", "±").partition("±")
    return _duration("--start", mean), _duration("--start", spread) if spread else timedelta(0)


def _failure(text: str) -> GroupFailure:
    match = _FAILURE.fullmatch(text)
    if match is None:
        raise failure(f"--fail: {text!r} is not of the form group=3@2m")
    return GroupFailure(int(match[1]), _duration("--fail", match[2]))


def _drain(text: str) -> NodeDrain:
    match = _DRAIN.fullmatch(text)
    if match is None:
        raise failure(f"--drain: {text!r} is not of the form node-3@5m")
    return NodeDrain(match[1], _duration("--drain", match[2]))


def _duration(option: str, text: str) -> timedelta:
    try:
        return parse_duration(text)
    except ValueError as error:
        raise failure(f"{option}: {error}") from error
