"""The manifest that krew installs the plugin by."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import yaml

NAME = "modelinfer"
HOME = "https://github.com/volcano-sh/modelinfer-controller"


def manifest(archive: Path, version: str, os_name: str, arch: str) -> dict[str, Any]:
    """archive: the tar.gz with the plugin in it, as it is published; one platform."""
    digest = hashlib.sha256(archive.read_bytes()).hexdigest()
    return {
        "apiVersion": "krew.googlecontainertools.github.com/v1alpha2",
        "kind": "Plugin",
        "metadata": {"name": NAME},
        "spec": {
            "version": f"v{version}",
            "homepage": HOME,
            "shortDescription": "Say what is wrong with a ModelInfer, why, and what is next",
            "description": "Shows ModelInfers, says why groups are not available, and plans and follows rollouts.\n",
            "caveats": "Needs the Python that its platform's entry names.\n",
            "platforms": [
                {
                    "selector": {"matchLabels": {"os": os_name, "arch": arch}},
                    "uri": f"{HOME}/releases/download/v{version}/{archive.name}",
                    "sha256": digest,
                    "bin": "kubectl-modelinfer",
                    "files": [{"from": "kubectl-modelinfer", "to": "."}, {"from": "LICENSE", "to": "."}],
                }
            ],
        },
    }


def write(archive: Path, version: str, os_name: str, arch: str, target: Path) -> None:
    target.write_text(yaml.safe_dump(manifest(archive, version, os_name, arch), sort_keys=False), encoding="utf-8")
