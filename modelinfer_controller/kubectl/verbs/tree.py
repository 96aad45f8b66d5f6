"""The verb `tree`."""

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from modelinfer_controller.api.names import ObjectName
from modelinfer_controller.kube.clock import SystemClock
from modelinfer_controller.kubectl.model.access import connected, namespace_of
from modelinfer_controller.kubectl.model.kubeconfig import ClusterFlags
from modelinfer_controller.kubectl.model.snapshot import Snapshot, read_snapshot
from modelinfer_controller.kubectl.model.tree import Tree, tree_of
from modelinfer_controller.kubectl.model.tree_selection import selected
from modelinfer_controller.kubectl.render.output import show
from modelinfer_controller.kubectl.render.screen import Screen, silence_lines
from modelinfer_controller.kubectl.render.terminal import terminal_of
from modelinfer_controller.kubectl.render.tree import fitted_lines
from modelinfer_controller.kubectl.verbs.waiting import change_or_key

TICK = 5.0  # seconds: ages move on even where nothing changes


@dataclass(frozen=True)
class View:
    """all: nothing is folded. unhealthy: groups at rest are left out. groups: the only ones that are shown."""

    all: bool = False
    unhealthy: bool = False
    groups: Sequence[int] = ()

    def of(self, snapshot: Snapshot) -> Tree:
        return selected(tree_of(snapshot), unhealthy=self.unhealthy, only=self.groups)


async def show_tree(flags: ClusterFlags, name: str, view: View, output: str | None) -> None:
    """Once."""
    namespace = namespace_of(flags, os.environ)
    async with connected(flags, os.environ) as client:
        tree = view.of(await read_snapshot(client, namespace, name, SystemClock().now()))
    show("Tree", tree, output, lambda terminal: fitted_lines(tree, terminal, None if view.all else terminal.room))


async def watch_tree(flags: ClusterFlags, name: str, view: View) -> None:
    """Until it is gone, or the user has seen enough; the last picture stays."""
    from modelinfer_controller.kubectl.model.follow import following

    key, clock = ObjectName(namespace_of(flags, os.environ), name), SystemClock()
    screen = Screen(terminal_of, is_terminal=sys.stdout.isatty())
    async with connected(flags, os.environ, follows=True) as client, following(client, key, clock) as follower:
        with screen.open():
            while not screen.is_ended:
                terminal, room = terminal_of(), None if view.all else screen.room
                tree = fitted_lines(view.of(follower.snapshot()), terminal, room)
                screen.show([*silence_lines(follower.silence(), terminal), *tree])
                await change_or_key(follower.wait(TICK), screen.changed)
