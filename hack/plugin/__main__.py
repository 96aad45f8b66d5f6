"""`make plugin`: dist/kubectl-modelinfer, its archive, and the manifest for krew."""

from __future__ import annotations

import platform
import sys
import tarfile
from pathlib import Path

from modelinfer_controller import __version__
from plugin.krew import write
from plugin.zipapp import ROOT, build

ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64", "arm64": "arm64"}


def main() -> None:
    dist = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "dist"
    dist.mkdir(parents=True, exist_ok=True)
    file = build(dist / "kubectl-modelinfer")
    os_name, arch = platform.system().lower(), ARCHITECTURES.get(platform.machine(), platform.machine())
    archive = dist / f"kubectl-modelinfer-{os_name}-{arch}.tar.gz"
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(file, "kubectl-modelinfer")
        tar.add(ROOT / "LICENSE", "LICENSE")
    write(archive, __version__, os_name, arch, dist / "modelinfer.yaml")
    print(f"{file} ({file.stat().st_size / 1e6:.1f} MB), {archive.name}, modelinfer.yaml")


main()
