"""The verb `rollout status`."""

import asyncio
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from modelinfer_controller.api.names import ObjectName
from modelinfer_controller.kube.clock import SystemClock
from modelinfer_controller.kubectl.model.access import connected, namespace_of
from modelinfer_controller.kubectl.model.kubeconfig import ClusterFlags, failure
from modelinfer_controller.kubectl.model.rollout_changes import revision_of_number
from modelinfer_controller.kubectl.model.rollout_status import RolloutState, RolloutStatus, rollout_status
from modelinfer_controller.kubectl.model.snapshot import Snapshot, read_snapshot
from modelinfer_controller.kubectl.render.output import WIDE, render, say
from modelinfer_controller.kubectl.render.rollout_status import end_text, progress_lines
from modelinfer_controller.kubectl.render.screen import silence_lines
from modelinfer_controller.kubectl.render.terminal import terminal_of

TICK = 2.0  # seconds: how often a rollout is looked at where nothing changes


@dataclass(frozen=True)
class Waiting:
    """watch: follow until the end, or look once. timeout, stuck_after: in seconds. revision: the number to wait for."""

    watch: bool = True
    timeout: float | None = None
    stuck_after: float = 30.0
    revision: int | None = None


async def show_status(flags: ClusterFlags, name: str, waiting: Waiting, output: str | None) -> int:
    """The exit code: 0 where it is done, or goes on and nobody waits for it. Raises Exit with the reason for 1."""
    if waiting.watch:
        try:
            async with asyncio.timeout(waiting.timeout):
                status = await _follow(flags, name, waiting, is_quiet=output not in (None, WIDE))
        except TimeoutError as error:
            raise failure(f"the rollout of {name} is not done after {waiting.timeout:g}s") from error
    else:
        snapshot = await _read(flags, name)
        _require_revision(snapshot, waiting)
        status = rollout_status(snapshot, timedelta(seconds=waiting.stuck_after))
    if output not in (None, WIDE):
        say(render("RolloutStatus", status, output or ""))
    elif not waiting.watch:
        say("\n".join(progress_lines(status, terminal_of())) + "\n")
    if status.has_failed:
        raise failure(why_failed(status))
    if output in (None, WIDE) and status.is_done:
        say(end_text(status) + "\n")
    return 0


def why_failed(status: RolloutStatus) -> str:
    """One sentence on a rollout that does not go on by itself."""
    match status.state:
        case RolloutState.PAUSED:
            return f"the rollout of {status.name} is paused; `kubectl modelinfer rollout resume {status.name}` goes on"
        case RolloutState.INVALID:
            return f"the spec of {status.name} is invalid: {status.message}"
        case RolloutState.DELETING:
            return f"{status.name} is being deleted"
        case _:
            text = status.message if status.reason in status.message else f"{status.reason}: {status.message}"
            return f"the rollout of {status.name} is stuck: {text}"


async def _read(flags: ClusterFlags, name: str) -> Snapshot:
    async with connected(flags, os.environ) as client:
        return await read_snapshot(client, namespace_of(flags, os.environ), name, SystemClock().now())


def _require_revision(snapshot: Snapshot, waiting: Waiting) -> None:
    """Raises Exit where another revision is rolled out than the one that is waited for."""
    if waiting.revision is None:
        return
    wanted = revision_of_number(snapshot.observed.revisions, waiting.revision)
    if wanted.name != snapshot.update.name:
        raise failure(f"revision {waiting.revision} ({wanted.name}) is not rolled out: {snapshot.update.name} is")


async def _follow(flags: ClusterFlags, name: str, waiting: Waiting, *, is_quiet: bool) -> RolloutStatus:
    """The status at the end: done, or failed."""
    from modelinfer_controller.kubectl.model.follow import following

    key, clock = ObjectName(namespace_of(flags, os.environ), name), SystemClock()
    progress = _Progress(is_quiet)
    stuck = _Stuck(waiting.stuck_after)
    async with connected(flags, os.environ, follows=True) as client, following(client, key, clock) as follower:
        while True:
            snapshot = follower.snapshot()
            _require_revision(snapshot, waiting)
            status = stuck.judge(rollout_status(snapshot, timedelta.max))
            terminal = terminal_of()
            progress.show([*silence_lines(follower.silence(), terminal), *progress_lines(status, terminal)])
            if status.is_done or status.has_failed:
                return status
            await follower.wait(min(TICK, waiting.stuck_after))


class _Stuck:
    """Calls a rollout stuck whose hard cause has stayed for so long since the last group moved."""

    def __init__(self, after: float) -> None:
        self._after = after
        self._progress: tuple[int, int, str] = (-1, -1, "")
        self._moved_at = 0.0

    def judge(self, status: RolloutStatus) -> RolloutStatus:
        import msgspec

        now = asyncio.get_running_loop().time()
        progress = (status.updated, status.available, status.revision)
        if progress != self._progress or not status.is_hard:
            self._progress, self._moved_at = progress, now
        if status.state is RolloutState.PROGRESSING and status.is_hard and now - self._moved_at >= self._after:
            return msgspec.structs.replace(status, state=RolloutState.STUCK)
        return status


class _Progress:
    """A few lines that are drawn over themselves on a terminal; elsewhere each new state follows the one before."""

    def __init__(self, is_quiet: bool) -> None:
        self._before: Sequence[str] = ()
        self._is_quiet = is_quiet

    def show(self, lines: Sequence[str]) -> None:
        if lines == self._before or self._is_quiet:
            return
        back = f"\x1b[{len(self._before)}A\x1b[J" if self._before and sys.stdout.isatty() else ""
        say(back + "".join(f"{line}\n" for line in lines))
        self._before = lines
