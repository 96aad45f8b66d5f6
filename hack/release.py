"""Everything that a release holds, in one folder: `make release VERSION=0.2.0`. `make dist` makes install.yaml alone.

It is made from the commit that is checked out, in a copy that bears the version: nothing of the checkout changes.
"""

from __future__ import annotations

import argparse
import hashlib
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from controlplane.kubectl import find_kubectl

from charts import helm

ROOT = Path(__file__).resolve().parents[1]
DIST = ROOT / "dist"
_VERSION = re.compile(r"[0-9]+\.[0-9]+\.[0-9]+")
# Where a version is written, as a pattern with the version in its place.
_VERSIONED = {
    "modelinfer_controller/__init__.py": r'__version__ = "(.*)"',
    "pyproject.toml": r'(?m)^version = "(.*)"$',
    "manifests/default/kustomization.yaml": r"newTag: (.*)",
    "charts/modelinfer-controller/Chart.yaml": r"(?m)^(?:version|appVersion): (.*)$",
}


class ReleaseError(Exception):
    """A release cannot be made; the message says why."""


def install_manifest(root: Path) -> str:
    """The CRD first, then what `manifests/default` makes: one file for `kubectl apply --server-side -f`."""
    parts = [_output(find_kubectl(), "kustomize", root / "manifests" / folder) for folder in ("crd", "default")]
    return "---\n".join(parts)


def notes(changelog: str, version: str) -> str:
    """The section of this version, or where it has none what is unreleased. Raises ReleaseError for neither."""
    sections = re.split(r"(?m)^## ", changelog)[1:]
    by_name = {section.split("]")[0].removeprefix("["): section.partition("\n")[2].strip() for section in sections}
    found = by_name.get(version) or by_name.get("Unreleased")
    if not found:
        raise ReleaseError(f"CHANGELOG.md says nothing of {version}")
    return f"# {version}\n\n{found}\n"


def stamp(root: Path, version: str) -> None:
    """Write the version into every file that bears one. Raises ReleaseError where one does not."""
    for name, pattern in _VERSIONED.items():
        file = root / name
        text, count = re.subn(pattern, lambda found: _replaced(found, version), file.read_text())
        if not count:
            raise ReleaseError(f"{name} bears no version")
        file.write_text(text)


def checksums(folder: Path) -> str:
    """As `sha256sum --check` reads them."""
    files = sorted(path for path in folder.iterdir() if path.is_file() and path.name != "SHA256SUMS")
    return "".join(f"{hashlib.sha256(file.read_bytes()).hexdigest()}  {file.name}\n" for file in files)


def release(version: str, folder: Path, *, images: bool) -> list[str]:
    """Fill the folder; what was left out, and why. Raises ReleaseError, ChartError, BuildError."""
    if not _VERSION.fullmatch(version):
        raise ReleaseError(f"{version!r} is not a version such as 0.2.0")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    with tempfile.TemporaryDirectory() as temporary:
        root = _copy_of_commit(Path(temporary) / "source")
        stamp(root, version)
        (folder / "NOTES.md").write_text(notes((root / "CHANGELOG.md").read_text(), version))
        (folder / "install.yaml").write_text(install_manifest(root))
        _packages(root, folder)
        helm("package", str(root / "charts" / "modelinfer-controller"), f"--destination={folder}")
        sbom = _output(sys.executable, root / "hack" / "image", "sbom")
        (folder / f"modelinfer-controller-{version}.cdx.json").write_text(sbom)
        left_out = _plugin(root, folder) + (_images(root, folder) if images else ["images: not asked for"])
    (folder / "SHA256SUMS").write_text(checksums(folder))
    return left_out


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser("hack/release.py", description=__doc__)
    parser.add_argument("version", nargs="?", help="such as 0.2.0; without it, dist/install.yaml alone is made")
    parser.add_argument("--output", type=Path, help="default: dist, or dist/VERSION")
    parser.add_argument("--no-images", action="store_true", help="leave the image archives out, which take minutes")
    options = parser.parse_args(arguments)
    if options.version is None:
        return _dist(options.output or DIST)
    folder = options.output or DIST / options.version
    try:
        left_out = release(options.version, folder, images=not options.no_images)
    except ReleaseError as error:
        print(f"release: {error}", file=sys.stderr)
        return 1
    print(*sorted(path.name for path in folder.iterdir()), sep="\n")
    for reason in left_out:
        print(f"left out: {reason}", file=sys.stderr)
    return 0


def _dist(folder: Path) -> int:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "install.yaml").write_text(install_manifest(ROOT))
    print(folder / "install.yaml")
    return 0


def _copy_of_commit(folder: Path) -> Path:
    archive = folder.with_suffix(".tar")
    _output("git", "-C", ROOT, "archive", f"--output={archive}", "HEAD")
    with tarfile.open(archive) as tar:
        tar.extractall(folder, filter="tar")
    return folder


def _packages(root: Path, folder: Path) -> None:
    """The wheel and the source distribution."""
    _output(Path(sys.executable).with_name("uv"), "build", "--quiet", "--no-build-isolation",
            "--python", sys.executable, "--out-dir", folder, root)  # fmt: skip
    for needless in folder.glob(".gitignore"):
        needless.unlink()


def _plugin(root: Path, folder: Path) -> list[str]:
    """The plugin as one file, its archive and the manifest for krew."""
    if not (root / "hack" / "plugin").exists():
        return ["the plugin's file: hack/plugin is not there yet"]
    path = f"{root / 'hack'}:{root}"
    # -P: not what is in the current folder, which is the checkout and has another version.
    _output("env", f"PYTHONPATH={path}", sys.executable, "-P", "-m", "plugin", folder)
    return []


def _images(root: Path, folder: Path) -> list[str]:
    """Each platform by itself: what cannot be built here does not keep the other from being built."""
    left_out = []
    for platform in ("amd64", "arm64"):
        command = [sys.executable, root / "hack" / "image", "build", f"--platform={platform}", f"--output={folder}"]
        left_out += _tried(f"image for {platform}", lambda command=command: _output(*command))  # type: ignore[misc]
    return left_out


def _tried(what: str, step: Callable[[], str]) -> list[str]:
    try:
        step()
    except ReleaseError as error:
        return [f"{what}: {error}"]
    return []


def _replaced(found: re.Match[str], version: str) -> str:
    return found[0].replace(found[1], version)


def _output(*command: object) -> str:
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise ReleaseError(f"{' '.join(map(str, command))}: {(done.stderr or done.stdout).strip()[-500:]}")
    return done.stdout


if __name__ == "__main__":
    raise SystemExit(main())
