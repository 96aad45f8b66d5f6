"""What the machine must offer for real nodes, and what of it is missing."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from controlplane.cache import cache_folder
from controlplane.real import cgroups

# A node has folders of its own there, which hide what is the machine's.
HIDDEN_IN_NODES = (Path("/run"), Path("/var/lib"), Path("/var/log"))


class MachineUnfit(Exception):
    """This machine cannot run real nodes; the message says what is missing."""


def check_machine() -> None:
    """Raise MachineUnfit, with everything that is missing, where this machine cannot run real nodes."""
    missing = list(_missing())
    if missing:
        raise MachineUnfit("this machine cannot run real nodes: " + "; ".join(missing))


def _missing() -> Iterator[str]:
    if sys.platform != "linux":
        yield f"they need Linux, this is {sys.platform}"
        return
    if os.geteuid() != 0:
        yield "only root can make their namespaces and cgroups, this is another user"
        return
    programs = [name for name in ("apt-get", "dpkg-deb", "unshare", "nsenter", "mount") if shutil.which(name) is None]
    if programs:
        yield f"not on PATH: {', '.join(programs)} (Debian and its descendants have them)"
        return
    yield from _missing_namespaces()
    yield from _missing_cgroups()
    hiding = [folder for folder in HIDDEN_IN_NODES if cache_folder().resolve().is_relative_to(folder)]
    if hiding:
        yield f"nodes cannot see {cache_folder()}, as they have a {hiding[0]} of their own: set MODELINFER_CACHE"


def _missing_namespaces() -> Iterator[str]:
    attempt = ["unshare", "--net", "--mount", "--pid", "--uts", "--ipc", "--fork", "--mount-proc"]
    attempt += ["sh", "-c", "mount -t sysfs sysfs /sys && mount -t tmpfs tmpfs /run"]
    done = subprocess.run(attempt, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        yield f"namespaces and mounts are not allowed here ({done.stderr.strip()})"


def _missing_cgroups() -> Iterator[str]:
    controllers = cgroups.missing_controllers()
    if controllers:
        yield f"no cgroup controllers {', '.join(controllers)} under {cgroups.MOUNT}"
        return
    probe = f"{cgroups.TREE}/probe-{os.getpid()}"
    try:
        cgroups.create(probe)
        cgroups.remove(probe)
    except OSError as error:
        yield f"cgroups cannot be made under {cgroups.MOUNT} ({error.strerror})"
