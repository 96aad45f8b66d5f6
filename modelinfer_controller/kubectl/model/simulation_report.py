"""What a simulation came to: each change of a group, in order."""

from collections.abc import Iterator
from datetime import timedelta
from itertools import groupby

from modelinfer_controller.api.reasons import Reason
from modelinfer_controller.kubectl.model.document import Document
from modelinfer_controller.kubectl.model.humanize import groups
from modelinfer_controller.kubectl.model.simulation import ABSENT, AVAILABLE, Sample, Timeline


class TimelineEntry(Document, frozen=True):
    """after: seconds from the beginning. replicas: how many groups were wanted then."""

    after: float
    text: str
    available: int
    replicas: int


class Simulation(Document, frozen=True):
    """seconds: how long it took from the last manifest on. lowest_available: groups, from then on."""

    is_finished: bool
    replicas: int
    lowest_available: int
    seconds: float
    timeline: tuple[TimelineEntry, ...]


def simulation_of(timeline: Timeline) -> Simulation:
    return Simulation(
        is_finished=timeline.is_finished,
        replicas=timeline.replicas,
        lowest_available=timeline.lowest_available,
        seconds=(timeline.ended_at - timeline.changed_at).total_seconds(),
        timeline=tuple(_timeline(timeline)),
    )


def _timeline(timeline: Timeline) -> Iterator[TimelineEntry]:
    wanted = timeline.samples[0].wanted if timeline.samples else 0
    previous, position = Sample(timedelta(0), {}, 0, wanted), 0
    for at, text, count in [*timeline.marks, (timedelta(0), "", len(timeline.samples))]:
        for _, together in groupby(timeline.samples[position:count], key=lambda sample: int(sample.at.total_seconds())):
            seen = list(together)
            for change in _changes(previous, seen):
                yield TimelineEntry(seen[-1].at.total_seconds(), change, seen[-1].available, seen[-1].wanted)
            previous = seen[-1]
        position = count
        if text:
            yield TimelineEntry(at.total_seconds(), text, previous.available, previous.wanted)


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
    state, revision = states[-1]
    if state != Reason.DRAINING and any(each == "Replacing" for each, _ in states[1:-1]):
        yield "Replacing"
    yield f"{state} at {revision}" if state == AVAILABLE else state
