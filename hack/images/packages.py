"""The Debian packages that do the work; they are installed where they are missing."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

_PACKAGE_BY_PROGRAM = {"buildah": "buildah", "mmdebstrap": "mmdebstrap"}
_PACKAGE_BY_PROGRAM_OF_OTHERS = {"qemu-aarch64-static": "qemu-user-static", "arch-test": "arch-test"}


class ImageError(Exception):
    """An image cannot be built; the message says why, and what to do where there is something to do."""


def ensure_packages(*, emulation: bool) -> None:
    """Install what is missing, with apt-get. Raises ImageError where this machine is none on which that works."""
    if sys.platform != "linux":
        raise ImageError(f"images are built on Linux, and this is {sys.platform}: use `docker build .` here")
    if os.geteuid() != 0:
        raise ImageError("only root can make the mounts that buildah needs: use sudo, or `docker build .`")
    wanted = _PACKAGE_BY_PROGRAM | (_PACKAGE_BY_PROGRAM_OF_OTHERS if emulation else {})
    missing = [package for program, package in wanted.items() if shutil.which(program) is None]
    if not missing:
        return
    if shutil.which("apt-get") is None:
        raise ImageError(f"install {', '.join(missing)}: there is no apt-get to do it with, only Debian is known here")
    say(f"installing {', '.join(missing)} with apt-get")
    _apt_get("update")
    _apt_get("install", "--yes", "--no-install-recommends", *missing)


def say(message: str) -> None:
    print(f"hack/image: {message}", file=sys.stderr, flush=True)


def _apt_get(*arguments: str) -> None:
    command = ["apt-get", "-qq", "-o", "DPkg::Lock::Timeout=300", *arguments]
    environ = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    done = subprocess.run(command, env=environ, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise ImageError(f"{' '.join(command)}: {done.stderr.strip()}")
