"""What people see, at 80 and at 160 columns. The files in `screens` are the promise."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path

import pytest
from clusters import Cluster, role, spec

from modelinfer_controller.kubectl.model.diagnostics import Diagnostics
from modelinfer_controller.kubectl.model.explanation import explain
from modelinfer_controller.kubectl.model.forecast import forecast
from modelinfer_controller.kubectl.model.rollout_changes import earlier_revision, undo
from modelinfer_controller.kubectl.model.rollout_history import history_of
from modelinfer_controller.kubectl.model.rollout_status import rollout_status
from modelinfer_controller.kubectl.model.spec_diff import spec_changes
from modelinfer_controller.kubectl.model.tree import tree_of
from modelinfer_controller.kubectl.render.explain import explanation_lines
from modelinfer_controller.kubectl.render.history import history_lines
from modelinfer_controller.kubectl.render.plan import forecast_lines
from modelinfer_controller.kubectl.render.rollout_status import end_text, progress_lines
from modelinfer_controller.kubectl.render.terminal import Terminal
from modelinfer_controller.kubectl.render.tree import tree_lines

Screen = Callable[[str, Sequence[str]], None]
DOCS = Path(__file__).parents[3] / "docs"
SCREENS = Path(__file__).parent / "screens"
WIDTHS = pytest.mark.parametrize("width", [80, 160])


def pd_spec(image: str = "vllm:v1", replicas: int = 3, **rolling: object) -> dict[str, object]:
    return spec(replicas, role("prefill", image=image), role("decode", 2, 1, image=image), **rolling)


def rolling_out() -> Cluster:
    """The new image cannot be pulled: the first group that was replaced hangs."""
    cluster = Cluster(pd_spec())
    cluster.settle()
    cluster.change(pd_spec("vllm:v2"), **{"kubernetes.io/change-cause": "vLLM 2"})
    cluster.act()
    cluster.act()
    cluster.start(lambda name: name.startswith("qwen-2-prefill"), seconds=20)
    for name in ("qwen-2-decode-0-0", "qwen-2-decode-0-1", "qwen-2-decode-1-0"):
        cluster.fail_to_pull(name)
    cluster.leave_unscheduled("qwen-2-decode-1-1", "0/6 nodes are available: 6 Insufficient nvidia.com/gpu.")
    cluster.now += timedelta(minutes=12)
    cluster.note()
    return cluster


def assert_fits(lines: Sequence[str], width: int) -> None:
    assert max(map(len, lines)) <= width


@WIDTHS
def test_a_tree_in_the_middle_of_a_rollout(width: int, screen: Screen) -> None:
    lines = tree_lines(tree_of(rolling_out().snapshot()), Terminal(width))
    assert_fits(lines, width)
    screen(f"tree-{width}", lines)


@WIDTHS
def test_the_explanation_of_a_rollout_that_hangs(width: int, screen: Screen) -> None:
    lines = explanation_lines(explain(rolling_out().snapshot(), Diagnostics()), Terminal(width))
    assert_fits(lines, width)
    screen(f"explain-{width}", lines)


@WIDTHS
def test_the_plan_of_a_new_image_with_a_surge(width: int, screen: Screen) -> None:
    cluster = Cluster(pd_spec())
    cluster.settle()
    before = cluster.snapshot()
    after, now = pd_spec("vllm:v2", 4, maxSurge=1), pd_spec()
    cluster.change(after)
    told = forecast(cluster.snapshot().observed, before.decision, spec_changes(now, after))
    lines = forecast_lines(told, Terminal(width))
    assert_fits(lines, width)
    screen(f"plan-{width}", lines)


@WIDTHS
def test_the_history_of_two_revisions(width: int, screen: Screen) -> None:
    lines = history_lines(history_of(rolling_out().snapshot()), Terminal(width))
    assert_fits(lines, width)
    screen(f"history-{width}", lines)


@WIDTHS
def test_the_progress_of_a_rollout(width: int, screen: Screen) -> None:
    lines = progress_lines(rollout_status(rolling_out().snapshot()), Terminal(width))
    assert_fits(lines, width)
    screen(f"status-{width}", lines)


def undone() -> tuple[Cluster, Sequence[str]]:
    """The cluster after `rollout undo` of the rollout that hangs, and what `plan` said of it before."""
    cluster = rolling_out()
    before = cluster.snapshot()
    earlier = earlier_revision(before.observed.revisions, before.decision.revisions.update, None)
    body = undo(cluster.stored, earlier)
    now = pd_spec("vllm:v2")
    after = {**now, "template": body.spec["template"]}
    cluster.change(after)
    told = forecast(cluster.snapshot().observed, before.decision, spec_changes(now, after))
    return cluster, forecast_lines(told, Terminal(80))


def test_the_plan_of_going_back(screen: Screen) -> None:
    screen("undo-plan-80", undone()[1])


def test_the_end_of_going_back(screen: Screen) -> None:
    cluster, _ = undone()
    cluster.settle()
    status = rollout_status(cluster.snapshot())
    screen("undone-status-80", [*progress_lines(status, Terminal(80)), end_text(status)])


def test_the_page_on_an_incident_shows_these_screens() -> None:
    page = (DOCS / "incident.md").read_text(encoding="utf-8")
    for name in ("tree-80", "explain-80", "history-80", "undo-plan-80", "undone-status-80"):
        text = (SCREENS / f"{name}.txt").read_text(encoding="utf-8")
        shown = "".join(f"    {line}".rstrip() + "\n" for line in text.splitlines())
        assert shown in page, f"docs/incident.md does not show the screen {name}"


def test_colours_only_where_there_are_some() -> None:
    tree = tree_of(rolling_out().snapshot())
    assert not any("\x1b" in line for line in tree_lines(tree, Terminal(80)))
    painted = tree_lines(tree, Terminal(80, has_colours=True))
    assert any("\x1b[31m" in line for line in painted)


def test_ascii_where_the_output_has_nothing_else() -> None:
    lines = tree_lines(tree_of(rolling_out().snapshot()), Terminal(80, has_unicode=False))
    assert all(line.isascii() for line in lines)


def test_nothing_is_cut_where_there_is_no_terminal() -> None:
    explained = explain(rolling_out().snapshot(), Diagnostics())
    lines = explanation_lines(explained, Terminal(None))
    assert any(explained.groups[0].message in line for line in lines)
