"""The controller's image."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from controlplane.cache import locked

from images.archive import Contents, read_archive
from images.base import ROOT, Base, ensure_base
from images.buildah import Buildah, images_folder
from images.packages import ImageError

SIZE_LIMIT = 100_000_000
_CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")
# What of the machine's pip configuration says how packages are reached from here.
_PIP_KEYS = ("index-url", "extra-index-url", "trusted-host", "proxy", "timeout", "default-timeout")


@dataclass(frozen=True)
class Built:
    """An image's archive; `own_size` is what it adds to its base, in bytes, unpacked."""

    archive: Path
    platform: str
    base: Base
    base_layer_count: int
    contents: Contents

    @property
    def own_size(self) -> int:
        return self.contents.size_above(self.base_layer_count)

    @property
    def base_size(self) -> int:
        return sum(self.contents.layer_sizes[: self.base_layer_count])


def image_name() -> str:
    """The name that manifests/manager/deployment.yaml runs: modelinfer-controller and our version."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return f"{project['name']}:{project['version']}"


def build(platform: str, folder: Path | None = None) -> Built:
    """Build the Dockerfile as it stands, and write the archive into `folder` (default: the cache).

    Raises ImageError, also where what lies above the base is larger than SIZE_LIMIT.
    """
    name = image_name()
    folder = folder or images_folder()
    folder.mkdir(parents=True, exist_ok=True)
    archive = folder / f"{name.replace(':', '-')}-{platform}.tar"
    buildah = Buildah(platform)
    with locked(images_folder() / f"build-{platform}.lock"):
        base = ensure_base(platform)
        with tempfile.TemporaryDirectory() as scratch:
            mounts = list(_mounts(Path(scratch)))
            buildah.build(ROOT / "Dockerfile", ROOT, name, arguments={"BASE": base.name}, mounts=mounts)
        buildah.save(name, archive, name)
        built = Built(archive, platform, base, buildah.layer_count(base.name), read_archive(archive))
    if built.own_size >= SIZE_LIMIT:
        size, limit = (f"{number / 1e6:.0f} MB" for number in (built.own_size, SIZE_LIMIT))
        raise ImageError(f"{archive} has {size} above its base, {limit} are allowed")
    return built


def _mounts(scratch: Path) -> Iterator[str]:
    """What lets pip reach packages from where we are, and is no part of the image: settings and certificates."""
    configuration = scratch / "pip.conf"
    configuration.write_text(_pip_configuration())
    yield f"{configuration}:/etc/pip.conf:ro"
    if _CERTIFICATES.exists():
        yield f"{_CERTIFICATES}:{_CERTIFICATES}:ro"


def _pip_configuration() -> str:
    lines = ["[global]"]
    if _CERTIFICATES.exists():
        lines.append(f"cert = {_CERTIFICATES}")
    for line in _pip_settings():
        key, _, value = line.partition("=")
        if key.rpartition(".")[2] in _PIP_KEYS:
            lines.append(f"{key.rpartition('.')[2]} = {value[1:-1]}")
    return "\n".join(lines) + "\n"


def _pip_settings() -> list[str]:
    """Lines such as global.index-url='...', of pip's files and of the environment."""
    python = shutil.which("python3") or sys.executable
    done = subprocess.run(
        [python, "-m", "pip", "config", "list"], capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL
    )
    return done.stdout.splitlines()
