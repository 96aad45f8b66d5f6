"""Text of others on a terminal: wide characters keep the columns, and escape sequences do nothing."""

from __future__ import annotations

import json

import pytest
from clusters import Cluster, role, spec
from situations import SITUATIONS, rollout_hangs

from modelinfer_controller.kubectl.model.diagnostics import Diagnostics
from modelinfer_controller.kubectl.model.event_timeline import timeline_of
from modelinfer_controller.kubectl.model.explanation import explain
from modelinfer_controller.kubectl.model.rollout_history import history_of
from modelinfer_controller.kubectl.render.columns import Cell, Column, table
from modelinfer_controller.kubectl.render.event_timeline import timeline_lines
from modelinfer_controller.kubectl.render.explain import explanation_lines
from modelinfer_controller.kubectl.render.history import history_lines
from modelinfer_controller.kubectl.render.terminal import Terminal
from modelinfer_controller.kubectl.render.text import cut, display_width, visible, wrapped


def test_the_width_of_text_is_that_of_its_columns() -> None:
    assert [display_width(text) for text in ("abc", "模型", "é", "e\u0301", "…→├", "🚀")] == [3, 4, 1, 1, 3, 2]
    assert cut("模型推理", 5) == "模型…"
    assert cut("abc", 3) == "abc"


@pytest.mark.parametrize("width", [4, 7, 20])
def test_lines_of_wide_characters_fit(width: int) -> None:
    lines = wrapped("新しい 模型推理の イメージ vllm:v2 を使う", width)
    assert max(map(display_width, lines)) <= width
    assert "".join(lines).replace(" ", "") == "新しい模型推理のイメージvllm:v2を使う"


def test_columns_stay_in_line_beside_wide_characters() -> None:
    columns = (Column("NAME", shortest=4), Column("CAUSE"), Column("AGE"))
    rows = [(Cell("模型推理模型推理"), Cell("é"), Cell("5m")), (Cell("qwen"), Cell("b"), Cell("6m"))]
    for terminal in (Terminal(None), Terminal(24)):
        lines = table(columns, rows, terminal)
        ends = {display_width(line) for line in lines[1:]}
        assert len(ends) == 1
        assert max(ends) <= (terminal.width or 99)


@pytest.mark.parametrize("width", [40, 80, None])
def test_a_message_cannot_steer_the_terminal(width: int | None) -> None:
    cluster = rollout_hangs()
    evil = "ok\x1b[2J\x1b]0;title\x07\x9b31m\r\nall is \u202ewell"
    cluster.change(json.loads(bytes(cluster.stored.spec)), **{"kubernetes.io/change-cause": evil})
    cluster.leave_unscheduled("qwen-2-decode-0-0", evil)
    cluster.note()
    snapshot, terminal = cluster.snapshot(), Terminal(width)
    lines = [
        *explanation_lines(explain(snapshot, Diagnostics(last_words={"qwen-2-decode-0-0": (evil,)})), terminal),
        *timeline_lines(timeline_of(snapshot, []), terminal),
        *history_lines(history_of(snapshot), terminal),
    ]
    assert all(line.isprintable() for line in lines)
    assert any("\\x1b[2J" in line for line in lines)
    assert visible("a\tb\nc") == "a b c"


def test_a_history_is_a_list_where_there_is_no_room_for_columns() -> None:
    lines = history_lines(history_of(SITUATIONS["rollout-hangs"]().snapshot()), Terminal(40))
    assert lines == [
        "  1  qwen-bd46b01091  15m",
        "     groups 0-1",
        "* 2  qwen-0fadd7362a  12m",
        "     group 2",
        "     vLLM 2",
        "     image=vllm:v2 (prefill, decode)",
    ]


def test_a_history_never_cuts_the_hash_of_a_revision() -> None:
    cluster = Cluster(spec(3, role("decode")), name="deepseek-r1-distill-32b-production-west4-a1")
    cluster.settle()
    (revision,) = cluster.revisions
    for width in (80, 160):
        assert any(revision in line for line in history_lines(history_of(cluster.snapshot()), Terminal(width)))
