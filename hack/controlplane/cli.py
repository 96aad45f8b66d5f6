"""The commands of hack/cluster."""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from controlplane.cluster import ControlPlane, ControlPlaneError, clusters
from controlplane.components import Layout
from controlplane.golang import GoMissing
from controlplane.kubectl import find_kubectl
from controlplane.real import forward, init
from controlplane.real.debian import Packages, PackagesMissing, ensure_packages
from controlplane.real.requirements import MachineUnfit, check_machine
from controlplane.settings import AUDIT_CHOICES, Settings
from controlplane.supervisor import Supervisor
from controlplane.tools import BuildError, ensure_binaries

_NODES_HELP = (
    "simulated nodes, or real:N for real ones, which run containers (Linux, as root; real is real:1); give both, "
    f"in two options, for both (default {Settings.nodes})"
)
_EPILOG = """\
environment:
  KUBEBUILDER_ASSETS   a folder with binaries to use instead of building them
  MODELINFER_CACHE     where binaries and clusters are kept (default: ~/.cache/modelinfer-controller)
  MODELINFER_CLUSTER   the name of the cluster where --name is not given (default: default)

How simulated pods behave, and the annotations that change it: hack/controlplane/stages/pods.py.
What real nodes are: docs/real-nodes.md.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(_guard_kubectl(list(sys.argv[1:] if arguments is None else arguments)))
    try:
        return int(options.run(options))
    except (ControlPlaneError, BuildError, GoMissing, MachineUnfit, PackagesMissing) as error:
        print(f"hack/cluster: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def _guard_kubectl(arguments: list[str]) -> list[str]:
    """Put -- before what is kubectl's own, lest its flags be taken for ours."""
    if arguments[:1] != ["kubectl"] or arguments[1:2] in (["-h"], ["--help"]):
        return arguments
    ours = 1
    if arguments[1:2] == ["--name"]:
        ours = 3
    elif arguments[1:2] and arguments[1].startswith("--name="):
        ours = 2
    return [*arguments[:ours], "--", *arguments[ours:]]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "hack/cluster",
        description="A real Kubernetes control plane with simulated nodes, or real ones, on free loopback ports.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    up = commands.add_parser("up", help="start a control plane (builds the binaries first where they are missing)")
    _add_name(up)
    up.add_argument("--nodes", action="append", type=_nodes, metavar="[real:]N", help=_NODES_HELP)
    up.add_argument("--volcano", action="store_true", help="with Volcano's scheduler, controllers and CRDs")
    up.add_argument("--native-gang", action="store_true", help="with Kubernetes' own gang scheduling switched on")
    up.add_argument("--no-kwok-pods", action="store_true", help="simulate nodes but not pods: they stay Pending")
    up.add_argument("--audit", choices=AUDIT_CHOICES, default=Settings.audit, help="what logs/audit.jsonl holds")
    for resource in ("cpu", "memory", "pods", "gpus"):
        default = getattr(Settings, resource)
        explanation = f"{resource} of each simulated node (default %(default)s)"
        up.add_argument(f"--{resource}", default=default, help=explanation)
    up.add_argument("--foreground", action="store_true", help="stay, and stop the control plane on Ctrl-C")
    up.set_defaults(run=_up)

    down = commands.add_parser("down", help="stop a control plane and remove its folder")
    _add_name(down)
    down.add_argument("--all", action="store_true", help="every one of this user")
    down.add_argument("--keep-logs", metavar="FOLDER", type=Path, help="copy its logs there first")
    down.set_defaults(run=_down)

    kubectl = commands.add_parser("kubectl", help="run kubectl as the cluster's administrator")
    _add_name(kubectl)
    kubectl.add_argument("arguments", nargs=argparse.REMAINDER, metavar="...")
    kubectl.set_defaults(run=_kubectl)

    kubeconfig = commands.add_parser("kubeconfig", help="print the path of the administrator's kubeconfig")
    _add_name(kubeconfig)
    kubeconfig.set_defaults(run=_kubeconfig)

    build = commands.add_parser("build", help="build the binaries and start nothing")
    build.add_argument("--volcano", action="store_true", help="Volcano's too")
    build.add_argument("--real-nodes", action="store_true", help="those of real nodes too")
    build.set_defaults(run=_build)

    load = commands.add_parser("load", help="import a container image into the real nodes")
    _add_name(load)
    load.add_argument("archive", type=Path, help="an OCI or Docker archive")
    load.set_defaults(run=_load)

    node = commands.add_parser(
        "node", help="cut a real node's power or give it back, freeze its kubelet or let it go on"
    )
    _add_name(node)
    node.add_argument("act", choices=("off", "on", "freeze", "thaw"))
    node.add_argument("node", help="such as real-0")
    node.set_defaults(run=_node)

    listing = commands.add_parser("list", help="list the clusters of this user")
    listing.set_defaults(run=_list)

    supervise = commands.add_parser("supervise")
    supervise.add_argument("--owned", action="store_true")
    supervise.add_argument("--volcano-crds", type=Path)
    supervise.add_argument("--packages", type=Path)
    supervise.add_argument("folder", type=Path)
    supervise.add_argument("binaries", nargs="+")
    supervise.set_defaults(run=_supervise)

    node_init = commands.add_parser("node-init")
    node_init.add_argument("plan", type=Path)
    node_init.set_defaults(run=lambda options: init.main(options.plan))

    forward_ = commands.add_parser("forward")
    forward_.add_argument("listener", type=int)
    forward_.add_argument("port", type=int)
    forward_.set_defaults(run=lambda options: forward.main(options.listener, options.port))
    return parser


def _add_name(parser: argparse.ArgumentParser) -> None:
    default = os.environ.get("MODELINFER_CLUSTER", "default")
    parser.add_argument("--name", type=_name, default=default, help="which cluster (default %(default)s)")


def _name(text: str) -> str:
    if not text or not all(c.isalnum() or c in "-_" for c in text):
        raise argparse.ArgumentTypeError("a name is made of letters, digits, - and _")
    return text


def _nodes(text: str) -> tuple[bool, int]:
    """(are they real, how many), of N, real or real:N."""
    kind, _, count = text.partition(":")
    is_real = kind == "real"
    number = (count or "1") if is_real else text
    if not number.isdigit():
        raise argparse.ArgumentTypeError(f"{text!r}: a number of simulated nodes, or real, or real:N")
    return is_real, int(number)


def _up(options: argparse.Namespace) -> int:
    settings = _settings(options)
    if settings.real_nodes:
        check_machine()
        ensure_packages()
    ensure_binaries(volcano=settings.volcano, real_nodes=settings.real_nodes > 0)
    start = time.monotonic()
    control_plane = ControlPlane.start(settings, name=options.name, owned=options.foreground)
    print(f"cluster {options.name} is up after {time.monotonic() - start:.1f} s: {control_plane.server}")
    print(f"  export KUBECONFIG={control_plane.kubeconfig}")
    print(f"  logs: {control_plane.logs}")
    if options.foreground:
        _wait_for_interrupt(control_plane)
    return 0


def _settings(options: argparse.Namespace) -> Settings:
    nodes = options.nodes or [(False, Settings.nodes)]
    try:
        return Settings(
            nodes=sum(count for is_real, count in nodes if not is_real),
            real_nodes=sum(count for is_real, count in nodes if is_real),
            volcano=options.volcano,
            native_gang=options.native_gang,
            kwok_pods=not options.no_kwok_pods,
            audit=options.audit,
            cpu=options.cpu,
            memory=options.memory,
            pods=options.pods,
            gpus=options.gpus,
        )
    except ValueError as error:
        raise ControlPlaneError(str(error)) from error


def _wait_for_interrupt(control_plane: ControlPlane) -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    with control_plane:
        try:
            signal.pause()
        except KeyboardInterrupt:
            print("stopping", file=sys.stderr)


def _down(options: argparse.Namespace) -> int:
    names = [each.name for each in clusters()]
    chosen = names if options.all else [options.name]
    for name in chosen:
        if name not in names:
            print(f"hack/cluster: there is no cluster {name!r}", file=sys.stderr)
            continue
        if options.keep_logs is not None:
            shutil.copytree(ControlPlane(name).logs, options.keep_logs / name, dirs_exist_ok=True)
        ControlPlane(name).stop()
        print(f"cluster {name} is down")
    return 0


def _kubectl(options: argparse.Namespace) -> int:
    control_plane = ControlPlane.attach(options.name)
    kubectl = find_kubectl()
    arguments = options.arguments[1:] if options.arguments[:1] == ["--"] else options.arguments
    os.execve(kubectl, ["kubectl", *arguments], os.environ | {"KUBECONFIG": str(control_plane.kubeconfig)})


def _kubeconfig(options: argparse.Namespace) -> int:
    print(ControlPlane.attach(options.name).kubeconfig)
    return 0


def _build(options: argparse.Namespace) -> int:
    if options.real_nodes:
        print(ensure_packages().root)
    for path in ensure_binaries(volcano=options.volcano, real_nodes=options.real_nodes).path_by_name.values():
        print(path)
    return 0


def _load(options: argparse.Namespace) -> int:
    try:
        ControlPlane.attach(options.name).load(options.archive)
    except OSError as error:
        raise ControlPlaneError(str(error)) from error
    return 0


def _node(options: argparse.Namespace) -> int:
    control_plane = ControlPlane.attach(options.name)
    match options.act:
        case "off":
            control_plane.power_off(options.node)
        case "on":
            control_plane.power_on(options.node)
        case "freeze":
            control_plane.pause(f"{options.node}/kubelet")
        case "thaw":
            control_plane.resume(f"{options.node}/kubelet")
    return 0


def _list(options: argparse.Namespace) -> int:
    for each in clusters():
        phase = each.state.phase if each.state is not None else "starting"
        server = each.state.server if each.state is not None else ""
        print(f"{each.name}\t{phase if each.alive or phase == 'failed' else 'dead'}\t{server}")
    return 0


def _supervise(options: argparse.Namespace) -> int:
    layout = Layout(options.folder)
    settings = Settings.from_json(layout.settings.read_text())
    path_by_name = {name: Path(path) for name, _, path in (each.partition("=") for each in options.binaries)}
    packages = None if options.packages is None else Packages(options.packages)
    return Supervisor(layout, settings, path_by_name, options.volcano_crds, packages, owned=options.owned).run()
