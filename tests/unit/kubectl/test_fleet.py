"""The fleet: the worst first, with its reason at every width."""

from __future__ import annotations

import msgspec
import pytest
from situations import SITUATIONS

from modelinfer_controller.exits import Exit
from modelinfer_controller.kubectl.model.fleet import Fleet, fleet_of
from modelinfer_controller.kubectl.model.label_selector import matches
from modelinfer_controller.kubectl.model.snapshot import Snapshot
from modelinfer_controller.kubectl.render.fleet import fleet_lines, top_lines
from modelinfer_controller.kubectl.render.terminal import Terminal

SHOWN = ("well", "rollout-hangs", "unschedulable", "quota-exceeded", "invalid-spec", "held-by-partition")


def named(situation: str) -> Snapshot:
    """The situation, in a ModelInfer of its name."""
    cluster = SITUATIONS[situation]()
    return cluster.snapshot()


@pytest.fixture(scope="module")
def fleet() -> Fleet:
    found = fleet_of([], named("well").now)
    entries = []
    for situation in SHOWN:
        (entry,) = fleet_of([named(situation)], found.time).items
        entries.append(msgspec.structs.replace(entry, name=situation))
    from modelinfer_controller.kubectl.model.fleet import severity

    return Fleet(found.time, tuple(sorted(entries, key=severity)))


def test_the_worst_come_first(fleet: Fleet) -> None:
    order = [entry.name for entry in fleet.items]
    assert order[0] == "quota-exceeded"  # nothing is available
    assert order[-2:] == ["held-by-partition", "well"]
    assert [entry.is_well for entry in fleet.items] == [False] * 4 + [True] * 2


@pytest.mark.parametrize("width", [40, 80, 160])
def test_every_reason_is_shown_at_every_width(fleet: Fleet, width: int) -> None:
    lines = fleet_lines(fleet, Terminal(width), has_namespaces=True)
    assert max(map(len, lines)) <= width
    text = "\n".join(lines)
    for entry in fleet.items:
        assert entry.reason in text


def test_the_sums_of_the_fleet(fleet: Fleet) -> None:
    assert top_lines(fleet, Terminal(160), has_namespaces=False)[0].startswith(
        "6 ModelInfers, 4 not well; 13 of 19 groups"
    )


@pytest.mark.parametrize(
    ("selector", "expected"),
    [
        ("", True),
        ("tier=prod", True),
        ("tier==prod,team", True),
        ("tier!=prod", False),
        ("!team", False),
        ("tier in (test, prod)", True),
        ("tier notin (test),team=a", True),
        ("team=b", False),
    ],
)
def test_selectors_as_kubectl_reads_them(selector: str, expected: bool) -> None:
    assert matches(selector, {"tier": "prod", "team": "a"}) is expected


def test_a_selector_that_is_not_understood() -> None:
    with pytest.raises(Exit, match="not understood"):
        matches("a===b=c", {})
