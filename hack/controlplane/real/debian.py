"""Programs of a node that come from Debian packages: containerd, runc, the CNI plugins, nft and ip.

The packages are those of the machine's own release. They are unpacked into the cache and not installed: an installed
containerd would start a service. What the machine has already installed is taken from there.
"""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from controlplane.cache import binaries_folder, locked

PACKAGES = ("containerd", "runc", "containernetworking-plugins", "nftables", "iproute2")
_PROGRAMS = ("containerd", "containerd-shim-runc-v2", "ctr", "runc", "nft", "ip")
_SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_CNI_PLUGINS = ("bridge", "host-local", "loopback")


class PackagesMissing(Exception):
    """The packages could not be fetched, or do not hold what is needed."""


@dataclass(frozen=True)
class Packages:
    """The unpacked packages: a folder that looks like the root of a file system."""

    root: Path

    @property
    def cni_plugins(self) -> Path:
        """The folder of the CNI plugins."""
        inside = self.root / "usr/lib/cni"
        return inside if inside.is_dir() else Path("/usr/lib/cni")

    def environment(self) -> dict[str, str]:
        """The environment in which the programs are found, and find their libraries."""
        folders = [str(self.root / name) for name in ("usr/sbin", "usr/bin", "sbin", "bin")]
        libraries = [str(path) for parent in ("usr/lib", "lib") for path in self.root.glob(f"{parent}/*-linux-gnu*")]
        path = os.pathsep.join([*folders, _SYSTEM_PATH])
        return {"PATH": path, **({"LD_LIBRARY_PATH": os.pathsep.join(libraries)} if libraries else {})}

    def missing(self) -> list[str]:
        """What is neither unpacked nor installed."""
        path = self.environment()["PATH"]
        programs = [name for name in _PROGRAMS if shutil.which(name, path=path) is None]
        return programs + [f"CNI {name}" for name in _CNI_PLUGINS if not (self.cni_plugins / name).exists()]


def ensure_packages() -> Packages:
    """The packages, fetched and unpacked first where the cache has none. Raises PackagesMissing."""
    packages = Packages(binaries_folder() / f"debian-{_digest()}")
    with locked(binaries_folder() / "debian.lock"):
        if not packages.root.exists() or packages.missing():
            _say(f"fetching {', '.join(PACKAGES)} from Debian's archive, once for this machine")
            shutil.rmtree(packages.root, ignore_errors=True)
            unpack(packages.root, PACKAGES)
    missing = packages.missing()
    if missing:
        raise PackagesMissing(f"the packages {', '.join(PACKAGES)} of this release lack {', '.join(missing)}")
    return packages


def _digest() -> str:
    release = Path("/etc/os-release").read_text()
    return hashlib.sha256(f"{release}{platform.machine()}{PACKAGES}".encode()).hexdigest()[:16]


def unpack(root: Path, packages: Sequence[str]) -> None:
    """Fetch what an installation would fetch, with package lists of our own, and move it into place whole.

    Raises PackagesMissing.
    """
    with tempfile.TemporaryDirectory(prefix=".debian-", dir=binaries_folder()) as aside:
        options = []
        for variable, name in (("State::lists", "lists"), ("Cache", "cache"), ("Cache::archives", "archives")):
            (Path(aside) / name / "partial").mkdir(parents=True)
            options += ["-o", f"Dir::{variable}={aside}/{name}"]
        options += ["-o", "Debug::NoLocking=true", "-o", "APT::Sandbox::User=root", "-qq"]
        _run(["apt-get", *options, "update"])
        _run(["apt-get", *options, "install", "--yes", "--download-only", "--no-install-recommends", *packages])
        out = Path(aside) / "out"
        out.mkdir()
        for package in sorted((Path(aside) / "archives").glob("*.deb")):
            _run(["dpkg-deb", "--extract", str(package), str(out)])
        out.chmod(0o755)
        out.rename(root)


def _run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    if done.returncode != 0:
        raise PackagesMissing(f"{' '.join(command)}: {done.stderr.strip()}")


def _say(message: str) -> None:
    print(f"hack/cluster: {message}", file=sys.stderr, flush=True)
