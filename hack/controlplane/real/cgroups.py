"""A node's cgroups: one folder of ours in every hierarchy, in which its kubelet makes those of the pods.

The machine's own cgroups stay as they are. On cgroup v2 a controller that pods need is switched on for the children of
the root where it is not: nothing else could use it there.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from pathlib import Path

MOUNT = Path("/sys/fs/cgroup")
TREE = "modelinfer"
_V2_CONTROLLERS = ("cpu", "cpuset", "io", "memory", "pids")
_REMOVE_TIMEOUT = 10.0


def is_unified(mount: Path = MOUNT) -> bool:
    """Is this cgroup v2 alone? Hybrid hierarchies count as v1, as they do for the kubelet."""
    return (mount / "cgroup.controllers").exists()


def hierarchies(mount: Path = MOUNT) -> list[Path]:
    """The root folder of each hierarchy. Several v1 controllers may share one, under several names."""
    if is_unified(mount):
        return [mount]
    folders = mount.iterdir() if mount.is_dir() else iter(())
    return sorted({folder.resolve() for folder in folders if (folder / "cgroup.procs").exists()})


def missing_controllers(mount: Path = MOUNT) -> list[str]:
    """Of the controllers without which no kubelet starts, those that the machine does not offer."""
    needed = {"cpu", "cpuset", "memory", "pids"}
    if is_unified(mount):
        return sorted(needed - set((mount / "cgroup.controllers").read_text().split()))
    offered = {name for folder in hierarchies(mount) for name in folder.name.split(",")}
    return sorted(needed - offered)


def create(path: str, mount: Path = MOUNT) -> None:
    """Make the cgroup `path` (relative, such as modelinfer/NAME/NODE) in every hierarchy."""
    for root in hierarchies(mount):
        folder = root
        for part in Path(path).parts:
            if is_unified(mount):
                _offer_controllers(folder)
            child = folder / part
            child.mkdir(exist_ok=True)
            _copy_cpuset(folder, child)
            folder = child


def remove(path: str, mount: Path = MOUNT) -> None:
    """Remove the cgroup `path` and all below it, leaves first, and the tree's own root where that is empty then.

    A cgroup whose last process has just been killed is busy for a moment. Raises OSError where one stays busy.
    """
    deadline = time.monotonic() + _REMOVE_TIMEOUT
    for root in hierarchies(mount):
        for folder in _leaves_first(root / path):
            _remove_folder(folder, deadline)
        with contextlib.suppress(OSError):
            (root / TREE).rmdir()


def _offer_controllers(folder: Path) -> None:
    available = (folder / "cgroup.controllers").read_text().split()
    offered = (folder / "cgroup.subtree_control").read_text().split()
    for controller in _V2_CONTROLLERS:
        if controller in available and controller not in offered:
            (folder / "cgroup.subtree_control").write_text(f"+{controller}")


def _copy_cpuset(parent: Path, child: Path) -> None:
    """On v1 a new cpuset has no processors and no memory, and nothing can join it."""
    for name in ("cpuset.cpus", "cpuset.mems"):
        if (child / name).exists() and not (child / name).read_text().strip():
            with contextlib.suppress(OSError):
                (child / name).write_text((parent / name).read_text())


def _leaves_first(folder: Path) -> Iterator[Path]:
    for path, _, _ in os.walk(folder, topdown=False):
        yield Path(path)


def _remove_folder(folder: Path, deadline: float) -> None:
    while True:
        try:
            folder.rmdir()
        except FileNotFoundError:
            return
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.02)
        else:
            return
