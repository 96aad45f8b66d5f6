"""The options of hack/quickstart."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

from controlplane import ControlPlane
from controlplane.cluster import ControlPlaneError
from controlplane.golang import GoMissing
from controlplane.real.debian import PackagesMissing
from controlplane.real.requirements import MachineUnfit
from controlplane.tools import BuildError
from images.packages import ImageError

from walkthrough.cluster import NAME, environment, start
from walkthrough.compare import essence
from walkthrough.page import Page, Step, parse_page
from walkthrough.shell import CommandFailed, Shell

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "quickstart.md"
LAST_HEADING = "Remove it"
_ERRORS = (BuildError, CommandFailed, ControlPlaneError, GoMissing, ImageError, MachineUnfit, PackagesMissing)


def main() -> int:
    options = _parser().parse_args()
    try:
        return int(options.act())
    except _ERRORS as error:
        print(f"hack/quickstart: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("hack/quickstart", description="Play docs/quickstart.md on real nodes, made here.")
    acts = parser.add_mutually_exclusive_group()
    for name, act, help_ in (
        ("--record", _record, "write what the commands print into the page"),
        ("--check", _check, "compare what the commands print with the page"),
        ("--down", _down, "remove the cluster that the quick start has left"),
    ):
        acts.add_argument(name, dest="act", action="store_const", const=act, default=_play, help=help_)
    return parser


def _play() -> int:
    """Show everything but the end, and leave the cluster to whoever looks."""
    control_plane = start(NAME)
    with Shell(ROOT, environment(control_plane)) as shell:
        heading = ""
        for step in (each for each in read_page().steps if each.heading != LAST_HEADING):
            if step.heading != heading:
                heading = step.heading
                print(f"\n## {heading}\n")
            print(f"$ {step.command}", flush=True)
            print("".join(f"{line}\n" for line in shell.run(step.command)), end="", flush=True)
    print(f"\nIt goes on running:  export KUBECONFIG={control_plane.kubeconfig}")
    print("                     hack/quickstart --down removes it; docs/quickstart.md tells more")
    return 0


def _record() -> int:
    control_plane = start(f"{NAME}-record")
    with control_plane, Shell(ROOT, environment(control_plane)) as shell:
        page = read_page().with_outputs(lambda step: shell.run(step.command))
    PAGE.write_text(str(page))
    return 0


def _check() -> int:
    control_plane = start(f"{NAME}-check")
    with control_plane:
        differences = list(check(control_plane))
    print("\n".join(differences) or f"{PAGE.relative_to(ROOT)} tells what happens")
    return 1 if differences else 0


def _down() -> int:
    ControlPlane.attach(NAME).stop()
    return 0


def read_page() -> Page:
    return parse_page(PAGE.read_text())


def check(control_plane: ControlPlane) -> Iterator[str]:
    """What the page says otherwise than the cluster, command by command. Raises CommandFailed."""
    with Shell(ROOT, environment(control_plane)) as shell:
        for step in read_page().steps:
            yield from _difference(step, shell.run(step.command))


def _difference(step: Step, printed: tuple[str, ...]) -> Iterator[str]:
    if not step.varies and essence(printed) != essence(step.output):
        yield "\n".join([f"$ {step.command}", "the page has:", *step.output, "it printed:", *printed])
