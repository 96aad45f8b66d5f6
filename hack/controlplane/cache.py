"""Where binaries and clusters are kept: a folder of this user, outside of the checkout."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def cache_folder() -> Path:
    """`$MODELINFER_CACHE`, else `modelinfer-controller` in the user's cache folder."""
    chosen = os.environ.get("MODELINFER_CACHE")
    if chosen:
        return Path(chosen).expanduser().absolute()
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(base).expanduser().absolute() / "modelinfer-controller"


def binaries_folder() -> Path:
    return cache_folder() / "bin"


def clusters_folder() -> Path:
    return cache_folder() / "clusters"


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold an exclusive lock on the file `path` (made if missing). The kernel releases it when the holder dies."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
