"""The verb `tree`."""

import os
import sys

from modelinfer_controller.api.names import ObjectName
from modelinfer_controller.kube.clock import SystemClock
from modelinfer_controller.kubectl.access import Place, connected, namespace_of
from modelinfer_controller.kubectl.options import say
from modelinfer_controller.kubectl.output import render
from modelinfer_controller.kubectl.redraw import Screen
from modelinfer_controller.kubectl.snapshot import Snapshot, read_snapshot
from modelinfer_controller.kubectl.terminal import Terminal, terminal_of
from modelinfer_controller.kubectl.tree import tree_of
from modelinfer_controller.kubectl.tree_text import tree_lines

TICK = 5.0  # seconds: ages move on even where nothing changes


async def show_tree(place: Place, name: str, output: str | None) -> None:
    """Once."""
    namespace = namespace_of(place, os.environ)
    async with connected(place, os.environ) as client:
        tree = tree_of(await read_snapshot(client, namespace, name, SystemClock().now()))
    say(render("Tree", tree, output) if output else "\n".join(tree_lines(tree, terminal_of())) + "\n")


async def watch_tree(place: Place, name: str) -> None:
    """Until it is gone, or the user has seen enough."""
    from modelinfer_controller.kubectl.live import following

    key, clock = ObjectName(namespace_of(place, os.environ), name), SystemClock()
    screen = Screen(terminal_of(), is_terminal=sys.stdout.isatty())
    async with connected(place, os.environ, follows=True) as client, following(client, key, clock) as follower:
        while True:
            screen.show(_lines(follower.snapshot(), terminal_of()))
            await follower.wait(TICK)


def _lines(snapshot: Snapshot, terminal: Terminal) -> list[str]:
    return tree_lines(tree_of(snapshot), terminal)
