"""`simulate` plays what the real controller does: a rollout keeps its rules, and one seed takes one timeline."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any
from xml.etree import ElementTree

import pytest
from clusters import role, spec

from modelinfer_controller.exits import Exit
from modelinfer_controller.kubectl.model import simulation
from modelinfer_controller.kubectl.model.manifest import Manifest
from modelinfer_controller.kubectl.model.simulation import GroupFailure, NodeDrain, Scenario, Timeline, simulate
from modelinfer_controller.kubectl.model.simulation_report import simulation_of
from modelinfer_controller.kubectl.render.simulation import simulation_lines
from modelinfer_controller.kubectl.render.simulation_plot import plot
from modelinfer_controller.kubectl.render.terminal import Terminal
from modelinfer_controller.simulator.apiserver import cel_rules
from modelinfer_controller.simulator.virtual_time import run


def manifest(image: str = "vllm:v1", **rolling: Any) -> Manifest:
    return Manifest("qwen", None, {}, spec(4, role("decode", image=image), **rolling))


def play(*manifests: Manifest, **scenario: Any) -> Timeline:
    return run(simulate(Scenario(manifests, start=timedelta(seconds=60), **scenario)))


def test_a_rollout_keeps_to_the_budget_and_takes_its_time() -> None:
    told = simulation_of(play(manifest(), manifest("vllm:v2")))
    assert told.is_finished
    assert told.lowest_available == 3
    assert 4 * 60 <= told.seconds < 4 * 60 + 30  # one group after the other, a minute each
    surge = simulation_of(
        play(manifest(maxUnavailable=0, maxSurge=1), manifest("vllm:v2", maxUnavailable=0, maxSurge=1))
    )
    assert surge.lowest_available == 4


def test_available_groups_are_compared_with_those_that_were_wanted_then() -> None:
    suspending = manifest()
    suspending.spec["suspend"] = True
    told = simulation_of(play(manifest(), suspending))
    counts = [(entry.available, entry.replicas) for entry in told.timeline]
    assert counts[0] == (0, 4)
    assert (4, 4) in counts
    assert counts[-1] == (0, 0)
    assert all(available <= wanted for available, wanted in counts)
    assert list(simulation_lines(told, Terminal(80)))[-1].endswith("; no groups are wanted any more")


def test_a_drain_is_seen_before_its_group_is_replaced() -> None:
    first, second = manifest(), manifest("vllm:v2")
    for one in (first, second):
        one.spec["template"]["drain"] = {"timeoutSeconds": 30}
    told = simulation_of(play(first, second))
    texts = [entry.text for entry in told.timeline]
    begins = texts.index("group 3: Draining")
    assert texts[begins + 1] == "group 3: PodsNotReady"
    assert 30 <= told.timeline[begins + 1].after - told.timeline[begins].after < 31
    assert told.is_finished


def test_a_failed_group_is_seen_and_comes_back() -> None:
    told = simulation_of(play(manifest(), failures=[GroupFailure(2, timedelta(minutes=5))]))
    texts = [entry.text for entry in told.timeline if entry.after >= 300]
    assert texts[0] == "qwen-2-decode-0-0 fails"
    assert texts[-1].startswith("group 2: Available at qwen-")
    assert told.lowest_available == 3
    assert told.is_finished


def test_a_drain_hands_groups_over_and_ends() -> None:
    proposed = manifest()
    spec = {**proposed.spec, "nodeDrainPolicy": "HandOver"}
    drains = [NodeDrain("node-1", timedelta(minutes=5))]
    timeline = play(replace(proposed, spec=spec), drains=drains)
    told = simulation_of(timeline)
    assert [text for _, text, _ in timeline.marks][1:] == ["drain of node-1 begins", "node-1 is empty"]
    assert told.lowest_available == timeline.replicas - 1
    assert any(state == "HandingOver" for sample in timeline.samples for state, _ in sample.groups.values())
    with pytest.raises(Exit, match="there is no node 'gpu-1'"):
        play(proposed, drains=[NodeDrain("gpu-1", timedelta(minutes=1))])


def test_the_same_seed_takes_the_same_course() -> None:
    spread = {"spread": timedelta(seconds=30)}
    first, same, other = (simulation_of(play(manifest(), seed=seed, **spread)) for seed in (1, 1, 2))
    assert first == same
    assert first != other


def test_without_a_library_for_cel_the_controllers_own_rules_refuse(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cel_rules, "cel", None)
    monkeypatch.setattr(simulation, "find_spec", lambda name: None)
    assert simulation_of(play(manifest())).is_finished
    with pytest.raises(Exit, match=r"is refused: .*maxUnavailable"):
        play(manifest(maxUnavailable=0, maxSurge=0))


def test_a_manifest_that_is_refused_is_one_line() -> None:
    with pytest.raises(Exit, match=r"is refused: .*maxUnavailable"):
        play(manifest(maxUnavailable=0, maxSurge=0))


def test_the_picture_has_a_row_for_each_group_and_a_colour_for_each_revision() -> None:
    picture = ElementTree.fromstring(plot(play(manifest(), manifest("vllm:v2"))))
    texts = [each.text for each in picture.iter("{http://www.w3.org/2000/svg}text")]
    assert {f"group {ordinal}" for ordinal in range(4)} <= set(texts)
    assert "available (lowest 3)" in texts
    fills = {each.get("fill") for each in picture.iter("{http://www.w3.org/2000/svg}rect")}
    assert {"#2e8b57", "#7fa8d9", "#e3b341"} <= fills
