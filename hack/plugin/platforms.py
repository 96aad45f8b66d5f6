"""Where the plugin's file runs: one file for each platform, each for every Python from 3.11 on."""

from __future__ import annotations

import platform
from dataclasses import dataclass

PYTHONS = ("3.11", "3.12", "3.13", "3.14")


@dataclass(frozen=True)
class Platform:
    """os_name and arch as krew and Go name them; tags: of the wheels that run there, as pip names them."""

    os_name: str
    arch: str
    tags: tuple[str, ...]

    @property
    def archive(self) -> str:
        return f"kubectl-modelinfer-{self.os_name}-{self.arch}.tar.gz"


PLATFORMS = (
    Platform("linux", "amd64", ("manylinux_2_17_x86_64", "manylinux2014_x86_64", "manylinux_2_28_x86_64")),
    Platform("linux", "arm64", ("manylinux_2_17_aarch64", "manylinux2014_aarch64", "manylinux_2_28_aarch64")),
    Platform("darwin", "amd64", ("macosx_10_12_x86_64", "macosx_11_0_x86_64")),
    Platform("darwin", "arm64", ("macosx_11_0_arm64",)),
)
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64", "arm64": "arm64"}


def own_platform() -> Platform:
    """Raises LookupError where the plugin's file is not made for this machine."""
    own = platform.system().lower(), _ARCHITECTURES.get(platform.machine(), platform.machine())
    for one in PLATFORMS:
        if (one.os_name, one.arch) == own:
            return one
    raise LookupError(f"there are no wheels for {'/'.join(own)}: `pip install modelinfer-controller` builds them")
