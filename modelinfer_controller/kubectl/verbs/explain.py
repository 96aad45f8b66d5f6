"""The verb `explain`."""

import os
import sys

from modelinfer_controller.api.names import ObjectName
from modelinfer_controller.kube.clock import SystemClock
from modelinfer_controller.kubectl.model.access import connected, namespace_of
from modelinfer_controller.kubectl.model.diagnostics import read_diagnostics
from modelinfer_controller.kubectl.model.explanation import explain
from modelinfer_controller.kubectl.model.kubeconfig import ClusterFlags
from modelinfer_controller.kubectl.model.snapshot import read_snapshot
from modelinfer_controller.kubectl.render.explain import explanation_lines
from modelinfer_controller.kubectl.render.output import show
from modelinfer_controller.kubectl.render.screen import Screen, silence_lines
from modelinfer_controller.kubectl.render.terminal import terminal_of
from modelinfer_controller.kubectl.verbs.waiting import change_or_key

TICK = 5.0  # seconds: times move on even where nothing changes


async def show_explanation(flags: ClusterFlags, name: str, group: int | None, output: str | None) -> None:
    namespace = namespace_of(flags, os.environ)
    async with connected(flags, os.environ) as client:
        snapshot = await read_snapshot(client, namespace, name, SystemClock().now())
        diagnostics = await read_diagnostics(client, snapshot)
    explanation = explain(snapshot, diagnostics, group)
    show("Explanation", explanation, output, lambda terminal: explanation_lines(explanation, terminal))


async def watch_explanation(flags: ClusterFlags, name: str, group: int | None) -> None:
    """At every change, until it is gone or the user has seen enough."""
    from modelinfer_controller.kubectl.model.follow import following

    key, clock = ObjectName(namespace_of(flags, os.environ), name), SystemClock()
    screen = Screen(terminal_of, is_terminal=sys.stdout.isatty())
    async with connected(flags, os.environ, follows=True) as client, following(client, key, clock) as follower:
        with screen.open():
            while not screen.is_ended:
                snapshot = follower.snapshot()
                explanation = explain(snapshot, await read_diagnostics(client, snapshot), group)
                terminal = terminal_of()
                screen.show([*silence_lines(follower.silence(), terminal), *explanation_lines(explanation, terminal)])
                await change_or_key(follower.wait(TICK), screen.changed)
