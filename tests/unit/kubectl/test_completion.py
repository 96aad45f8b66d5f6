"""What the shell offers, in the form that kubectl reads."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest
from serving import served
from situations import SITUATIONS

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


def test_contexts_clusters_and_users_are_those_of_the_kubeconfig(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    names = {"contexts": ["prod", "dev"], "clusters": ["east"], "users": ["alice"]}
    kubeconfig = {kind: [{"name": name} for name in each] for kind, each in names.items()}
    (tmp_path / "config").write_text(json.dumps(kubeconfig))
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "config"))
    assert words(["tree", "--context"], "") == ["dev", "prod"]
    assert words(["--context"], "p") == ["prod"]
    assert words(["tree", "--cluster"], "") == ["east"]
    assert words(["tree", "--user"], "") == ["alice"]


def test_names_groups_and_revisions_are_those_of_the_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBECONFIG", "/dev/null")
    with served(SITUATIONS["rollout-hangs"]()) as url:
        flags = ["-n", "models", "--server", url]
        assert words([*flags, "tree"], "") == ["qwen"]
        assert words([*flags, "tree"], "mi/q") == ["mi/qwen"]
        assert words([*flags, "tree", "qwen"], "") == []
        for name in (["qwen"], ["mi/qwen"], ["mi", "qwen"]):
            assert words([*flags, "explain", *name, "--group"], "") == ["0", "1", "2"]
            assert words([*flags, "rollout", "undo", *name, "--to-revision"], "") == ["2", "1"]
