"""The commands of hack/image."""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from images import platforms
from images.base import ROOT, save_base
from images.buildah import images_folder
from images.controller import Built, build, image_name
from images.packages import ImageError, ensure_packages


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    try:
        return int(options.run(options))
    except ImageError as error:
        print(f"hack/image: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("hack/image", description="The controller's image without a container engine.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    build = commands.add_parser("build", help="build the Dockerfile with buildah into an archive")
    build.add_argument(
        "--platform",
        choices=(*platforms.PLATFORMS, "all"),
        default=platforms.native_platform(),
        help="for which (default: this machine's; another one's is built under QEMU)",
    )
    build.add_argument("--output", metavar="FOLDER", type=Path, default=images_folder(), help="default: %(default)s")
    build.set_defaults(run=_build)

    base = commands.add_parser("base", help="write the base image to an archive, for nodes that reach no registry")
    base.set_defaults(run=_base)

    sbom = commands.add_parser("sbom", help="print the bill of materials of the image's lock (CycloneDX)")
    sbom.set_defaults(run=_sbom)

    clean = commands.add_parser("clean", help="remove what is kept: archives, bases, buildah's store")
    clean.set_defaults(run=_clean)
    return parser


def _build(options: argparse.Namespace) -> int:
    native = platforms.native_platform()
    wanted = platforms.PLATFORMS if options.platform == "all" else (options.platform,)
    ensure_packages(emulation=any(platform != native for platform in wanted))
    failures = 0
    for platform in sorted(wanted, key=lambda platform: platform != native):
        try:
            print(_described(build(platform, options.output)))
        except ImageError as error:
            failures += 1
            print(f"hack/image: {image_name()} for {platform} was NOT built: {error}", file=sys.stderr)
    return 1 if failures else 0


def _described(built: Built) -> str:
    return (
        f"{image_name()} for {built.platform}: {built.archive}\n"
        f"  base: {built.base}, {built.base_size / 1e6:.0f} MB unpacked\n"
        f"  ours: {built.own_size / 1e6:.0f} MB unpacked above it\n"
        f"  user: {built.contents.config['config']['User']}"
    )


def _base(options: argparse.Namespace) -> int:
    ensure_packages(emulation=False)
    print(save_base(platforms.native_platform()))
    return 0


def _clean(options: argparse.Namespace) -> int:
    shutil.rmtree(images_folder(), ignore_errors=True)
    return 0


def _sbom(options: argparse.Namespace) -> int:
    # The build needs nothing but Python; this one needs a library of the virtual environment.
    try:
        from images.sbom import sbom_of
    except ImportError as error:
        raise ImageError(f"no {error.name} here: `make venv`, then `.venv/bin/python hack/image sbom`") from error

    print(sbom_of(ROOT / "requirements-image.lock", ROOT / "pyproject.toml"))
    return 0
