"""How far a rollout is, and what keeps it."""

from datetime import timedelta

from modelinfer_controller.kubectl.model.humanize import span
from modelinfer_controller.kubectl.model.rollout_status import RolloutStatus
from modelinfer_controller.kubectl.render.terminal import Terminal, Tone

BAR_WIDTH = 24
SHORTEST_BAR = 6


def progress_lines(status: RolloutStatus, terminal: Terminal) -> list[str]:
    """[██████░░░░░░] 3 of 5 groups updated, 4 of 5 available, about 2m left; and below it, whole, what keeps it."""
    share = status.updated / status.movable if status.movable else 1.0
    left = f", about {span(timedelta(seconds=status.seconds))} left" if status.seconds is not None else ""
    counts = f"{status.updated} of {status.movable} groups updated, {status.available} of {status.replicas} available"
    room = BAR_WIDTH if terminal.width is None else min(BAR_WIDTH, terminal.width - len(counts) - len(left) - 3)
    lines = terminal.wrap(f"{counts}{left}")
    if room >= SHORTEST_BAR:
        full = round(share * room)
        lines = [terminal.draw(f"[{'█' * full}{'░' * (room - full)}] {lines[0]}")]
    if status.reason:
        text = status.message if status.reason in status.message else f"{status.reason}: {status.message}"
        lines += [f"  {terminal.paint(line, Tone.FAINT)}" for line in terminal.wrap(text, indent=2)]
    return lines


def end_text(status: RolloutStatus) -> str:
    held = status.replicas - status.movable
    if held and not status.movable:
        return f"{status.name}: nothing to do: the partition keeps all {held} groups at their revision"
    partitioned = f"; the partition keeps {held}" if held else ""
    return f"{status.name}: all {status.movable} groups are available at revision {status.revision}{partitioned}"
