"""The plugin as one file, and the manifest that krew installs it by."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

import pytest
from plugin.krew import manifest
from plugin.platforms import PLATFORMS, PYTHONS, own_platform
from plugin.zipapp import COMPILED, LOCK, NOT_OF_THE_PLUGIN, _entries, pack, python_folder

OWN = python_folder(f"{sys.version_info.major}.{sys.version_info.minor}")
SUFFIX = EXTENSION_SUFFIXES[0]
AUDIENCE = "Linux on amd64 with Python 3.11 or 3.12"


def tree(folder: Path, suffix: str = SUFFIX) -> Path:
    """A plugin that prints where it is, and what its compiled part says. suffix: of the names of compiled modules."""
    package = folder / "site" / "modelinfer_controller" / "kubectl" / "cli"
    package.mkdir(parents=True)
    for parent in (package, package.parent, package.parent.parent):
        (parent / "__init__.py").write_text("")
    (package / "main.py").write_text("import compiled\ndef main():\n    print(__file__, compiled.python)\n")
    for each in (OWN, "py399"):
        (folder / each / "msgspec").mkdir(parents=True)
        (folder / each / "compiled.py").write_text(f"python = {each!r}\n")
        (folder / each / "msgspec" / f"_core{suffix}").touch()
    return folder


def run(file: Path, folder: Path) -> subprocess.CompletedProcess[str]:
    environ = {"PATH": os.environ["PATH"], "XDG_CACHE_HOME": str(folder)}
    return subprocess.run([sys.executable, "-I", file], env=environ, capture_output=True, text=True, check=False)


def test_the_file_runs_with_python_alone_and_unpacks_once(tmp_path: Path) -> None:
    file = pack(tree(tmp_path / "tree"), tmp_path / "kubectl-modelinfer", AUDIENCE)
    runs = [run(file, tmp_path / "cache") for _ in range(2)]
    assert runs[0].stdout == runs[1].stdout
    assert runs[0].stdout.startswith(str(tmp_path / "cache" / "kubectl-modelinfer"))
    assert runs[0].stdout.endswith(f" {OWN}\n")
    (unpacked,) = (tmp_path / "cache" / "kubectl-modelinfer").iterdir()
    assert not (unpacked / "py399").exists()
    assert pack(tmp_path / "tree", tmp_path / "again", AUDIENCE).read_bytes() == file.read_bytes()
    assert file.read_bytes().startswith(b"#!/usr/bin/env python3\n")


@pytest.mark.parametrize("others", [".cpython-311-sparc64-linux-gnu.so", ".cpython-399-x86_64-linux-musl.so"])
def test_another_python_processor_or_c_library_is_told_which_ones_do(tmp_path: Path, others: str) -> None:
    done = run(pack(tree(tmp_path / "tree", others), tmp_path / "file", AUDIENCE), tmp_path / "cache")
    assert done.returncode == 1
    assert done.stderr.startswith(f"error: this file is for {AUDIENCE}; this Python is ")
    assert SUFFIX in done.stderr
    assert "pip install" in done.stderr
    assert not (tmp_path / "cache").exists()


def test_the_file_for_linux_holds_the_modules_for_both_c_libraries() -> None:
    for platform in PLATFORMS:
        kinds = [tags[0].partition("_")[0] for tags in platform.wheels]
        assert kinds == (["manylinux", "musllinux"] if platform.os_name == "linux" else ["macosx"])


def test_every_python_that_the_project_supports_is_in_it() -> None:
    assert PYTHONS[0] == "3.11"
    assert f"{sys.version_info.major}.{sys.version_info.minor}" in PYTHONS
    assert own_platform() in PLATFORMS
    names = {name for name, _ in _entries(LOCK.read_text(encoding="utf-8"))}
    assert set(COMPILED) <= names
    assert set(NOT_OF_THE_PLUGIN) <= names | {"tzdata"}


def test_the_manifest_is_what_krew_takes(tmp_path: Path) -> None:
    archives = {platform: tmp_path / platform.archive for platform in PLATFORMS}
    for archive in archives.values():
        archive.write_bytes(archive.name.encode())
    made = manifest(archives, "0.1.0")
    assert (made["apiVersion"], made["kind"]) == ("krew.googlecontainertools.github.com/v1alpha2", "Plugin")
    assert re.fullmatch(r"[a-z][a-z0-9-]*", made["metadata"]["name"])
    spec = made["spec"]
    assert re.fullmatch(r"v\d+\.\d+\.\d+", spec["version"])
    assert spec["homepage"].startswith("https://")
    assert 0 < len(spec["shortDescription"]) <= 50
    assert not spec["shortDescription"].endswith(".")
    assert spec["description"].strip()
    selectors = [platform["selector"]["matchLabels"] for platform in spec["platforms"]]
    assert {(one["os"], one["arch"]) for one in selectors} == {
        (system, arch) for system in ("linux", "darwin") for arch in ("amd64", "arm64")
    }
    for platform, archive in zip(spec["platforms"], archives.values(), strict=True):
        assert platform["sha256"] == hashlib.sha256(archive.name.encode()).hexdigest()
        assert platform["uri"].startswith("https://")
        assert platform["uri"].endswith(f"/v0.1.0/{archive.name}")
        assert platform["bin"] in {each["from"] for each in platform["files"]}
        assert {"LICENSE", "kubectl-modelinfer"} == {each["from"] for each in platform["files"]}
