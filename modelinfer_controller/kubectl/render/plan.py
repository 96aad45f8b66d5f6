"""The forecast as lines of text."""

import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

from modelinfer_controller.kubectl.model.forecast import Forecast, ForecastStep
from modelinfer_controller.kubectl.model.humanize import counted, groups, ordinals, span
from modelinfer_controller.kubectl.model.spec_diff import Change
from modelinfer_controller.kubectl.render.terminal import Terminal, Tone

MAX_STEPS = 40


def forecast_lines(told: Forecast, terminal: Terminal) -> list[str]:
    lines = [*_summary(told, terminal), *change_lines(told.changes, terminal), *_steps(told, terminal)]
    width = terminal.width
    return lines if width is None else [_fitted(line, width, terminal) for line in lines]


def _fitted(line: str, width: int, terminal: Terminal) -> str:
    return line if "\x1b" in line else terminal.cut(line, width)


def _summary(told: Forecast, terminal: Terminal) -> Iterator[str]:
    name = terminal.paint(f"{told.namespace}/{told.name}", Tone.STRONG)
    if not told.steps:
        yield f"{name}: {terminal.paint('nothing to do', Tone.GOOD)}"
        return
    if told.restarts:
        what = terminal.paint(f"restarts {groups(told.restarted)}", Tone.BUSY)
    else:
        what = terminal.paint("restarts nothing", Tone.GOOD)
    yield f"{name}: {what}"
    for label, found in (
        ("stay as they are", told.unchanged),
        ("held by the partition", told.held),
        ("made new", told.created),
        ("surge, on the way", told.surge),
        ("removed", told.removed),
    ):
        if found:
            yield f"  {label:<22}{groups(found)}"
    yield f"  {'pods':<22}{told.pods_deleted} deleted, {told.pods_created} made"
    lowest = f"{told.lowest_available} of {told.replicas} groups at the lowest (now {told.available_now})"
    yield f"  {'available':<22}{lowest}"
    if told.seconds is None:
        yield f"  {'duration':<22}unknown: no group has become available yet, from which to tell"
    else:
        start = span(timedelta(seconds=told.start_seconds or 0))
        yield f"  {'duration':<22}about {span(timedelta(seconds=told.seconds))} (a group takes {start} to start)"
    new = "new revision" if told.is_new_revision else "revision"
    yield f"  {new:<22}{told.revision}"
    if told.obstacle:
        yield terminal.paint(f"  it would not end: {told.obstacle}", Tone.BAD)


def change_lines(changes: tuple[Change, ...], terminal: Terminal) -> Iterator[str]:
    """A block for each role: what was, and what is to be."""
    for role in dict.fromkeys(change.role for change in changes):
        yield ""
        yield terminal.paint(f"role {role}" if role else "spec", Tone.STRONG)
        for change in changes:
            if change.role == role:
                yield from _change(change, terminal)


def _change(change: Change, terminal: Terminal) -> Iterator[str]:
    effect = "" if change.restarts else terminal.paint("   (restarts nothing)", Tone.FAINT)
    if not change.path:
        word = "added" if change.before is None else "removed"
        yield f"  {word}"
        return
    yield f"  {change.path}{effect}"
    if change.before is not None:
        yield terminal.paint(terminal.cut(f"    - {_value(change.before)}", terminal.width or 10**6), Tone.BAD)
    if change.after is not None:
        yield terminal.paint(terminal.cut(f"    + {_value(change.after)}", terminal.width or 10**6), Tone.GOOD)


def _value(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _steps(told: Forecast, terminal: Terminal) -> Iterator[str]:
    if not told.steps:
        return
    yield ""
    yield terminal.paint("step  after   available  groups    what", Tone.FAINT)
    for at, step in enumerate(told.steps[:MAX_STEPS], 1):
        yield _step(at, step, told)
    if len(told.steps) > MAX_STEPS:
        yield terminal.draw(f"… {counted(len(told.steps) - MAX_STEPS, 'more step')}: -o json has them all")


def _step(at: int, step: ForecastStep, told: Forecast) -> str:
    after = span(timedelta(seconds=step.after))
    return f"{at:>4}  {after:<6}  {f'{step.available}/{told.replicas}':<9}  {ordinals(step.groups):<8}  {step.text}"
