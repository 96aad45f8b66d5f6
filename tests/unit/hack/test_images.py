"""What of building images needs no root and no packages."""

import io
import json
import tarfile
from pathlib import Path

import pytest
import yaml
from images.archive import read_archive
from images.base import named_in
from images.controller import image_name
from images.packages import ImageError

ROOT = Path(__file__).parents[3]


def tar_of(files: dict[str, bytes]) -> bytes:
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as tar:
        for name, data in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))
    return content.getvalue()


def test_the_size_above_the_base_is_that_of_the_files_in_the_upper_layers(tmp_path: Path) -> None:
    archive = tmp_path / "image.tar"
    manifest = [{"Config": "config.json", "Layers": ["base.tar", "app.tar"]}]
    archive.write_bytes(
        tar_of(
            {
                "manifest.json": json.dumps(manifest).encode(),
                "config.json": b'{"config": {"User": "65532:65532"}}',
                "base.tar": tar_of({"usr/bin/python3": bytes(1000)}),
                "app.tar": tar_of({"app/a": bytes(30), "app/b": bytes(4)}),
            }
        )
    )
    contents = read_archive(archive)
    assert contents.layer_sizes == (1000, 34)
    assert contents.size_above(1) == 34
    assert contents.config["config"]["User"] == "65532:65532"


def test_the_image_has_the_name_that_the_deployment_runs() -> None:
    documents = yaml.safe_load_all((ROOT / "manifests/manager/deployment.yaml").read_text())
    (deployment,) = (each for each in documents if each["kind"] == "Deployment")
    assert [each["image"] for each in deployment["spec"]["template"]["spec"]["containers"]] == [image_name()]


def test_the_official_base_is_the_one_that_the_dockerfile_names(tmp_path: Path) -> None:
    assert named_in(ROOT / "Dockerfile").startswith("python:3.")
    without = tmp_path / "Dockerfile"
    without.write_text("FROM scratch\n")
    with pytest.raises(ImageError, match="no `ARG BASE=`"):
        named_in(without)
