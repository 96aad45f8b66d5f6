"""What a result was measured on: hardware, versions, and what else the machine was doing."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import re
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

_CHECKOUT = Path(__file__).resolve().parents[2]
_LIBRARIES = ("aiohttp", "kubernetes", "msgspec", "prometheus-client")


def conditions() -> dict[str, Any]:
    """As JSON. `load` is the load average of the last minute: above the number of cores, others were at work."""
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "hardware": {"processor": _processor(), "cores": os.cpu_count(), "memory_gb": _memory_gb()},
        "versions": {
            "commit": _commit(),
            "python": platform.python_version(),
            "kernel": platform.release(),
            **_of_tools(),
            **{name: importlib.metadata.version(name) for name in _LIBRARIES},
        },
        "load": load(),
    }


def load() -> float:
    return round(os.getloadavg()[0], 2)


def _processor() -> str:
    names = re.findall(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    return names[0] if names else platform.machine()


def _memory_gb() -> float:
    [total] = re.findall(r"MemTotal:\s+(\d+)", Path("/proc/meminfo").read_text())
    return round(int(total) / 1024**2, 1)


def _commit() -> str:
    done = subprocess.run(["git", "-C", _CHECKOUT, "rev-parse", "--short", "HEAD"], capture_output=True, check=False)
    return done.stdout.decode().strip() or "unknown"


def _of_tools() -> dict[str, str]:
    """The versions that hack/tools pins."""
    modules = {
        "kube-apiserver": ("kubernetes", r"k8s\.io/kubernetes (v\S+)"),
        "etcd": ("etcd-kwok", r"go\.etcd\.io/etcd/server/v3 (v\S+)"),
        "kwok": ("etcd-kwok", r"sigs\.k8s\.io/kwok (v\S+)"),
    }
    found = {}
    for name, (folder, pattern) in modules.items():
        file = _CHECKOUT / "hack" / "tools" / folder / "go.mod"
        match = re.search(pattern, file.read_text()) if file.exists() else None
        if match:
            found[name] = match[1]
    return found
