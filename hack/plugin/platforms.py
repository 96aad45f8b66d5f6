"""Where the plugin's file runs: one file for each platform, each for every Python from 3.11 on."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from dataclasses import dataclass

PYTHONS = ("3.11", "3.12", "3.13", "3.14")


@dataclass(frozen=True)
class Platform:
    """os_name and arch as krew and Go name them.

    wheels: for each C library of the platform, the tags of the wheels that run there, as pip names them.
    """

    os_name: str
    arch: str
    wheels: tuple[tuple[str, ...], ...]

    @property
    def title(self) -> str:
        """For people: Linux on amd64."""
        return f"{'macOS' if self.os_name == 'darwin' else self.os_name.title()} on {self.arch}"

    @property
    def archive(self) -> str:
        return f"kubectl-modelinfer-{self.os_name}-{self.arch}.tar.gz"


def _linux(machine: str) -> tuple[tuple[str, ...], ...]:
    """glibc and musl. krew knows no difference, so one file is for both: their modules have different names."""
    glibc = (f"manylinux_2_17_{machine}", f"manylinux2014_{machine}", f"manylinux_2_28_{machine}")
    return glibc, (f"musllinux_1_1_{machine}", f"musllinux_1_2_{machine}")


PLATFORMS = (
    Platform("linux", "amd64", _linux("x86_64")),
    Platform("linux", "arm64", _linux("aarch64")),
    Platform("darwin", "amd64", (("macosx_10_12_x86_64", "macosx_11_0_x86_64"),)),
    Platform("darwin", "arm64", (("macosx_11_0_arm64",),)),
)


def listed(pythons: Sequence[str]) -> str:
    """3.11, 3.12 or 3.13"""
    return pythons[0] if len(pythons) == 1 else f"{', '.join(pythons[:-1])} or {pythons[-1]}"


_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64", "arm64": "arm64"}


def own_platform() -> Platform:
    """Raises LookupError where the plugin's file is not made for this machine."""
    own = platform.system().lower(), _ARCHITECTURES.get(platform.machine(), platform.machine())
    for one in PLATFORMS:
        if (one.os_name, one.arch) == own:
            return one
    raise LookupError(f"there are no wheels for {'/'.join(own)}: `pip install modelinfer-controller` builds them")
