"""A cluster with two real nodes that hold the controller's image and the base, under the names in the manifests."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from controlplane import ControlPlane, Settings
from controlplane.kubectl import find_kubectl
from controlplane.real.requirements import check_machine
from images import platforms
from images.base import save_base
from images.controller import build
from images.packages import ensure_packages

NAME = "quickstart"


def start(name: str) -> ControlPlane:
    """Start it, and load the images. Raises MachineUnfit where this machine cannot, and ImageError."""
    check_machine()
    ensure_packages(emulation=False)
    platform = platforms.native_platform()
    say("building the controller's image")
    archives = [build(platform).archive, save_base(platform)]
    say("starting a control plane and two nodes (the first time builds their programs: a quarter of an hour)")
    control_plane = ControlPlane.start(Settings(nodes=0, real_nodes=2), name=name, owned=False)
    say("loading the images into the nodes")
    for archive in archives:
        control_plane.load(archive)
    return control_plane


def environment(control_plane: ControlPlane) -> dict[str, str]:
    """In which the page's commands find the cluster, kubectl, and our plugin for it."""
    folders = [str(Path(sys.executable).parent), str(find_kubectl().parent)]
    return os.environ | {
        "KUBECONFIG": str(control_plane.kubeconfig),
        "PATH": os.pathsep.join([*folders, os.environ["PATH"]]),
        "COLUMNS": "110",
        "NO_COLOR": "1",
        "no_proxy": "127.0.0.1,localhost",
    }


def say(message: str) -> None:
    print(f"hack/quickstart: {message} ...", file=sys.stderr, flush=True)
