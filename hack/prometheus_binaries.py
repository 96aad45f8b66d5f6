"""Prometheus and promtool for tests: those on PATH, else Debian's package unpacked into the cache, without root."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from controlplane.cache import cache_folder, locked


class PrometheusUnavailable(Exception):
    """There is no Prometheus, and none could be had; the message says why."""


@dataclass(frozen=True)
class Prometheus:
    """Paths of the two programs."""

    server: Path
    promtool: Path


def find_prometheus() -> Prometheus:
    """Downloads 20 MB at the first call on a machine without it. Raises PrometheusUnavailable."""
    on_path = shutil.which("prometheus"), shutil.which("promtool")
    if on_path[0] and on_path[1]:
        return Prometheus(Path(on_path[0]), Path(on_path[1]))
    folder = cache_folder() / "prometheus"
    with locked(cache_folder() / "prometheus.lock"):
        if not (folder / "prometheus").exists():
            _unpack_into(folder)
    return Prometheus(folder / "prometheus", folder / "promtool")


def _unpack_into(folder: Path) -> None:
    if not (shutil.which("apt-get") and shutil.which("dpkg")):
        raise PrometheusUnavailable("prometheus and promtool are not on PATH, and this is no Debian to get them from")
    with TemporaryDirectory() as temporary:
        _run("apt-get", "download", "prometheus", folder=temporary)
        package = next(Path(temporary).glob("prometheus_*.deb"))
        _run("dpkg", "-x", str(package), "unpacked", folder=temporary)
        folder.mkdir(parents=True, exist_ok=True)
        for name in ("promtool", "prometheus"):
            shutil.move(Path(temporary) / "unpacked" / "usr" / "bin" / name, folder / name)


def _run(*command: str, folder: str) -> None:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        last = (done.stderr.strip() or "no message").splitlines()[-1]
        raise PrometheusUnavailable(f"{' '.join(command)}: {last}; `apt-get update` may be needed first")
