"""Which binaries are built, how, and where they are kept."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import pytest
from controlplane import tools
from controlplane.golang import parse_version

TOOLS = Path(__file__).parents[3] / "hack" / "tools"
GO_MOD = """module m

require k8s.io/kubernetes v1.37.2

require (
	sigs.k8s.io/kwok v0.8.0
	sigs.k8s.io/kwok/more v0.9.0 // indirect
)
"""


def test_a_required_version_is_found() -> None:
    assert tools.required_version(GO_MOD, "k8s.io/kubernetes") == "v1.37.2"
    assert tools.required_version(GO_MOD, "sigs.k8s.io/kwok") == "v0.8.0"


def test_a_module_that_is_not_required_is_an_error() -> None:
    with pytest.raises(tools.BuildError, match=r"requires no k8s\.io/api"):
        tools.required_version(GO_MOD, "k8s.io/api")


def test_kubernetes_reports_its_version() -> None:
    flags = tools.linker_flags(tools.KUBERNETES, GO_MOD)
    variable = "-X k8s.io/component-base/version."
    assert f"{variable}gitVersion=v1.37.2 {variable}gitMajor=1 {variable}gitMinor=37" in flags


def test_the_folder_of_the_binaries_follows_versions_and_platform() -> None:
    digests = [
        tools.build_digest([b"go.mod", b"go.sum"], "Linux", "x86_64"),
        tools.build_digest([b"go.mod", b"other"], "Linux", "x86_64"),
        tools.build_digest([b"go.modgo", b".sum"], "Linux", "x86_64"),
        tools.build_digest([b"go.mod", b"go.sum"], "Linux", "aarch64"),
    ]
    assert len(set(digests)) == 4
    assert digests[0] == tools.build_digest([b"go.mod", b"go.sum"], "Linux", "x86_64")


@pytest.mark.parametrize(
    "module",
    [tools.KUBERNETES, tools.ETCD_KWOK, tools.VOLCANO, tools.NODE, tools.HELM, tools.KUBE_STATE_METRICS],
    ids=lambda m: m.folder,
)
def test_every_program_is_pinned(module: tools.Module) -> None:
    go_mod = (TOOLS / module.folder / "go.mod").read_text()
    assert (TOOLS / module.folder / "go.sum").exists()
    for program in module.programs:
        assert f"\t{program.package}\n" in go_mod


@pytest.mark.parametrize("module", [tools.COREDNS, tools.PAUSE], ids=lambda m: m.folder)
def test_a_program_of_ours_is_built_anew_when_its_source_changes(module: tools.Module, tmp_path: Path) -> None:
    copy = dataclasses.replace(module, parent=tmp_path)
    shutil.copytree(module.source, copy.source)
    assert tools._built_folder(copy) == tools._built_folder(module)
    (copy.source / "main.go").write_text("package main\n")
    assert tools._built_folder(copy) != tools._built_folder(module)


def test_a_node_is_of_the_control_planes_version() -> None:
    control_plane, node = ((TOOLS / folder / "go.mod").read_text() for folder in ("kubernetes", "node"))
    assert tools.required_version(node, "k8s.io/kubernetes") == tools.required_version(
        control_plane, "k8s.io/kubernetes"
    )


def test_binaries_of_kubebuilder_assets_are_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for program in (*tools.KUBERNETES.programs, *tools.ETCD_KWOK.programs):
        (tmp_path / program.name).touch(mode=0o755)
    monkeypatch.setenv("KUBEBUILDER_ASSETS", str(tmp_path))
    monkeypatch.setenv("MODELINFER_CACHE", str(tmp_path / "cache"))
    binaries = tools.ensure_binaries(volcano=False)
    assert binaries.path_by_name["kube-apiserver"] == tmp_path / "kube-apiserver"
    assert binaries.path_by_name["etcd"] == tmp_path / "etcd"
    assert binaries.volcano_crds is None
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("go version go1.26.8 linux/amd64", (1, 26)),
        ("go version go1.27rc1 linux/arm64", (1, 27)),
        ("gccgo (GCC) 14.2.0", None),
        ("", None),
    ],
)
def test_the_version_of_go(text: str, version: tuple[int, int] | None) -> None:
    assert parse_version(text) == version
