"""The platforms that images are built for, and how programs of another one are run while they are built."""

from __future__ import annotations

import platform
import subprocess
from collections.abc import Sequence
from pathlib import Path

_MACHINES = {"amd64": "x86_64", "arm64": "aarch64"}
PLATFORMS = tuple(_MACHINES)

# source: the kernel's Documentation/admin-guide/binfmt-misc.rst; and of the ELF header class, order, e_type, e_machine.
_ELF_MACHINE = {"amd64": r"\x3e\x00", "arm64": r"\xb7\x00"}
_MAGIC = r"\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00"
_MASK = r"\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff"
# F: the interpreter is opened now, and found also where the root is another. C: with the program's credentials.
_REGISTER = """
mount -t binfmt_misc binfmt_misc /proc/sys/fs/binfmt_misc
printf '%s' "$1" > /proc/sys/fs/binfmt_misc/register
"""
_IDS = "0 0 65536\n"


def native_platform() -> str:
    """The platform of this machine, such as amd64. Raises KeyError where images are not built for it."""
    return {machine: name for name, machine in _MACHINES.items()}[platform.machine()]


def run(command: Sequence[str], target: str, environ: dict[str, str]) -> str:
    """Run a command in a mount namespace of its own, where programs of the platform `target` run too; its output.

    Another platform's are run by QEMU, registered in a user namespace of its own: the machine's own list of
    interpreters stays as it is (Linux 6.7 and newer). Raises CalledProcessError, with what was printed.
    """
    if target == native_platform():
        done = subprocess.run(
            ["unshare", "--mount", *command],
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=True,
        )
        return done.stdout
    return _run_emulated(command, target, environ)


def _run_emulated(command: Sequence[str], target: str, environ: dict[str, str]) -> str:
    interpreter = f"/usr/bin/qemu-{_MACHINES[target]}-static"
    entry = f":qemu-{target}:M::{_MAGIC}{_ELF_MACHINE[target]}:{_MASK}:{interpreter}:FC"
    script = f'set -e; echo started; read -r mapped; {_REGISTER} shift; exec "$@"'
    child = ["unshare", "--user", "--mount", "sh", "-c", script, "sh", entry, *command]
    pipe = subprocess.PIPE
    with subprocess.Popen(child, env=environ, stdin=pipe, stdout=pipe, stderr=subprocess.STDOUT, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        started = process.stdout.readline()
        if started == "started\n":
            for kind in ("uid_map", "gid_map"):
                Path(f"/proc/{process.pid}/{kind}").write_text(_IDS)
            process.stdin.write("\n")
        process.stdin.close()
        output = process.stdout.read()
    if process.returncode != 0:
        raise subprocess.CalledProcessError(process.returncode, child, started + output)
    return output
