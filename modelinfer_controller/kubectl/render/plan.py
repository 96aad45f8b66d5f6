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


def forecast_lines(forecast: Forecast, terminal: Terminal) -> list[str]:
    return [*_summary(forecast, terminal), *change_lines(forecast.changes, terminal), *_steps(forecast, terminal)]


def _summary(forecast: Forecast, terminal: Terminal) -> Iterator[str]:
    text, tone = _verdict(forecast)
    yield from terminal.headline(f"{forecast.namespace}/{forecast.name}", text, tone)
    for label, value in _facts(forecast):
        yield from _labelled(label, value, terminal)
    if forecast.obstacle:
        for line in terminal.wrap(f"it would not end: {forecast.obstacle}", indent=2):
            yield terminal.paint(f"  {line}", Tone.BAD)


def _verdict(forecast: Forecast) -> tuple[str, Tone]:
    if forecast.restarts:
        return f"restarts {groups(forecast.restarted)}", Tone.BUSY
    if forecast.steps:
        return "restarts nothing", Tone.GOOD
    if forecast.obstacle:
        return "nothing to do now, and it is not as specified", Tone.BAD
    if forecast.available_now < forecast.replicas:
        return f"nothing to do but wait: {forecast.available_now} of {forecast.replicas} groups available", Tone.BUSY
    return "nothing to do", Tone.GOOD


def _facts(forecast: Forecast) -> Iterator[tuple[str, str]]:
    if not forecast.steps:
        return
    for label, found in (
        ("handed over", forecast.moved),
        ("stay as they are", forecast.unchanged),
        ("kept by the partition", forecast.held),
        ("created", forecast.created),
        ("surge, on the way", forecast.surge),
        ("removed", forecast.removed),
    ):
        if found:
            yield label, groups(found)
    yield "pods", f"{forecast.pods_deleted} deleted, {forecast.pods_created} created"
    yield (
        "available",
        f"{forecast.lowest_available} of {forecast.replicas} groups at the lowest (now {forecast.available_now})",
    )
    if forecast.seconds is None:
        yield "duration", "unknown: no group has become available yet, from which to tell"
    else:
        start = span(timedelta(seconds=forecast.start_seconds or 0))
        yield "duration", f"about {span(timedelta(seconds=forecast.seconds))} (a group takes {start} to start)"
    yield "new revision" if forecast.is_new_revision else "revision", forecast.revision


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


def _steps(forecast: Forecast, terminal: Terminal) -> Iterator[str]:
    if not forecast.steps:
        return
    yield ""
    rows = [_step(at, step, forecast) for at, step in enumerate(forecast.steps[:MAX_STEPS], 1)]
    yield from table(STEP_COLUMNS, rows, terminal)
    if len(forecast.steps) > MAX_STEPS:
        yield from terminal.wrap(f"{counted(len(forecast.steps) - MAX_STEPS, 'more step')}: -o json has them all")


def _step(at: int, step: ForecastStep, forecast: Forecast) -> Sequence[Cell]:
    after = span(timedelta(seconds=step.after))
    available = f"{step.available}/{forecast.replicas}"
    return (Cell(str(at)), Cell(after), Cell(available), Cell(ordinals(step.groups)), Cell(step.text))
