"""Verbs from the command line to the answer, against a server of one cluster: manifests, logs and documents."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from serving import Verbs, served
from situations import SITUATIONS, pd_spec

LOG = "/api/v1/namespaces/models/pods/{}/log"


def manifest(name: str = "qwen", image: str = "vllm:v2", **spec: Any) -> str:
    body = {"apiVersion": "workload.volcano.sh/v1alpha1", "kind": "ModelInfer", "metadata": {"name": name}}
    return yaml.safe_dump({**body, "spec": {**pd_spec(image), **spec}})


def planned(document: Any) -> dict[str, tuple[int, ...]]:
    items = document["items"] if document["kind"] == "PlanList" else [document]
    return {item["name"]: tuple(item["restarted"] or item["created"]) for item in items}


def in_a_file(folder: Path, url: str) -> tuple[str, ...]:
    (folder / "all.yaml").write_text(f"{manifest()}---\n{manifest('llama')}")
    return ("-f", str(folder / "all.yaml"))


def in_two_files(folder: Path, url: str) -> tuple[str, ...]:
    (folder / "a.yaml").write_text(manifest())
    (folder / "b.json").write_text(json.dumps(yaml.safe_load(manifest("llama"))))
    return ("-f", str(folder / "a.yaml"), "-f", str(folder / "b.json"))


def in_a_directory(folder: Path, url: str) -> tuple[str, ...]:
    in_two_files(folder, url)
    (folder / "README.md").write_text("no manifest")
    return ("-f", str(folder))


def at_a_url(folder: Path, url: str) -> tuple[str, ...]:
    return ("-f", f"{url}/all.yaml")


def in_a_kustomization(folder: Path, url: str) -> tuple[str, ...]:
    in_two_files(folder, url)
    (folder / "kustomization.yaml").write_text("resources: [a.yaml, b.json]\n")
    return ("-k", str(folder))


SOURCES: list[Callable[[Path, str], tuple[str, ...]]] = [
    in_a_file, in_two_files, in_a_directory, at_a_url, in_a_kustomization,
]  # fmt: skip


@pytest.mark.parametrize("source", SOURCES)
def test_manifests_are_planned_wherever_they_stand(
    source: Callable[[Path, str], tuple[str, ...]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")  # kubectl's own
    with served(SITUATIONS["well"](), {"/all.yaml": f"{manifest()}---\n{manifest('llama')}"}) as url:
        done = Verbs(url)("plan", *source(tmp_path, url), "-o", "json")
    assert done.code == 2, done.err
    assert planned(done.document) == {"qwen": (2, 1, 0), "llama": (0, 1, 2)}


def test_the_logs_of_a_role_have_their_pods_before_each_line() -> None:
    texts = {LOG.format(f"qwen-1-decode-0-{k}"): f"loading\nready {k}\n" for k in (0, 1)}
    with served(SITUATIONS["well"](), texts) as url:
        verbs = Verbs(url)
        done = verbs("logs", "mi/qwen", "--group", "1", "--role", "decode")
        followed = verbs("logs", "qwen", "--group=1", "--role=decode", "-f")
        plain = verbs("logs", "qwen", "-g", "1", "--role", "decode", "--no-prefix")
    assert done.code == 0
    assert done.out.splitlines()[:4] == [
        "[1/decode-0/0] loading", "[1/decode-0/0] ready 0", "[1/decode-0/1] loading", "[1/decode-0/1] ready 1",
    ]  # fmt: skip
    assert "[1/decode-1/0] (no log" in done.out, "a pod without a log is named, and hinders no other"
    assert set(done.out.splitlines()[:4]) <= set(followed.out.splitlines())
    assert plain.out.startswith("loading\nready 0\n")


def test_every_format_of_a_document_names_the_same() -> None:
    with served(SITUATIONS["crash-loop"]()) as url:
        verbs = Verbs(url)
        document = verbs("explain", "qwen", "-o", "json").document
        same = yaml.safe_load(verbs("explain", "qwen", "-o", "yaml").out)
        path = verbs("explain", "qwen", "-o", "jsonpath={.groups[*].reason}")
        name = verbs("explain", "qwen", "-o", "name")
        wide = verbs("explain", "qwen", "-o", "wide")
    assert {key: same[key] for key in ("kind", "name", "summary", "groups")}.keys() <= document.keys()
    assert [group["reason"] for group in same["groups"]] == [group["reason"] for group in document["groups"]]
    assert path.out == "WaitingForBackOff"
    assert name.out == "modelinfer.workload.volcano.sh/qwen\n"
    assert document["groups"][0]["message"] in wide.out, "nothing is broken into lines"


@pytest.mark.parametrize("verb", ["tree", "explain"])
def test_a_group_that_is_not_there_is_a_failure(verb: str) -> None:
    with served(SITUATIONS["rollout-hangs"]()) as url:
        done = Verbs(url)(verb, "qwen", "--group=9")
    assert (done.code, done.out, done.err) == (1, "", "error: qwen has no group 9; it has groups 0-2\n")
