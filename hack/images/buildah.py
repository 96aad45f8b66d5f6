"""buildah with a store of ours, in a mount namespace of its own: nothing that it mounts is left behind."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from controlplane.cache import cache_folder

from images import platforms
from images.packages import ImageError

_ACCEPT_ANYTHING = {"default": [{"type": "insecureAcceptAnything"}]}


def images_folder() -> Path:
    """Where archives, bases and buildah's store are kept."""
    return cache_folder() / "images"


@dataclass(frozen=True)
class Buildah:
    """buildah for images of one platform, such as arm64. Every method raises ImageError with what buildah printed."""

    platform: str

    def pull(self, name: str) -> None:
        """Pull an image from where the machine's own configuration says that short names are."""
        self._run("pull", self._policy(), f"--arch={self.platform}", name)

    def build(
        self,
        dockerfile: Path,
        context: Path,
        name: str,
        *,
        arguments: Mapping[str, str] | None = None,
        mounts: Sequence[str] = (),
    ) -> None:
        """Build a Dockerfile; `mounts` (HOST:IMAGE:ro) are there while it is built.

        Layers that are known are not built again.
        """
        options = ["--isolation=chroot", "--layers", "--pull-never", f"--arch={self.platform}", f"--tag={name}"]
        options += [f"--build-arg={key}={value}" for key, value in (arguments or {}).items()]
        options += [f"--volume={mount}" for mount in mounts]
        self._run("bud", self._policy(), *options, f"--file={dockerfile}", str(context))

    def save(self, name: str, archive: Path, saved_as: str) -> None:
        """Write an image to an archive under a name, which whoever loads it gives it too."""
        aside = archive.with_suffix(".new")
        aside.unlink(missing_ok=True)
        self._run("push", self._policy(), name, f"docker-archive:{aside}:{saved_as}")
        aside.rename(archive)

    def has(self, name: str) -> bool:
        """Is there an image of this name in the store, and for this platform?"""
        try:
            return bool(self._inspected(name)["OCIv1"]["architecture"] == self.platform)
        except ImageError:
            return False

    def layer_count(self, name: str) -> int:
        """How many layers an image has."""
        return len(self._inspected(name)["OCIv1"]["rootfs"]["diff_ids"])

    def _inspected(self, name: str) -> dict[str, Any]:
        inspected = json.loads(self._run("inspect", "--type=image", name))
        assert isinstance(inspected, dict)
        return inspected

    def _policy(self) -> str:
        """The Dockerfile says what is pulled. A machine without the file of Debian's package pulls it too."""
        policy = images_folder() / "policy.json"
        policy.parent.mkdir(parents=True, exist_ok=True)
        policy.write_text(json.dumps(_ACCEPT_ANYTHING))
        return f"--signature-policy={policy}"

    def _run(self, verb: str, *arguments: str) -> str:
        # Each platform has a store of its own: layers are found by the step that made them, which names no platform.
        store = images_folder() / "store" / self.platform
        command = ["buildah", f"--root={store}/root", f"--runroot={store}/run", verb, *arguments]
        environ = os.environ | {"STORAGE_DRIVER": _storage_driver(store)}
        try:
            return platforms.run(command, self.platform, environ)
        except subprocess.CalledProcessError as error:
            raise ImageError(f"buildah {verb} for {self.platform} failed:\n{error.output}") from error


def _storage_driver(store: Path) -> str:
    """Overlays cannot lie on an overlay, as in a container without a volume; there each layer is a copy."""
    store.mkdir(parents=True, exist_ok=True)
    command = ["stat", "--file-system", "--format=%T", str(store)]
    kind = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    return "vfs" if kind in ("overlayfs", "tmpfs") else "overlay"
