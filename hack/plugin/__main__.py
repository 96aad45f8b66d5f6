"""`make plugin`: dist/kubectl-modelinfer, its archive, and the manifest for krew; with --all, of every platform."""

from __future__ import annotations

import argparse
import shutil
import tarfile
import tempfile
from collections.abc import Sequence
from pathlib import Path

from modelinfer_controller import __version__
from plugin.krew import write
from plugin.platforms import PLATFORMS, PYTHONS, Platform, own_platform
from plugin.zipapp import ROOT, build


def main() -> None:
    parser = argparse.ArgumentParser(prog="make plugin", description=__doc__)
    parser.add_argument("dist", nargs="?", type=Path, default=ROOT / "dist", help="the folder to write into")
    parser.add_argument("--all", action="store_true", help="for Linux and macOS, amd64 and arm64")
    parser.add_argument("--python", action="append", choices=PYTHONS, help="for this Python alone; may be repeated")
    arguments = parser.parse_args()
    pythons = arguments.python or PYTHONS
    arguments.dist.mkdir(parents=True, exist_ok=True)
    platforms = PLATFORMS if arguments.all else (own_platform(),)
    archives = {platform: _archive(platform, pythons, arguments.dist) for platform in platforms}
    write(archives, __version__, arguments.dist / "modelinfer.yaml")
    print(", ".join(f"{path} ({path.stat().st_size / 1e6:.1f} MB)" for path in archives.values()))


def _archive(platform: Platform, pythons: Sequence[str], dist: Path) -> Path:
    """The file as it is published. That of this machine is kept by itself too."""
    archive = dist / platform.archive
    with tempfile.TemporaryDirectory() as folder:
        file = build(Path(folder, "kubectl-modelinfer"), platform, pythons)
        with tarfile.open(archive, "w:gz") as tar:
            tar.add(file, "kubectl-modelinfer")
            tar.add(ROOT / "LICENSE", "LICENSE")
        if platform == own_platform():
            shutil.copy(file, dist / "kubectl-modelinfer")
    return archive


main()
