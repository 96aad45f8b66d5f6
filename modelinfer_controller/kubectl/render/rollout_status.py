"""How far a rollout is, in one line."""

from datetime import timedelta

from modelinfer_controller.kubectl.model.humanize import span
from modelinfer_controller.kubectl.model.rollout_status import RolloutStatus
from modelinfer_controller.kubectl.render.terminal import Terminal, Tone

BAR_WIDTH = 24


def progress_line(status: RolloutStatus, terminal: Terminal) -> str:
    """[██████░░░░░░] 3 of 5 groups updated, 4 of 5 available, about 2m left"""
    share = status.updated / status.movable if status.movable else 1.0
    full = round(share * BAR_WIDTH)
    bar = terminal.draw("█" * full + "░" * (BAR_WIDTH - full))
    left = f", about {span(timedelta(seconds=status.seconds))} left" if status.seconds is not None else ""
    counts = f"{status.updated} of {status.movable} groups updated, {status.available} of {status.replicas} available"
    line = f"[{bar}] {counts}{left}"
    room = terminal.width - len(line) - 2 if terminal.width is not None else 10**6
    if status.reason and room > 20:
        line += "  " + terminal.paint(terminal.cut(f"{status.reason}: {status.message}", room), Tone.FAINT)
    return line


def end_text(status: RolloutStatus) -> str:
    held = status.replicas - status.movable
    if held and not status.movable:
        return f"{status.name}: nothing to do: all {held} groups are held by the partition"
    partitioned = f"; {held} held by the partition" if held else ""
    return f"{status.name}: all {status.movable} groups are available at revision {status.revision}{partitioned}"
