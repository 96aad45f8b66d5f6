"""Every verb in every situation: kept as text at 80 and 160 columns, and never wider than the terminal.

The files in `screens/situations` are the promise; UPDATE_SCREENS=1 writes them anew, for a person to read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import pytest
from clusters import Cluster
from situations import SITUATIONS

from modelinfer_controller.kubectl.model.diagnostics import Diagnostics
from modelinfer_controller.kubectl.model.event_timeline import timeline_of
from modelinfer_controller.kubectl.model.explanation import explain
from modelinfer_controller.kubectl.model.fleet import entry_of, fleet_of
from modelinfer_controller.kubectl.model.forecast import forecast
from modelinfer_controller.kubectl.model.rollout_history import history_of
from modelinfer_controller.kubectl.model.rollout_status import rollout_status
from modelinfer_controller.kubectl.model.tree import tree_of
from modelinfer_controller.kubectl.render.event_timeline import timeline_lines
from modelinfer_controller.kubectl.render.explain import explanation_lines
from modelinfer_controller.kubectl.render.fleet import fleet_lines, top_lines
from modelinfer_controller.kubectl.render.history import history_lines
from modelinfer_controller.kubectl.render.plan import forecast_lines
from modelinfer_controller.kubectl.render.rollout_status import progress_lines
from modelinfer_controller.kubectl.render.terminal import Terminal
from modelinfer_controller.kubectl.render.tree import fitted_lines

HEIGHT = 24
SITUATION = pytest.mark.parametrize("situation", SITUATIONS)

Screen = Callable[[str, Sequence[str]], None]


def screens(cluster: Cluster, terminal: Terminal) -> Iterator[tuple[str, Sequence[str]]]:
    """What each verb shows, by its command line."""
    snapshot = cluster.snapshot()
    yield "tree qwen", fitted_lines(tree_of(snapshot), terminal, HEIGHT)
    yield "explain qwen", explanation_lines(explain(snapshot, Diagnostics()), terminal)
    if not snapshot.violations:
        told = forecast(snapshot.observed, snapshot.decision, ())
        yield "plan qwen", list(forecast_lines(told, terminal))
    yield "rollout status qwen --watch=false", progress_lines(rollout_status(snapshot), terminal)
    fleet = fleet_of([snapshot], snapshot.now)
    yield "status", fleet_lines(fleet, terminal, has_namespaces=False)
    yield "top -A", top_lines(fleet, terminal, has_namespaces=True)
    yield "events qwen", timeline_lines(timeline_of(snapshot, []), terminal)
    yield "rollout history qwen", history_lines(history_of(snapshot), terminal)


@SITUATION
@pytest.mark.parametrize("width", [80, 160])
def test_the_screens_that_were_looked_at(situation: str, width: int, screen: Screen) -> None:
    lines: list[str] = []
    kept = [one for one in screens(SITUATIONS[situation](), Terminal(width)) if not one[0].startswith("events")]
    for command, shown in kept:
        lines += [*([""] if lines else []), f"$ kubectl modelinfer {command}", *shown]
    screen(f"situations/{situation}-{width}", [line.rstrip() for line in lines])


@SITUATION
@pytest.mark.parametrize("width", [40, 80, 160])
def test_nothing_is_wider_than_the_terminal(situation: str, width: int) -> None:
    for command, lines in screens(SITUATIONS[situation](), Terminal(width)):
        assert max(map(len, lines)) <= width, command


@SITUATION
@pytest.mark.parametrize("width", [40, 80, 160])
def test_reasons_are_never_left_out(situation: str, width: int) -> None:
    cluster = SITUATIONS[situation]()
    snapshot = cluster.snapshot()
    shown = {command.split()[0]: " ".join(lines) for command, lines in screens(cluster, Terminal(width))}
    told = explain(snapshot, Diagnostics())
    for group in told.groups:
        assert group.reason in shown["tree"]
        if group.ordinal == told.groups[0].ordinal:
            assert entry_of(snapshot).reason in shown["status"]
        squeezed = "".join(shown["explain"].split())
        assert "".join(group.message.split()) in squeezed or situation == "many-groups"


def test_150_groups_are_one_screen() -> None:
    tree = tree_of(SITUATIONS["many-groups"]().snapshot())
    for width in (40, 80, 160):
        lines = fitted_lines(tree, Terminal(width), HEIGHT)
        assert len(lines) <= HEIGHT
        text = "\n".join(lines)
        assert "ImagePullBackOff" in text
        assert "Unschedulable" in text
