"""Processes in namespaces, and their pids as the machine sees them."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

_PROC = Path("/proc")
_START_TIMEOUT = 10.0

# The network namespace of a site, held by a process that only sleeps.
HOLD_NETWORK = ("unshare", "--net", "sleep", "infinity")
# A node: its first process dies with the process that unshares, and everything in the node with its first process.
NEW_NODE = (
    *("unshare", "--net", "--mount", "--pid", "--uts", "--ipc", "--fork", "--mount-proc"),
    *("--propagation", "private", "--kill-child"),
)


class NamespaceError(Exception):
    """A namespace could not be made or entered."""


def in_network_of(pid: int) -> tuple[str, ...]:
    """The start of a command line that runs the rest in the network namespace of `pid`. It keeps its pid."""
    return ("nsenter", f"--net=/proc/{pid}/ns/net", "--")


def in_node(init: int) -> tuple[str, ...]:
    """The start of a command line that runs the rest in the node with this first process, in the folder /."""
    return ("nsenter", f"--target={init}", "--net", "--mount", "--pid", "--uts", "--ipc", "--")


def run(command: Sequence[str], environment: Mapping[str, str] | None = None) -> str:
    """What the command prints. Raises NamespaceError with what it complains of."""
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    if done.returncode != 0:
        raise NamespaceError(f"{' '.join(command)}: {done.stderr.strip()}")
    return done.stdout


def wait_for_network(pid: int) -> None:
    """Return when `pid` has left this process' network namespace."""
    _wait(lambda: _namespace(pid, "net") not in {None, _namespace(os.getpid(), "net")}, f"the namespace of {pid}")


def first_process(unshare: int) -> int:
    """The machine's pid of the first process of the pid namespace that `unshare` (NEW_NODE) makes; waits for it."""
    _wait(lambda: bool(list(_children(unshare))), f"the first process of {unshare}")
    return next(_children(unshare))


def machine_pid(init: int, inner: int) -> int | None:
    """The machine's pid of the process that has the pid `inner` in the node with this first process."""
    namespace = _namespace(init, "pid")
    for folder in _PROC.glob("[0-9]*"):
        pid = int(folder.name)
        if _innermost(pid) == inner and _namespace(pid, "pid") == namespace:
            return pid
    return None


def _wait(is_there: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + _START_TIMEOUT
    while not is_there():
        if time.monotonic() > deadline:
            raise NamespaceError(f"{what}: not there after {_START_TIMEOUT:.0f} s")
        time.sleep(0.01)


def _children(pid: int) -> Iterator[int]:
    for folder in _PROC.glob("[0-9]*"):
        try:
            after_name = (folder / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(after_name[1]) == pid:
            yield int(folder.name)


def _innermost(pid: int) -> int | None:
    try:
        lines = (_PROC / str(pid) / "status").read_text().splitlines()
    except OSError:
        return None
    return next((int(line.split()[-1]) for line in lines if line.startswith("NSpid:")), None)


def _namespace(pid: int, kind: str) -> str | None:
    try:
        return os.readlink(_PROC / str(pid) / "ns" / kind)
    except OSError:
        return None
