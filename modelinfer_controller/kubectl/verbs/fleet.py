"""The verbs of the fleet: `list`, `status` and `top`."""

import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from modelinfer_controller.kube.clock import SystemClock
from modelinfer_controller.kubectl.model.access import connected, namespace_of
from modelinfer_controller.kubectl.model.fleet import Fleet, fleet_of, read_fleet
from modelinfer_controller.kubectl.model.kubeconfig import ClusterFlags, failure
from modelinfer_controller.kubectl.model.label_selector import matches
from modelinfer_controller.kubectl.render.fleet import fleet_lines, top_lines
from modelinfer_controller.kubectl.render.output import show
from modelinfer_controller.kubectl.render.screen import Screen, silence_lines
from modelinfer_controller.kubectl.render.terminal import Terminal, terminal_of
from modelinfer_controller.kubectl.verbs.waiting import change_or_key

if TYPE_CHECKING:
    from modelinfer_controller.kubectl.model.follow import Follower

TICK = 2.0  # seconds


@dataclass(frozen=True)
class Chosen:
    """Which ModelInfers: of one namespace or of all, by names or by a label selector."""

    names: Sequence[str] = ()
    selector: str = ""
    all_namespaces: bool = False


async def show_fleet(flags: ClusterFlags, chosen: Chosen, output: str | None) -> None:
    """Once."""
    namespace = _namespace(flags, chosen)
    now = SystemClock().now()
    async with connected(flags, os.environ) as client:
        fleet = fleet_of(await read_fleet(client, namespace, chosen.names, chosen.selector, now), now)
    has_namespaces = chosen.all_namespaces
    show("ModelInferStatusList", fleet, output, lambda t: fleet_lines(fleet, t, has_namespaces=has_namespaces))


async def watch_fleet(flags: ClusterFlags, chosen: Chosen, *, with_sums: bool) -> None:
    """Until the user has seen enough."""
    from modelinfer_controller.kubectl.model.follow import following_all

    screen = Screen(terminal_of, is_terminal=sys.stdout.isatty())
    lines: Callable[..., list[str]] = top_lines if with_sums else fleet_lines
    async with (
        connected(flags, os.environ, follows=True) as client,
        following_all(client, _namespace(flags, chosen), SystemClock()) as follower,
    ):
        with screen.open():
            while not screen.is_ended:
                terminal: Terminal = terminal_of()
                fleet = lines(_fleet(follower, chosen), terminal, has_namespaces=chosen.all_namespaces)
                screen.show([*silence_lines(follower.silence(), terminal), *fleet])
                await change_or_key(follower.wait(TICK), screen.changed)


def _fleet(follower: "Follower", chosen: Chosen) -> Fleet:
    found = [
        snapshot
        for snapshot in follower.snapshots()
        if (not chosen.names or snapshot.owner.name in chosen.names)
        and matches(chosen.selector, snapshot.owner.metadata.labels)
    ]
    return fleet_of(found, SystemClock().now())


def _namespace(flags: ClusterFlags, chosen: Chosen) -> str | None:
    if chosen.all_namespaces and chosen.names:
        raise failure("names are of one namespace: they cannot go with --all-namespaces")
    return None if chosen.all_namespaces else namespace_of(flags, os.environ)
