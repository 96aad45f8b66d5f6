"""One file that runs with Python alone: the plugin and what it needs, unpacked once into the user's cache.

Compiled modules cannot be imported out of an archive, so the first run unpacks it into
`$XDG_CACHE_HOME/kubectl-modelinfer/<digest>`, and later ones start from there. Two libraries have no form in pure
Python, msgspec and pydantic-core: the file holds them once for each Python and C library. Of all others it holds the
pure form.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from plugin.platforms import PYTHONS, Platform, listed

ROOT = Path(__file__).parents[2]
LOCK = ROOT / "requirements-image.lock"
COMPILED = ("msgspec", "pydantic-core")
# Of the controller's process alone: metrics, their certificate and what that one needs.
NOT_OF_THE_PLUGIN = ("cffi", "cryptography", "prometheus-client", "pycparser", "tzdata")
# Compiled accelerators, whose packages do without; and the typed API of Kubernetes, which nothing here imports.
LEFT_OUT = (
    *("__pycache__", "tests", "test", "*_test.py", "*.pyi", "*.pyc", "*.pyx", "*.pxd", "*.c", "*.h", "*.dist-info"),
    *("*.egg-info", "bin", "*.so", "kubernetes/**/models/v*.py", "kubernetes/**/api/*_api.py", "kubernetes/docs"),
)
EPOCH = (1980, 1, 1, 0, 0, 0)  # the same content makes the same file

BOOTSTRAP = '''\
"""Unpacks the plugin into the user's cache where it is not there yet, and runs it."""
import importlib.machinery, os, shutil, sys, tempfile, zipfile
DIGEST, MODULES = {digest!r}, {modules!r}
OWN = "py%d%d" % sys.version_info[:2]

def _site():
    cache = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    site = os.path.join(cache, "kubectl-modelinfer", DIGEST + "-" + OWN)
    if not os.path.isdir(site):
        os.makedirs(os.path.dirname(site), mode=0o700, exist_ok=True)
        fresh = tempfile.mkdtemp(dir=os.path.dirname(site))
        with zipfile.ZipFile(sys.argv[0]) as archive:
            for info in archive.infolist():
                folder, _, name = info.filename.partition("/")
                if folder in ("site", OWN):
                    info.filename = name
                    archive.extract(info, os.path.join(fresh, "site"))
        try:
            os.rename(os.path.join(fresh, "site"), site)
        except OSError:
            if not os.path.isdir(site):  # else another process was faster
                raise
        shutil.rmtree(fresh, ignore_errors=True)
    return site

if importlib.machinery.EXTENSION_SUFFIXES[0] not in MODULES:
    sys.exit("error: this file is for {audience}; this Python is %d.%d and loads modules named *%s. "
             "`pip install modelinfer-controller` installs the plugin for any other Python"
             % (sys.version_info[:2] + (importlib.machinery.EXTENSION_SUFFIXES[0],)))
try:
    sys.path.insert(0, _site())
except OSError as error:
    sys.exit("error: cannot unpack into the cache: %s" % error)
from modelinfer_controller.kubectl.cli.main import main
main()
'''


def build(target: Path, platform: Platform, pythons: Sequence[str] = PYTHONS) -> Path:
    """For these Pythons of that platform, whichever runs this. Returns the target."""
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder)
        _install(tree / "site")
        for python in pythons:
            for tags in platform.wheels:
                _unpack_wheels(tree / python_folder(python), python, tags)
        return pack(tree, target, f"{platform.title} with Python {listed(pythons)}")


def python_folder(python: str) -> str:
    """py311 for "3.11"."""
    return f"py{python.replace('.', '')}"


def pack(tree: Path, target: Path, audience: str) -> Path:
    """The folder's site, and its folder for each Python, as one executable file. audience: who can run it, in words."""
    files = sorted(path for path in tree.rglob("*") if path.is_file())
    modules = sorted({"." + path.name.partition(".")[2] for path in tree.glob("py*/msgspec/_core.*")})
    with target.open("wb") as file:
        file.write(b"#!/usr/bin/env python3\n")
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
            bootstrap = BOOTSTRAP.format(digest=_digest(tree, files), modules=modules, audience=audience)
            _add(archive, "__main__.py", bootstrap.encode())
            for path in files:
                _add(archive, str(path.relative_to(tree)), path.read_bytes())
    target.chmod(0o755)
    return target


def _install(site: Path) -> None:
    """What is the same for every Python and platform."""
    with tempfile.TemporaryDirectory() as folder:
        lock = Path(folder, "requirements.lock")
        lock.write_text("".join(_without(LOCK.read_text(encoding="utf-8"), (*COMPILED, *NOT_OF_THE_PLUGIN))))
        _pip("install", "--target", str(site), "--no-deps", "--no-compile", "--require-hashes", "-r", str(lock))
    shutil.copytree(ROOT / "modelinfer_controller", site / "modelinfer_controller")
    (site / "modelinfer_controller" / "manifests").mkdir(exist_ok=True)
    shutil.copy(ROOT / "manifests" / "crd" / "modelinfers.yaml", site / "modelinfer_controller" / "manifests")
    _strip(site, LEFT_OUT)


def _unpack_wheels(folder: Path, python: str, platforms: Sequence[str]) -> None:
    """The compiled libraries for one Python. platforms: the tags of wheels that will do."""
    with tempfile.TemporaryDirectory() as aside:
        lock = Path(aside, "requirements.lock")
        lock.write_text("".join(_only(LOCK.read_text(encoding="utf-8"), COMPILED)))
        tags = [argument for tag in platforms for argument in ("--platform", tag)]
        chosen = ("--only-binary=:all:", "--implementation", "cp", "--python-version", python, *tags)
        _pip("download", "--dest", aside, "--no-deps", *chosen, "--require-hashes", "-r", str(lock))
        for wheel in sorted(Path(aside).glob("*.whl")):
            with zipfile.ZipFile(wheel) as archive:
                archive.extractall(folder)
    _strip(folder, [pattern for pattern in LEFT_OUT if pattern != "*.so"])


def _pip(*arguments: str) -> None:
    subprocess.run(
        [sys.executable, "-m", "pip", arguments[0], "--quiet", "--disable-pip-version-check", *arguments[1:]],
        check=True,
    )


def _entries(lock: str) -> Iterator[tuple[str, str]]:
    """(name, its lines) of a lock file."""
    for entry in re.split(r"\n(?=[A-Za-z])", lock.strip()):
        yield entry.partition("==")[0].strip(), entry + "\n"


def _only(lock: str, names: Iterable[str]) -> list[str]:
    wanted = set(names)
    return [entry for name, entry in _entries(lock) if name in wanted]


def _without(lock: str, names: Iterable[str]) -> list[str]:
    unwanted = set(names)
    return [entry for name, entry in _entries(lock) if name not in unwanted]


def _strip(folder: Path, patterns: Iterable[str]) -> None:
    for path in [path for pattern in patterns for path in folder.rglob(pattern)]:
        if path.is_dir():
            shutil.rmtree(path)
        elif path.exists():
            path.unlink()


def _digest(tree: Path, files: list[Path]) -> str:
    found = hashlib.sha256()
    for path in files:
        found.update(str(path.relative_to(tree)).encode() + b"\0" + path.read_bytes())
    return found.hexdigest()[:16]


def _add(archive: zipfile.ZipFile, name: str, content: bytes) -> None:
    info = zipfile.ZipInfo(name, EPOCH)
    info.compress_type = zipfile.ZIP_DEFLATED
    info.external_attr = 0o644 << 16
    archive.writestr(info, content)
