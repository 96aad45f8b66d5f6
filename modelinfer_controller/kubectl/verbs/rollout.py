"""The verbs of `rollout`."""

import asyncio
import json
import os
import sys
from collections.abc import Callable

from modelinfer_controller.api.names import ObjectName
from modelinfer_controller.controller.resources import MODEL_INFERS
from modelinfer_controller.kube.clock import SystemClock
from modelinfer_controller.kubectl.model.access import (
    ClusterFlags,
    allowed_to,
    connected,
    failure,
    namespace_of,
)
from modelinfer_controller.kubectl.model.rollout_changes import (
    RolloutChange,
    earlier_revision,
    pause,
    restart,
    resume,
    undo,
)
from modelinfer_controller.kubectl.model.rollout_history import (
    RevisionDiff,
    changes_between,
    history_of,
)
from modelinfer_controller.kubectl.model.rollout_status import is_hard, rollout_status
from modelinfer_controller.kubectl.model.snapshot import Snapshot, read_snapshot
from modelinfer_controller.kubectl.render.history import diff_lines, history_lines
from modelinfer_controller.kubectl.render.output import as_yaml, render, say
from modelinfer_controller.kubectl.render.rollout_status import end_text, progress_line
from modelinfer_controller.kubectl.render.terminal import terminal_of

TICK = 2.0  # seconds: how often a rollout is looked at where nothing changes

CHANGES: dict[str, Callable[[Snapshot, int | None], RolloutChange]] = {
    "pause": lambda snapshot, _: pause(snapshot.stored),
    "resume": lambda snapshot, _: resume(snapshot.stored),
    "restart": lambda snapshot, _: restart(snapshot.stored, snapshot.now),
    "undo": lambda snapshot, number: undo(
        snapshot.stored, earlier_revision(snapshot.observed.revisions, snapshot.assessment.update, number)
    ),
}


async def change_rollout(
    verb: str, flags: ClusterFlags, name: str, output: str | None, *, dry_run: bool, number: int | None = None
) -> None:
    """Patches the ModelInfer, or prints the change instead."""
    namespace = namespace_of(flags, os.environ)
    async with connected(flags, os.environ) as client:
        snapshot = await read_snapshot(client, namespace, name, SystemClock().now())
        change = CHANGES[verb](snapshot, number)
        if not dry_run:
            with allowed_to("patch", MODEL_INFERS, namespace):
                body = change.patch(snapshot.stored.metadata.resource_version)
                await client.patch(MODEL_INFERS, namespace, name, body, field_manager="kubectl-modelinfer")
    if output or dry_run:
        manifest = change.manifest(snapshot.stored)
        say(as_yaml(manifest) if output != "json" else json.dumps(manifest, indent=2) + "\n")
    else:
        say(f"{name} {change.told}\n")


async def show_history(flags: ClusterFlags, name: str, output: str | None) -> None:
    history = history_of(await _read(flags, name))
    say(render("History", history, output) if output else "\n".join(history_lines(history, terminal_of())) + "\n")


async def show_diff(flags: ClusterFlags, name: str, number: int | None, output: str | None) -> None:
    """Between an earlier revision and the current one."""
    snapshot = await _read(flags, name)
    after = snapshot.assessment.update
    before = earlier_revision(snapshot.observed.revisions, after, number)
    owner = snapshot.owner
    diff = RevisionDiff(owner.namespace, owner.name, before.name, after.name, changes_between(before, after))
    say(render("Diff", diff, output) if output else "\n".join(diff_lines(diff, terminal_of())) + "\n")


async def _read(flags: ClusterFlags, name: str) -> Snapshot:
    async with connected(flags, os.environ) as client:
        return await read_snapshot(client, namespace_of(flags, os.environ), name, SystemClock().now())


async def show_status(
    flags: ClusterFlags, name: str, output: str | None, *, wait: bool, timeout: float | None, stuck_after: float
) -> None:
    """Until it is done. Raises Exit when it is stuck, paused, or takes longer than `timeout` seconds."""
    if not wait or output:
        status = rollout_status(await _read(flags, name))
        say(render("RolloutStatus", status, output) if output else progress_line(status, terminal_of()) + "\n")
        return
    try:
        async with asyncio.timeout(timeout):
            await _follow(flags, name, stuck_after)
    except TimeoutError as error:
        raise failure(f"the rollout of {name} is not done after {timeout:g}s") from error


async def _follow(flags: ClusterFlags, name: str, stuck_after: float) -> None:
    from modelinfer_controller.kubectl.model.follow import following

    key, clock = ObjectName(namespace_of(flags, os.environ), name), SystemClock()
    now = asyncio.get_running_loop().time
    line = _Line()
    progress: tuple[int, int, str] = (-1, -1, "")
    moved_at = now()
    async with connected(flags, os.environ, follows=True) as client, following(client, key, clock) as follower:
        while True:
            snapshot = follower.snapshot()
            status = rollout_status(snapshot)
            if snapshot.violations:
                raise failure(f"the spec is invalid: {'; '.join(map(str, snapshot.violations))}")
            line.show(progress_line(status, terminal_of()))
            if status.is_done and not status.is_paused:
                return line.end(end_text(status))
            if status.is_paused:
                line.end("")
                raise failure(f"the rollout of {name} is paused; `kubectl modelinfer rollout resume {name}` goes on")
            if (status.updated, status.available, status.revision) != progress or not is_hard(status):
                progress, moved_at = (status.updated, status.available, status.revision), now()
            if is_hard(status) and now() - moved_at >= stuck_after:
                line.end("")
                raise failure(f"the rollout of {name} is stuck: {status.reason}: {status.message}")
            await follower.wait(min(TICK, stuck_after))


class _Line:
    """One line that is drawn over itself on a terminal; elsewhere each new one is a line of its own."""

    def __init__(self) -> None:
        self._before = ""

    def show(self, line: str) -> None:
        if line != self._before:
            say(f"\r{line}\x1b[K" if sys.stdout.isatty() else f"{line}\n")
        self._before = line

    def end(self, text: str) -> None:
        say(("\n" if sys.stdout.isatty() else "") + (f"{text}\n" if text else ""))
