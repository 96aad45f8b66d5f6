"""Child processes that cannot outlive their parent, the lock that a living one holds, and free ports."""

from __future__ import annotations

import ctypes
import fcntl
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

_PR_SET_PDEATHSIG = 1
# Below the range from which Linux takes the ports of outgoing connections, so that none of those takes ours in between.
_FIRST_PORT, _LAST_PORT = 20000, 32000


def spawn(command: Sequence[str], log: Path, pass_descriptors: Sequence[int] = ()) -> subprocess.Popen[bytes]:
    """Start a component with its output appended to `log`, and with these of our descriptors.

    On Linux the kernel kills it when the calling thread ends, so call this from the main thread of a process that
    stays.
    """
    with log.open("ab") as output:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            cwd=log.parent,
            pass_fds=pass_descriptors,
            preexec_fn=_die_with_parent(os.getpid()) if sys.platform == "linux" else None,
        )


def _die_with_parent(parent: int) -> Callable[[], None]:
    prctl = ctypes.CDLL(None, use_errno=True).prctl

    def prepare() -> None:
        # Ctrl-C in a terminal is the supervisor's to handle.
        os.setpgid(0, 0)
        prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)

    return prepare


def kill_all(children: Sequence[subprocess.Popen[bytes]]) -> None:
    """Kill and reap. No component gets to say goodbye: its data is thrown away, and kube-apiserver takes seconds."""
    for child in children:
        child.kill()
    for child in children:
        child.wait()


_reserved: list[int] = []  # descriptors of locks, held for the life of this process


def free_ports(count: int) -> list[int]:
    """`count` different loopback ports on which nobody listens, and which nobody else gets while this process lives.

    Between a look at a port and the listening on it another control plane may start.
    """
    ports: list[int] = []
    for port in random.sample(range(_FIRST_PORT, _LAST_PORT), _LAST_PORT - _FIRST_PORT):
        if len(ports) == count:
            return ports
        if _is_free(port) and _reserve(port):
            ports.append(port)
    raise OSError(f"no {count} free ports between {_FIRST_PORT} and {_LAST_PORT}")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def _reserve(port: int) -> bool:
    folder = Path(tempfile.gettempdir()) / f"modelinfer-controller-ports-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    descriptor = os.open(folder / str(port), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return False
    _reserved.append(descriptor)
    return True


def lock_file(path: Path) -> int:
    """Take the lock on `path`, and return the descriptor that holds it: it can be passed on to a child process."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    return descriptor


def is_locked(path: Path) -> bool:
    """Does a living process hold the lock on `path`?"""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    else:
        return False
    finally:
        os.close(descriptor)
