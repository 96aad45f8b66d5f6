"""The course of a simulation as lines of text."""

from collections.abc import Iterator
from datetime import timedelta
from itertools import groupby

from modelinfer_controller.kubectl.output import Document
from modelinfer_controller.kubectl.simulation import ABSENT, AVAILABLE, Course, Sample
from modelinfer_controller.kubectl.terminal import Terminal, Tone
from modelinfer_controller.kubectl.words import groups, span


class TimelineEntry(Document, frozen=True):
    """after: seconds from the beginning."""

    after: float
    text: str
    available: int


class Simulation(Document, frozen=True):
    """seconds: how long it took from the last manifest on. lowest_available: groups, from then on."""

    is_finished: bool
    replicas: int
    lowest_available: int
    seconds: float
    timeline: tuple[TimelineEntry, ...]


def simulation_of(course: Course) -> Simulation:
    return Simulation(
        is_finished=course.is_finished,
        replicas=course.replicas,
        lowest_available=course.lowest_available,
        seconds=(course.ended_at - course.changed_at).total_seconds(),
        timeline=tuple(_timeline(course)),
    )


def _timeline(course: Course) -> Iterator[TimelineEntry]:
    previous, position = Sample(timedelta(0), {}, 0), 0
    for at, text, count in [*course.marks, (timedelta(0), "", len(course.samples))]:
        for _, together in groupby(course.samples[position:count], key=lambda sample: int(sample.at.total_seconds())):
            seen = list(together)
            for change in _changes(previous, seen):
                yield TimelineEntry(seen[-1].at.total_seconds(), change, seen[-1].available)
            previous = seen[-1]
        position = count
        if text:
            yield TimelineEntry(at.total_seconds(), text, previous.available)


def _changes(before: Sample, seen: list[Sample]) -> Iterator[str]:
    """What became of groups at one time; those that went the same way in one line."""
    moves: dict[tuple[str, ...], list[int]] = {}
    for ordinal in sorted({ordinal for sample in (before, *seen) for ordinal in sample.groups}):
        nothing = (ABSENT, "")
        states = [sample.groups.get(ordinal, nothing) for sample in (before, *seen)]
        if states[0] != states[-1] or any(state == "Replacing" for state, _ in states[1:]):
            moves.setdefault(tuple(_words(states)), []).append(ordinal)
    for words, ordinals in moves.items():
        yield f"{groups(ordinals)}: {', then '.join(words)}"


def _words(states: list[tuple[str, str]]) -> Iterator[str]:
    """That it was taken down, and what it is in the end."""
    if any(state == "Replacing" for state, _ in states[1:-1]):
        yield "Replacing"
    state, revision = states[-1]
    yield f"{state} at {revision}" if state == AVAILABLE else state


def simulation_lines(told: Simulation, terminal: Terminal) -> Iterator[str]:
    yield terminal.paint("after    available  what", Tone.FAINT)
    for entry in told.timeline:
        line = f"{span(timedelta(seconds=entry.after)):<7}  {f'{entry.available}/{told.replicas}':<9}  {entry.text}"
        yield terminal.cut(line, terminal.width or 10**6)
    yield ""
    took = span(timedelta(seconds=told.seconds))
    end = f"done after {took}" if told.is_finished else f"not done after {took}"
    tone = Tone.GOOD if told.is_finished else Tone.BAD
    yield terminal.paint(f"{end}; {told.lowest_available} of {told.replicas} groups available at the lowest", tone)
