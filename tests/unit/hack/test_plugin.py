"""The plugin as one file, and the manifest that krew installs it by."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
from pathlib import Path

from plugin.krew import manifest
from plugin.zipapp import pack


def test_the_file_runs_with_python_alone_and_unpacks_once(tmp_path: Path) -> None:
    package = tmp_path / "site" / "modelinfer_controller" / "kubectl" / "cli"
    package.mkdir(parents=True)
    for folder in (package, package.parent, package.parent.parent):
        (folder / "__init__.py").write_text("")
    (package / "main.py").write_text("def main():\n    print(__file__)\n")
    file = pack(tmp_path / "site", tmp_path / "kubectl-modelinfer")
    environ = {"PATH": os.environ["PATH"], "XDG_CACHE_HOME": str(tmp_path / "cache")}
    runs = [
        subprocess.run([sys.executable, "-I", file], env=environ, capture_output=True, text=True, check=True)
        for _ in range(2)
    ]
    assert runs[0].stdout == runs[1].stdout
    assert runs[0].stdout.startswith(str(tmp_path / "cache" / "kubectl-modelinfer"))
    assert len(list((tmp_path / "cache" / "kubectl-modelinfer").iterdir())) == 1
    assert pack(tmp_path / "site", tmp_path / "again").read_bytes() == file.read_bytes()


def test_the_manifest_is_what_krew_takes(tmp_path: Path) -> None:
    archive = tmp_path / "kubectl-modelinfer-linux-amd64.tar.gz"
    archive.write_bytes(b"archive")
    made = manifest(archive, "0.1.0", "linux", "amd64")
    assert (made["apiVersion"], made["kind"]) == ("krew.googlecontainertools.github.com/v1alpha2", "Plugin")
    assert re.fullmatch(r"[a-z][a-z0-9-]*", made["metadata"]["name"])
    spec = made["spec"]
    assert re.fullmatch(r"v\d+\.\d+\.\d+", spec["version"])
    assert len(spec["shortDescription"]) <= 60
    (platform,) = spec["platforms"]
    assert platform["selector"] == {"matchLabels": {"os": "linux", "arch": "amd64"}}
    assert platform["sha256"] == hashlib.sha256(b"archive").hexdigest()
    assert platform["uri"].startswith("https://")
    assert platform["uri"].endswith(f"/v0.1.0/{archive.name}")
    assert platform["bin"] in {each["from"] for each in platform["files"]}
