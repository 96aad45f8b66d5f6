"""The steps in their order, the summary, and how to go on by hand."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from demo import steps
from demo.clusters import Cluster
from demo.controller import Controller, running_controller
from demo.example import EXAMPLES, NAME, example, install_crd
from demo.failure import DemoFailed
from demo.recorder import Recorder, StepRecord
from demo.screen import Screen, screen_of
from demo.steps import Step
from modelinfer_controller.controller.resources import MODEL_INFERS
from modelinfer_controller.kube.client import Client
from modelinfer_controller.kube.clock import SystemClock
from modelinfer_controller.kubectl.model.access import connected
from modelinfer_controller.kubectl.model.follow import Follower, following
from modelinfer_controller.kubectl.model.kubeconfig import ClusterFlags
from modelinfer_controller.kubectl.model.snapshot import Snapshot
from modelinfer_controller.kubectl.model.tree import Tree, tree_of

LATER_STEPS: Sequence[Callable[[Snapshot], Step]] = (steps.scale_up, steps.crash, steps.rolling_update)
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_TICK = 0.25  # seconds: the clock in the caption moves on even where nothing changes
_STEP_TIMEOUT = 120.0
_PAUSE = 2.0  # between steps, for who looks on


@dataclass(frozen=True)
class Options:
    """keep: stay up at the end until a signal. ask: stay up until Enter or a signal. pause: seconds between steps."""

    keep: bool
    ask: bool
    pause: float


def options_of(console: Console, *, keep: bool) -> Options:
    watched = console.is_terminal
    return Options(keep=keep, ask=not keep and watched and sys.stdin.isatty(), pause=_PAUSE if watched else 0.0)


async def run_demo(cluster: AbstractAsyncContextManager[Cluster], console: Console, options: Options) -> None:
    """Raises DemoFailed, and what the clients fail with."""
    async with AsyncExitStack() as stack:
        plane = await stack.enter_async_context(cluster)
        console.print(f"[green]✓[/] {escape(plane.title)}", highlight=False)
        flags = ClusterFlags(kubeconfig=str(plane.kubeconfig))
        client = await stack.enter_async_context(connected(flags, os.environ, follows=True))
        await install_crd(client)
        console.print("[green]✓[/] the CRD is installed", highlight=False)
        controller = await stack.enter_async_context(running_controller(plane))
        console.print(f"[green]✓[/] the controller runs (pid {controller.pid})", highlight=False)
        seen = await _run_steps(client, controller, console, options)
        console.print()
        console.print(_summary(seen))
        if options.keep or options.ask:
            console.print(_by_hand(plane, controller), highlight=False, soft_wrap=True)
            await _until_asked_to_end(console, listen=options.ask)


async def _run_steps(client: Client, controller: Controller, console: Console, options: Options) -> list[StepRecord]:
    started = time.monotonic()
    await client.create(MODEL_INFERS, NAME.namespace, example())
    async with following(client, NAME, SystemClock()) as follower:
        with screen_of(console) as screen:
            runner = _StepRunner(client, controller, follower, screen)
            seen = [await runner.run_step(steps.creation(), None, started)]
            for prepare in LATER_STEPS:
                await runner.rest(options.pause)
                before = follower.snapshot()
                seen.append(await runner.run_step(prepare(before), before, time.monotonic()))
            return seen


class _StepRunner:
    def __init__(self, client: Client, controller: Controller, follower: Follower, screen: Screen) -> None:
        self._client = client
        self._controller = controller
        self._follower = follower
        self._screen = screen

    async def run_step(self, step: Step, before: Snapshot | None, started: float) -> StepRecord:
        """started: of time.monotonic()."""
        recorder = Recorder(before)
        await step.change(self._client)
        while True:
            snapshot = self._follower.snapshot()
            tree = tree_of(snapshot)
            recorder.see(tree)
            seconds = time.monotonic() - started
            if steps.is_settled(snapshot, tree) and step.is_done(snapshot, tree):
                return self._finish(step, recorder.report(step.name, seconds, snapshot, tree), tree)
            self._screen.draw(tree, f"▸ {step.name}  {seconds:.0f} s  {step.summary}")
            self._check(step, seconds)
            await self._follower.wait(_TICK)

    async def rest(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            self._screen.draw(tree_of(self._follower.snapshot()), "")
            await self._follower.wait(min(left, _TICK))

    def _finish(self, step: Step, seen: StepRecord, tree: Tree) -> StepRecord:
        self._screen.draw(tree, "")
        self._screen.tell(f"[green]✓[/] [bold]{step.name}[/]  {seen.seconds:.1f} s  [dim]{escape(step.summary)}[/]")
        self._screen.keep(tree)
        return seen

    def _check(self, step: Step, seconds: float) -> None:
        self._controller.check()
        if seconds > _STEP_TIMEOUT:
            raise DemoFailed(f"{step.name} is not complete after {seconds:.0f} s: {self._controller.log}")


def _summary(seen: Sequence[StepRecord]) -> Table:
    table = Table("what happened", title="In short", title_justify="left", title_style="bold", box=None)
    table.add_column("took", justify="right")
    table.add_column("groups available", justify="right")
    table.add_column("pods made", justify="right")
    table.add_column("pods left alone", justify="right")
    for one in seen:
        at_least = f"at least {one.least_available} of {one.replicas}"
        table.add_row(one.name, f"{one.seconds:.1f} s", at_least, str(one.pods_made), str(one.pods_kept))
    return table


def _by_hand(cluster: Cluster, controller: Controller) -> str:
    binaries = Path(sys.executable).parent
    name = NAME.name
    return f"""
[bold]Go on by hand[/], in another terminal:

  export KUBECONFIG={cluster.kubeconfig}
  export PATH={binaries}:$PATH
  kubectl modelinfer tree {name} --watch
  kubectl get mi,pods -o wide
  kubectl scale mi {name} --replicas=4
  kubectl delete pod {name}-0-prefill-0-0
  kubectl annotate pod {name}-2-decode-0-0 kwok.stage/fail-after=0s
  kubectl modelinfer explain {name}
  kubectl delete mi {name}

  Its log:        {controller.log}
  More examples:  {EXAMPLES}
"""


async def _until_asked_to_end(console: Console, *, listen: bool) -> None:
    """listen: to Enter, too."""
    loop, asked = asyncio.get_running_loop(), asyncio.Event()
    for number in _SIGNALS:
        loop.add_signal_handler(number, asked.set)
    if listen:
        loop.add_reader(sys.stdin, asked.set)
    console.print("[bold]Enter[/] or Ctrl-C ends it all." if listen else "Ctrl-C ends it all.")
    try:
        await asked.wait()
    finally:
        if listen:
            loop.remove_reader(sys.stdin)
        for number in _SIGNALS:
            loop.remove_signal_handler(number)
