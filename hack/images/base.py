"""The base image: the official one that the Dockerfile names where it can be pulled, else one of Debian's packages."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

from controlplane.cache import locked

from images import platforms
from images.buildah import Buildah, images_folder
from images.packages import ImageError, say

ROOT = Path(__file__).resolve().parents[2]
SUITE = "trixie"
_PACKAGES = ("python3", "python3-venv", "python3-pip", "ca-certificates")
_LEFT_OUT = ("/usr/share/man/*", "/usr/share/doc/*", "/usr/share/locale/*")
# A Dockerfile for the official image calls `python`, which Debian leaves to whoever wants it.
_LINK = 'mkdir -p "$1/usr/local/bin" && ln -s ../../bin/python3 "$1/usr/local/bin/python"'


@dataclass(frozen=True)
class Base:
    """A base image in buildah's store. `is_official`: the one that the Dockerfile names, and not a stand-in for it."""

    name: str
    is_official: bool

    def __str__(self) -> str:
        return self.name if self.is_official else f"Debian {SUITE}, in the place of the official one"


def named_in(dockerfile: Path) -> str:
    """The default of the Dockerfile's argument BASE."""
    found = re.search(r"^ARG BASE=(\S+)$", dockerfile.read_text(), re.MULTILINE)
    if found is None:
        raise ImageError(f"{dockerfile} has no `ARG BASE=`")
    return found[1]


def ensure_base(platform: str) -> Base:
    """The base of this platform, in the store. Raises ImageError where neither way works."""
    official = named_in(ROOT / "Dockerfile")
    buildah = Buildah(platform)
    try:
        buildah.pull(official)
    except ImageError as error:
        say(f"{official} cannot be pulled: {str(error).strip().splitlines()[-1]}")
        return _of_packages(buildah)
    return Base(official, is_official=True)


def save_base(platform: str) -> Path:
    """Write the base to an archive, under the name that the Dockerfile has for it. Raises ImageError."""
    official = named_in(ROOT / "Dockerfile")
    archive = images_folder() / f"{official.replace(':', '-')}-{platform}.tar"
    base = ensure_base(platform)
    with locked(images_folder() / "base.lock"):
        Buildah(platform).save(base.name, archive, official)
    return archive


def _of_packages(buildah: Buildah) -> Base:
    """Made once, and again when what it is made of changes here. Debian's updates come with `hack/image clean`."""
    digest = hashlib.sha256(f"{SUITE}{_PACKAGES}{_LEFT_OUT}{_LINK}".encode()).hexdigest()[:12]
    base = Base(f"modelinfer-base:{SUITE}-{digest}", is_official=False)
    with locked(images_folder() / "base.lock"):
        if not buildah.has(base.name):
            say(f"making the base for {buildah.platform} of Debian's packages, once for this machine (a minute)")
            _make(buildah, base.name)
    return base


def _make(buildah: Buildah, name: str) -> None:
    folder = images_folder() / "base" / buildah.platform
    folder.mkdir(parents=True, exist_ok=True)
    root = folder / "root.tar"
    options = [f"--dpkgopt=path-exclude={pattern}" for pattern in _LEFT_OUT]
    options += ["--variant=minbase", f"--include={','.join(_PACKAGES)}", f"--customize-hook={_LINK}"]
    if buildah.platform != platforms.native_platform():
        options += ["--mode=unshare", f"--arch={buildah.platform}"]
    try:
        platforms.run(["mmdebstrap", *options, SUITE, str(root)], buildah.platform, dict(os.environ))
    except subprocess.CalledProcessError as error:
        raise ImageError(f"mmdebstrap for {buildah.platform} failed:\n{error.output}") from error
    dockerfile = folder / "Dockerfile"
    dockerfile.write_text(f'FROM scratch\nADD {root.name} /\nCMD ["python"]\n')
    buildah.build(dockerfile, folder, name)
    root.unlink()
