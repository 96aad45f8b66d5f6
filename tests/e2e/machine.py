"""What of the machine real nodes must leave as it was."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_CGROUPS = Path("/sys/fs/cgroup")
# Where a kubelet, containerd or CNI would leave something if they ran on the machine itself.
_FOLDERS = (
    *("/etc/cni", "/opt/cni", "/opt/containerd", "/run/containerd", "/run/netns", "/run/flannel"),
    *("/var/lib/cni", "/var/lib/containerd", "/var/lib/kubelet", "/var/log/pods", "/var/log/containers"),
)
# What they set, and the settings beside it.
_SYSCTLS = ("vm/*", "kernel/panic*", "kernel/keys/*", "net/ipv4/*", "net/bridge/*", "net/netfilter/*", "net/core/*")


@dataclass(frozen=True)
class MachineState:
    """Lines, by what they are about."""

    lines_by_subject: dict[str, frozenset[str]]

    @staticmethod
    def read() -> MachineState:
        return MachineState(
            {
                "mount": frozenset(Path("/proc/self/mounts").read_text().splitlines()),
                "link": frozenset(path.name for path in Path("/sys/class/net").iterdir()),
                "route": frozenset(Path("/proc/net/route").read_text().splitlines()),
                "name": frozenset((Path("/etc/hosts").read_text() + Path("/etc/resolv.conf").read_text()).splitlines()),
                "folder": frozenset(folder for folder in _FOLDERS if Path(folder).exists()),
                "sysctl": frozenset(_sysctls()),
            }
        )

    def changes_since(self, before: MachineState) -> list[str]:
        return [
            f"{subject}: {'now' if line in lines else 'was'} {line}"
            for subject, lines in self.lines_by_subject.items()
            for line in sorted(lines ^ before.lines_by_subject[subject])
        ]


def cgroup_folders(path: str) -> list[Path]:
    """The folders of a cgroup (relative) in all hierarchies."""
    return [found for found in (_CGROUPS / path, *(each / path for each in _CGROUPS.iterdir())) if found.exists()]


def processes_in(namespaces: set[str]) -> list[int]:
    """The processes in these pid namespaces, such as pid:[4026532256]."""
    return [
        int(folder.name) for folder in Path("/proc").glob("[0-9]*") if pid_namespace(int(folder.name)) in namespaces
    ]


def pid_namespace(pid: int) -> str | None:
    try:
        return os.readlink(f"/proc/{pid}/ns/pid")
    except OSError:
        return None


def _sysctls() -> Iterator[str]:
    for pattern in _SYSCTLS:
        for path in Path("/proc/sys").glob(pattern):
            if path.is_file() and path.stat().st_mode & 0o400 and not path.name.endswith("_count"):
                yield f"{path.relative_to('/proc/sys')} = {path.read_bytes()!r}"
