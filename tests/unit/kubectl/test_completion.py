"""What the shell offers, in the form that kubectl reads."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from modelinfer_controller.kubectl.cli import candidates
from modelinfer_controller.kubectl.cli.complete import candidates_for
from modelinfer_controller.kubectl.cli.main import plugin


def words(before: Sequence[str], word: str) -> list[str]:
    return [line.partition("\t")[0] for line in candidates_for(plugin, before, word)[0]]


def test_verbs_are_offered() -> None:
    assert words([], "") == sorted(plugin.commands)
    assert words([], "ex") == ["explain"]
    assert {"explain", "status", "tree", "rollout"} <= set(words([], ""))
    assert words(["rollout"], "re") == ["restart", "resume"]


def test_options_are_offered() -> None:
    assert "--output" in words(["tree"], "--o")
    assert words(["tree", "-o"], "") == ["json", "yaml", "name", "wide", "jsonpath="]


def test_names_are_asked_of_the_cluster_and_filtered(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str | None] = []

    def names(flags: candidates.ClusterFlags) -> list[str]:
        asked.append(flags.namespace)
        return ["qwen", "llama"]

    monkeypatch.setattr(candidates, "model_infer_names", names)
    assert words(["explain", "-n", "models"], "q") == ["qwen"]
    assert words(["explain", "-n=others"], "") == ["qwen", "llama"]
    assert asked == ["models", "others"]


def test_file_names_are_left_to_the_shell() -> None:
    assert candidates_for(plugin, ["plan", "-f"], "")[1] == 0
    assert candidates_for(plugin, ["tree"], "--")[1] == 4


def test_no_cluster_means_no_candidates_and_no_noise(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("KUBECONFIG", "/nonexistent/kubeconfig")
    assert words(["tree"], "q") == []
    assert capsys.readouterr() == ("", "")
