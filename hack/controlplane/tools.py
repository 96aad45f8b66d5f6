"""The binaries of the control plane: found, or built once for each machine.

Each folder under hack/tools is a Go module that pins the versions of a few programs. Their binaries are kept in the
cache in a folder named for a hash of that module, so that another version is another folder and checkouts share them.
Go's own build and module caches stay where Go keeps them (GOCACHE, GOMODCACHE).
"""

from __future__ import annotations

import hashlib
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from controlplane.cache import binaries_folder, locked
from controlplane.golang import GoMissing, find_go

_TOOLS = Path(__file__).resolve().parents[1] / "tools"
_PROGRESS_EVERY = 10.0
_VERSION_VARIABLE = "k8s.io/component-base/version"


class BuildError(Exception):
    """A binary could not be built."""


@dataclass(frozen=True)
class Program:
    """A binary's file name, and the Go package it is built from."""

    name: str
    package: str


@dataclass(frozen=True)
class Module:
    """A folder of hack/tools, or of `parent`.

    `version_of` is the Go module whose version the binaries report, where it must be set at build time; `keep` names a
    folder of `keep_from`'s source that is copied beside the binaries.
    """

    folder: str
    programs: tuple[Program, ...]
    parent: Path = _TOOLS
    version_of: str | None = None
    keep_from: str | None = None
    keep: str | None = None

    @property
    def source(self) -> Path:
        return self.parent / self.folder


KUBERNETES = Module(
    "kubernetes",
    (
        Program("kube-apiserver", "k8s.io/kubernetes/cmd/kube-apiserver"),
        Program("kube-controller-manager", "k8s.io/kubernetes/cmd/kube-controller-manager"),
        Program("kube-scheduler", "k8s.io/kubernetes/cmd/kube-scheduler"),
    ),
    version_of="k8s.io/kubernetes",
)
ETCD_KWOK = Module(
    "etcd-kwok",
    (Program("etcd", "go.etcd.io/etcd/server/v3"), Program("kwok", "sigs.k8s.io/kwok/cmd/kwok")),
)
VOLCANO = Module(
    "volcano",
    (
        Program("vc-scheduler", "volcano.sh/volcano/cmd/scheduler"),
        Program("vc-controllers", "volcano.sh/volcano/cmd/controller-manager"),
    ),
    keep_from="volcano.sh/volcano",
    keep="config/crd/volcano/bases",
)
NODE = Module(
    "node",
    (
        Program("kubelet", "k8s.io/kubernetes/cmd/kubelet"),
        Program("kube-proxy", "k8s.io/kubernetes/cmd/kube-proxy"),
    ),
    version_of="k8s.io/kubernetes",
)
COREDNS = Module("coredns", (Program("coredns", "modelinfer.dev/hack/tools/coredns"),))
PAUSE = Module("pause", (Program("pause", "modelinfer.dev/hack/tools/pause"),))
HELM = Module(
    "helm",
    (
        Program("helm", "helm.sh/helm/v4/cmd/helm"),
        Program("kubeconform", "github.com/yannh/kubeconform/cmd/kubeconform"),
    ),
)
KUBE_STATE_METRICS = Module("kube-state-metrics", (Program("kube-state-metrics", "k8s.io/kube-state-metrics/v2"),))


@dataclass(frozen=True)
class Binaries:
    """Where the binaries are, by name; `volcano_crds` is the folder of Volcano's CRDs where it was asked for."""

    path_by_name: dict[str, Path]
    volcano_crds: Path | None


def ensure_binaries(*, volcano: bool, real_nodes: bool = False) -> Binaries:
    """Find every binary in KUBEBUILDER_ASSETS or in the cache, and build those that are in neither.

    Building takes about ten minutes on two cores, once, and as long again with `real_nodes`; it says so on stderr.
    Several callers at once build once. Raises BuildError.
    """
    path_by_name: dict[str, Path] = {}
    for module in (
        KUBERNETES,
        ETCD_KWOK,
        *([VOLCANO] if volcano else []),
        *([NODE, COREDNS, PAUSE] if real_nodes else []),
    ):
        path_by_name |= ensure_module(module)
    return Binaries(path_by_name, _built_folder(VOLCANO) / "crds" if volcano else None)


def ensure_module(module: Module) -> dict[str, Path]:
    """The binaries of one module, by name, built first where they are missing. Raises BuildError."""
    provided = _provided(module)
    missing = [program for program in module.programs if program.name not in provided]
    folder = _built_folder(module)
    if missing and not folder.exists():
        with locked(binaries_folder() / f"{module.folder}.lock"):
            if not folder.exists():
                _build(module, folder)
    return {program.name: provided.get(program.name, folder / program.name) for program in module.programs}


def build_digest(module_files: Sequence[bytes], system: str, machine: str) -> str:
    """The name of the folder for what is built from these files for this platform."""
    digest = hashlib.sha256(f"{system}/{machine}".encode())
    for content in module_files:
        digest.update(hashlib.sha256(content).digest())
    return digest.hexdigest()[:16]


def required_version(go_mod: str, module: str) -> str:
    """The version of `module` that a go.mod requires, such as v1.37.2. Raises BuildError if it requires none."""
    found = re.search(rf"^(?:require)?\s*{re.escape(module)} (v\S+)", go_mod, re.MULTILINE)
    if found is None:
        raise BuildError(f"go.mod requires no {module}")
    return found[1]


def linker_flags(module: Module, go_mod: str) -> str:
    """No symbols, no debug information; and the version where the programs take theirs from the linker."""
    flags = ["-s", "-w"]
    if module.version_of is not None:
        version = required_version(go_mod, module.version_of)
        major, minor = version.removeprefix("v").split(".")[:2]
        values = {"gitVersion": version, "gitMajor": major, "gitMinor": minor}
        flags += [f"-X {_VERSION_VARIABLE}.{name}={value}" for name, value in values.items()]
    return " ".join(flags)


def _provided(module: Module) -> dict[str, Path]:
    assets = os.environ.get("KUBEBUILDER_ASSETS")
    if not assets:
        return {}
    found = {program.name: Path(assets) / program.name for program in module.programs}
    return {name: path for name, path in found.items() if os.access(path, os.X_OK)}


def _built_folder(module: Module) -> Path:
    files = [path.read_bytes() for path in _source_files(module.source)]
    return binaries_folder() / f"{module.folder}-{build_digest(files, platform.system(), platform.machine())}"


def _source_files(source: Path) -> list[Path]:
    """What decides what is built: the versions, and the programs that are ours.

    A module without requirements has no go.sum.
    """
    return [path for path in (source / "go.mod", source / "go.sum") if path.exists()] + sorted(source.glob("*.go"))


def _build(module: Module, folder: Path) -> None:
    """Build into a folder aside and move it into place whole, so that a killed build leaves nothing half done."""
    try:
        go = find_go()
    except GoMissing as error:
        raise BuildError(str(error)) from error
    # Whoever holds the lock builds alone: such folders are what killed builds left.
    for left_over in binaries_folder().glob(f".{module.folder}-*"):
        shutil.rmtree(left_over)
    source = module.source
    flags = linker_flags(module, (source / "go.mod").read_text())
    with tempfile.TemporaryDirectory(prefix=f".{module.folder}-", dir=binaries_folder()) as aside:
        for number, program in enumerate(module.programs, start=1):
            _say(f"{program.name}: building it, once for this machine ({number} of {len(module.programs)})")
            _build_program(go, source, program, flags, Path(aside) / "out" / program.name)
        if module.keep_from is not None and module.keep is not None:
            kept = _go(go, source, "list", "-m", "-f", "{{.Dir}}", module.keep_from)
            shutil.copytree(Path(kept) / module.keep, Path(aside) / "out" / "crds", copy_function=shutil.copyfile)
        (Path(aside) / "out").rename(folder)


def _build_program(go: Path, source: Path, program: Program, flags: str, output: Path) -> None:
    """Build one binary, and say every few seconds how far it is. Raises BuildError with what the compiler said."""
    total = len(_go(go, source, "list", "-deps", program.package).splitlines())
    command = [str(go), "build", "-v", "-trimpath", "-ldflags", flags, "-o", str(output), program.package]
    start = said = time.monotonic()
    compiled, complaints = 0, []
    with subprocess.Popen(command, cwd=source, env=_environment(), stderr=subprocess.PIPE, text=True) as build:
        assert build.stderr is not None
        for line in build.stderr:
            # -v prints each package as it is compiled; anything else is a download or a complaint.
            is_package = " " not in line.strip()
            compiled += is_package
            complaints += [] if is_package else [line]
            if time.monotonic() - said > _PROGRESS_EVERY:
                said = time.monotonic()
                _say(f"{program.name}: {compiled} of at most {total} packages compiled, {said - start:.0f} s")
    if build.returncode != 0:
        raise BuildError(f"{program.package} in {source} could not be built:\n{''.join(complaints[-20:])}")
    _say(f"{program.name}: built in {time.monotonic() - start:.0f} s ({output.stat().st_size >> 20} MiB)")


def _go(go: Path, source: Path, *arguments: str) -> str:
    """What Go prints on stdout, run in a module's folder. Raises BuildError with what it prints on stderr."""
    done = subprocess.run([go, *arguments], cwd=source, env=_environment(), capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise BuildError(f"go {' '.join(arguments)} in {source}: {done.stderr.strip()}")
    return done.stdout.strip()


def _environment() -> dict[str, str]:
    return os.environ | {"CGO_ENABLED": "0", "GOFLAGS": "-mod=readonly -buildvcs=false", "GOWORK": "off"}


def _say(message: str) -> None:
    print(f"hack/cluster: {message}", file=sys.stderr, flush=True)
