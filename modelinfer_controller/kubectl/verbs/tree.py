"""The verb `tree`."""

import os
import sys

from modelinfer_controller.api.names import ObjectName
from modelinfer_controller.kube.clock import SystemClock
from modelinfer_controller.kubectl.model.access import connected, namespace_of
from modelinfer_controller.kubectl.model.kubeconfig import ClusterFlags
from modelinfer_controller.kubectl.model.snapshot import Snapshot, read_snapshot
from modelinfer_controller.kubectl.model.tree import tree_of
from modelinfer_controller.kubectl.render.output import show
from modelinfer_controller.kubectl.render.screen import Screen
from modelinfer_controller.kubectl.render.terminal import Terminal, terminal_of
from modelinfer_controller.kubectl.render.tree import tree_lines

TICK = 5.0  # seconds: ages move on even where nothing changes


async def show_tree(flags: ClusterFlags, name: str, output: str | None) -> None:
    """Once."""
    namespace = namespace_of(flags, os.environ)
    async with connected(flags, os.environ) as client:
        tree = tree_of(await read_snapshot(client, namespace, name, SystemClock().now()))
    show("Tree", tree, output, lambda terminal: tree_lines(tree, terminal))


async def watch_tree(flags: ClusterFlags, name: str) -> None:
    """Until it is gone, or the user has seen enough."""
    from modelinfer_controller.kubectl.model.follow import following

    key, clock = ObjectName(namespace_of(flags, os.environ), name), SystemClock()
    screen = Screen(terminal_of(), is_terminal=sys.stdout.isatty())
    async with connected(flags, os.environ, follows=True) as client, following(client, key, clock) as follower:
        while True:
            screen.show(_lines(follower.snapshot(), terminal_of()))
            await follower.wait(TICK)


def _lines(snapshot: Snapshot, terminal: Terminal) -> list[str]:
    return tree_lines(tree_of(snapshot), terminal)
