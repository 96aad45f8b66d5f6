"""A headless Chromium for tests: the one on PATH, else Debian's package unpacked into the cache, with its libraries."""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import sys
from dataclasses import dataclass, field
from pathlib import Path

from controlplane.cache import binaries_folder, locked
from controlplane.real.debian import PackagesMissing, unpack

PACKAGES = ("chromium-headless-shell", "fonts-dejavu-core")
_ON_PATH = ("chromium-headless-shell", "chromium", "google-chrome", "chrome")
_FONTS = """<?xml version="1.0"?>
<!DOCTYPE fontconfig SYSTEM "fonts.dtd">
<fontconfig>{folders}<cachedir>{cache}</cachedir></fontconfig>
"""


class ChromiumUnavailable(Exception):
    """There is no Chromium, and none could be had; the message says why."""


@dataclass(frozen=True)
class Chromium:
    """program: the browser; environment: what it needs to find its libraries and fonts."""

    program: Path
    environment: dict[str, str] = field(default_factory=dict)


def find_chromium() -> Chromium:
    """Downloads about 100 MB at the first call on a machine without it. Raises ChromiumUnavailable."""
    on_path = next((found for name in _ON_PATH if (found := shutil.which(name))), None)
    if on_path is not None:
        return Chromium(Path(on_path))
    root = binaries_folder() / f"chromium-{_digest()}"
    try:
        with locked(binaries_folder() / "chromium.lock"):
            if not root.exists():
                _say(f"fetching {', '.join(PACKAGES)} from Debian's archive, once for this machine")
                unpack(root, PACKAGES)
    except (OSError, PackagesMissing) as error:
        raise ChromiumUnavailable(f"no Chromium on PATH, and none from Debian: {error}") from error
    return _unpacked(root)


def _unpacked(root: Path) -> Chromium:
    program = next((path for path in root.glob("usr/lib/chromium*/*headless*shell") if os.access(path, os.X_OK)), None)
    if program is None:
        raise ChromiumUnavailable(f"{root} holds no headless shell")
    # Some libraries stand in folders of their own, such as pulseaudio's.
    libraries = sorted({str(file.parent) for file in root.glob("**/*-linux-gnu*/**/*.so*")})
    fonts = root / "fonts.conf"
    if not fonts.exists():
        folders = "".join(f"<dir>{path}</dir>" for path in (root / "usr/share/fonts", Path("/usr/share/fonts")))
        fonts.write_text(_FONTS.format(folders=folders, cache=root / "font-cache"))
    return Chromium(program, {"LD_LIBRARY_PATH": os.pathsep.join(libraries), "FONTCONFIG_FILE": str(fonts)})


def _digest() -> str:
    release = Path("/etc/os-release").read_text()
    return hashlib.sha256(f"{release}{platform.machine()}{PACKAGES}".encode()).hexdigest()[:16]


def _say(message: str) -> None:
    print(f"chromium: {message}", file=sys.stderr, flush=True)
