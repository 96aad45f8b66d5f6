"""One file that runs with Python alone: the plugin and what it needs, unpacked once into the user's cache.

Compiled modules cannot be imported out of an archive, so the first run unpacks it into
`$XDG_CACHE_HOME/kubectl-modelinfer/<digest>`, and later ones start from there.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
LOCK = ROOT / "requirements-image.lock"
LEFT_OUT = ("__pycache__", "tests", "test", "*.pyi", "*.pyc", "*.dist-info", "*.egg-info", "bin")
EPOCH = (1980, 1, 1, 0, 0, 0)  # the same content makes the same file

BOOTSTRAP = '''\
"""Unpacks the plugin into the user's cache where it is not there yet, and runs it."""
import os, shutil, sys, tempfile, zipfile
DIGEST, VERSION = {digest!r}, {version!r}

def _site():
    cache = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    site = os.path.join(cache, "kubectl-modelinfer", DIGEST)
    if not os.path.isdir(site):
        os.makedirs(os.path.dirname(site), mode=0o700, exist_ok=True)
        fresh = tempfile.mkdtemp(dir=os.path.dirname(site))
        with zipfile.ZipFile(sys.argv[0]) as archive:
            archive.extractall(fresh, [name for name in archive.namelist() if name.startswith("site/")])
        try:
            os.rename(os.path.join(fresh, "site"), site)
        except OSError:
            if not os.path.isdir(site):  # else another process was faster
                raise
        shutil.rmtree(fresh, ignore_errors=True)
    return site

if tuple(sys.version_info[:2]) != VERSION:
    sys.exit("error: this kubectl-modelinfer is for Python %d.%d" % VERSION)
try:
    sys.path.insert(0, _site())
except OSError as error:
    sys.exit("error: cannot unpack into the cache: %s" % error)
from modelinfer_controller.kubectl.cli.main import main
main()
'''


def build(target: Path) -> Path:
    """For the platform and the Python that runs this. Returns the target."""
    with tempfile.TemporaryDirectory() as folder:
        site = Path(folder, "site")
        _install(site)
        return pack(site, target)


def pack(site: Path, target: Path) -> Path:
    """The packages in the folder as one executable file."""
    files = sorted(path for path in site.rglob("*") if path.is_file())
    version = tuple(sys.version_info[:2])
    with target.open("wb") as file:
        file.write(f"#!/usr/bin/env python{version[0]}.{version[1]}\n".encode())
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
            bootstrap = BOOTSTRAP.format(digest=_digest(site, files), version=version)
            _add(archive, "__main__.py", bootstrap.encode())
            for path in files:
                _add(archive, f"site/{path.relative_to(site)}", path.read_bytes())
    target.chmod(0o755)
    return target


def _install(site: Path) -> None:
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--target", str(site)]
    subprocess.run([*pip, "--require-hashes", "--no-compile", "-r", str(LOCK)], check=True)
    shutil.copytree(ROOT / "modelinfer_controller", site / "modelinfer_controller")
    (site / "modelinfer_controller" / "manifests").mkdir(exist_ok=True)
    shutil.copy(ROOT / "manifests" / "crd" / "modelinfers.yaml", site / "modelinfer_controller" / "manifests")
    for path in list(_left_out(site)):
        if path.is_dir():
            shutil.rmtree(path)
        elif path.exists():
            path.unlink()


def _left_out(site: Path) -> Iterator[Path]:
    for pattern in LEFT_OUT:
        yield from site.rglob(pattern)


def _digest(site: Path, files: list[Path]) -> str:
    found = hashlib.sha256()
    for path in files:
        found.update(str(path.relative_to(site)).encode() + b"\0" + path.read_bytes())
    return found.hexdigest()[:16]


def _add(archive: zipfile.ZipFile, name: str, content: bytes) -> None:
    info = zipfile.ZipInfo(name, EPOCH)
    info.compress_type = zipfile.ZIP_DEFLATED
    info.external_attr = 0o644 << 16
    archive.writestr(info, content)
