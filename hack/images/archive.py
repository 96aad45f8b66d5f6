"""What an image's archive holds, and how large it is unpacked."""

from __future__ import annotations

import json
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Contents:
    """An image in an archive.

    `config` is the image's configuration, as OCI has it; `layer_sizes` the bytes of each layer's files, lowest first.
    """

    config: dict[str, Any]
    layer_sizes: tuple[int, ...]

    def size_above(self, layer_count: int) -> int:
        """Bytes of what lies above the lowest `layer_count` layers."""
        return sum(self.layer_sizes[layer_count:])


def read_archive(archive: Path) -> Contents:
    """What an archive as `docker save` writes it holds; of several images the first."""
    with tarfile.open(archive) as tar:
        image = _json(tar, "manifest.json")[0]
        return Contents(_json(tar, image["Config"]), tuple(_unpacked_size(tar, name) for name in image["Layers"]))


def _json(tar: tarfile.TarFile, name: str) -> Any:
    content = tar.extractfile(name)
    assert content is not None
    return json.load(content)


def _unpacked_size(tar: tarfile.TarFile, name: str) -> int:
    content = tar.extractfile(name)
    assert content is not None
    with tarfile.open(fileobj=content) as layer:
        return sum(member.size for member in layer)
