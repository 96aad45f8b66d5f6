"""The forecast as lines of text."""

import json
from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import Any

from modelinfer_controller.kubectl.model.forecast import Forecast, ForecastStep
from modelinfer_controller.kubectl.model.humanize import counted, groups, ordinals, span
from modelinfer_controller.kubectl.model.spec_diff import Change
from modelinfer_controller.kubectl.render.columns import Cell, Column, table
from modelinfer_controller.kubectl.render.terminal import Terminal, Tone

MAX_STEPS = 40
NARROW = 60
STEP_COLUMNS = (
    Column("STEP", right=True, shortest=4),
    Column("AFTER", shortest=5),
    Column("AVAILABLE", rank=1),
    Column("GROUPS", shortest=6, wraps=True),
    Column("WHAT", shortest=12, wraps=True),
)


def forecast_lines(told: Forecast, terminal: Terminal) -> list[str]:
    return [*_summary(told, terminal), *change_lines(told.changes, terminal), *_steps(told, terminal)]


def _summary(told: Forecast, terminal: Terminal) -> Iterator[str]:
    text, tone = _verdict(told)
    yield from terminal.headline(f"{told.namespace}/{told.name}", text, tone)
    for label, value in _facts(told):
        yield from _labelled(label, value, terminal)
    if told.obstacle:
        for line in terminal.wrap(f"it would not end: {told.obstacle}", indent=2):
            yield terminal.paint(f"  {line}", Tone.BAD)


def _verdict(told: Forecast) -> tuple[str, Tone]:
    if told.restarts:
        return f"restarts {groups(told.restarted)}", Tone.BUSY
    if told.steps:
        return "restarts nothing", Tone.GOOD
    if told.obstacle:
        return "nothing to do now, and it is not as specified", Tone.BAD
    if told.available_now < told.replicas:
        return f"nothing to do but wait: {told.available_now} of {told.replicas} groups available", Tone.BUSY
    return "nothing to do", Tone.GOOD


def _facts(told: Forecast) -> Iterator[tuple[str, str]]:
    if not told.steps:
        return
    for label, found in (
        ("handed over", told.moved),
        ("stay as they are", told.unchanged),
        ("kept by the partition", told.held),
        ("created", told.created),
        ("surge, on the way", told.surge),
        ("removed", told.removed),
    ):
        if found:
            yield label, groups(found)
    yield "pods", f"{told.pods_deleted} deleted, {told.pods_created} created"
    yield "available", f"{told.lowest_available} of {told.replicas} groups at the lowest (now {told.available_now})"
    if told.seconds is None:
        yield "duration", "unknown: no group has become available yet, from which to tell"
    else:
        start = span(timedelta(seconds=told.start_seconds or 0))
        yield "duration", f"about {span(timedelta(seconds=told.seconds))} (a group takes {start} to start)"
    yield "new revision" if told.is_new_revision else "revision", told.revision


def _labelled(label: str, value: str, terminal: Terminal) -> Iterator[str]:
    """The value beside its label, or below it where the terminal is narrow."""
    if terminal.width is not None and terminal.width < NARROW:
        yield f"  {label}"
        yield from (f"    {line}" for line in terminal.wrap(value, indent=4))
        return
    for at, line in enumerate(terminal.wrap(value, indent=24)):
        yield f"  {label if at == 0 else '':<22}{line}"


def change_lines(changes: tuple[Change, ...], terminal: Terminal) -> Iterator[str]:
    """A block for each role: what was, and what is to be."""
    for role in dict.fromkeys(change.role for change in changes):
        yield ""
        yield terminal.paint(f"role {role}" if role else "spec", Tone.STRONG)
        for change in changes:
            if change.role == role:
                yield from _change(change, terminal)


def _change(change: Change, terminal: Terminal) -> Iterator[str]:
    if not change.path:
        word = "added" if change.before is None else "removed"
        yield f"  {word}"
        return
    yield from _path_lines(change, terminal)
    for sign, value, tone in (("-", change.before, Tone.BAD), ("+", change.after, Tone.GOOD)):
        if value is not None:
            for at, line in enumerate(terminal.wrap(_value(value), indent=6)):
                yield terminal.paint(f"    {sign if at == 0 else ' '} {line}", tone)


def _path_lines(change: Change, terminal: Terminal) -> Iterator[str]:
    effect = "" if change.restarts else "   (restarts nothing)"
    if terminal.width is None or len(change.path) + len(effect) + 2 <= terminal.width:
        yield f"  {change.path}{terminal.paint(effect, Tone.FAINT)}"
        return
    yield from (f"  {line}" for line in terminal.wrap(change.path, indent=2))
    if effect:
        yield terminal.paint(f"  {effect.strip()}", Tone.FAINT)


def _value(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _steps(told: Forecast, terminal: Terminal) -> Iterator[str]:
    if not told.steps:
        return
    yield ""
    rows = [_step(at, step, told) for at, step in enumerate(told.steps[:MAX_STEPS], 1)]
    yield from table(STEP_COLUMNS, rows, terminal)
    if len(told.steps) > MAX_STEPS:
        yield from terminal.wrap(f"{counted(len(told.steps) - MAX_STEPS, 'more step')}: -o json has them all")


def _step(at: int, step: ForecastStep, told: Forecast) -> Sequence[Cell]:
    after = span(timedelta(seconds=step.after))
    available = f"{step.available}/{told.replicas}"
    return (Cell(str(at)), Cell(after), Cell(available), Cell(ordinals(step.groups)), Cell(step.text))
