"""The manifest that krew installs the plugin by."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from plugin.platforms import PYTHONS, Platform

NAME = "modelinfer"
HOME = "https://github.com/volcano-sh/modelinfer-controller"


def manifest(archives: Mapping[Platform, Path], version: str) -> dict[str, Any]:
    """archives: the tar.gz with the plugin in it, as it is published, of each platform."""
    return {
        "apiVersion": "krew.googlecontainertools.github.com/v1alpha2",
        "kind": "Plugin",
        "metadata": {"name": NAME},
        "spec": {
            "version": f"v{version}",
            "homepage": HOME,
            "shortDescription": "Explain, plan and follow ModelInfers",
            "description": "Shows ModelInfers, says why groups are not available, and plans and follows rollouts.\n",
            "caveats": f"Needs Python {PYTHONS[0]} to {PYTHONS[-1]} as python3 on the PATH, and nothing else.\n",
            "platforms": [_platform(one, archive, version) for one, archive in archives.items()],
        },
    }


def _platform(platform: Platform, archive: Path, version: str) -> dict[str, Any]:
    return {
        "selector": {"matchLabels": {"os": platform.os_name, "arch": platform.arch}},
        "uri": f"{HOME}/releases/download/v{version}/{archive.name}",
        "sha256": hashlib.sha256(archive.read_bytes()).hexdigest(),
        "bin": "kubectl-modelinfer",
        "files": [{"from": "kubectl-modelinfer", "to": "."}, {"from": "LICENSE", "to": "."}],
    }


def write(archives: Mapping[Platform, Path], version: str, target: Path) -> None:
    target.write_text(yaml.safe_dump(manifest(archives, version), sort_keys=False), encoding="utf-8")
