"""One round: a kind of work, faults while it goes on, healing, and the judge. And a run of them, drawn from a seed."""

from __future__ import annotations

import itertools
import random
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from chaos.arena import Arena
from chaos.faults import FAULTS, Fault
from chaos.judge import Judge
from chaos.work import WORKS

CONVERGENCE = 180.0
Act = Callable[[], None]


@dataclass(frozen=True)
class Round:
    """What is done: for how many seconds, to which work, with which faults; `draws` seeds everything in it."""

    number: int
    work: str
    faults: tuple[str, ...]
    seconds: float
    draws: str

    def __str__(self) -> str:
        return f"{self.work} under {' and '.join(self.faults)}"


@dataclass(frozen=True)
class Outcome:
    """seconds_to_heal: from the end of the faults until all was as specified; kills: of controllers, of all kinds."""

    round: Round
    seconds_to_heal: float
    starts: int
    violations: list[str] = field(default_factory=list)


def draw_rounds(seed: int, seconds: float, works: Sequence[str] = (), faults: Sequence[str] = ()) -> Iterator[Round]:
    """Without an end: every pair of a work and a fault once, in random order, every second one with another fault."""
    pairs = list(itertools.product(works or sorted(WORKS), faults or sorted(FAULTS)))
    random.Random(seed).shuffle(pairs)
    for number, (work, fault) in enumerate(itertools.cycle(pairs)):
        drawn = random.Random(f"{seed}/{number}")
        second = (drawn.choice(sorted(faults or FAULTS)),) if number % 2 else ()
        both = tuple(dict.fromkeys((fault, *second)))
        yield Round(number, work, both, seconds, f"{seed}/{number}")


def play(arena: Arena, judge: Judge, round_: Round) -> Outcome:
    """Play it, and judge it."""
    arena.random.seed(round_.draws)
    work = WORKS[round_.work](arena, f"r{round_.number}")
    faults = [FAULTS[name](arena) for name in round_.faults]
    judge.plant_foreign_objects(work)
    mark = judge.mark()
    starts = _starts(arena)
    began = time.monotonic()
    violations = []
    try:
        work.begin()
        _disturb(arena, round_.seconds, work.step, work.steps, faults)
        began = time.monotonic()
        work.end()
        arena.until(work.is_settled, "everything is as specified", CONVERGENCE)
        seconds = time.monotonic() - began
        violations = judge.judge(work, mark, round_.faults)
    except AssertionError as error:
        seconds, violations = time.monotonic() - began, [f"it does not converge: {error}"]
    judge.remove_foreign_objects(work)
    arena.delete(arena.path("modelinfers", work.name))
    return Outcome(round_, seconds, _starts(arena) - starts, violations)


def _disturb(arena: Arena, seconds: float, step: Act, steps: int, faults: Sequence[Fault]) -> None:
    """Faults act at random instants until the time is over, and the work takes its steps between them."""
    acts: list[tuple[float, Act]] = [(arena.random.uniform(0, seconds), step) for _ in range(steps)]
    for fault in faults:
        count = 1 if fault.acts_once else max(2, round(seconds))
        acts += [(arena.random.uniform(0, seconds), fault.act) for _ in range(count)]
    for fault in faults:
        fault.begin()
    began = time.monotonic()
    for at, act in sorted(acts, key=lambda one: one[0]):
        arena.sleep(max(0.0, began + at - time.monotonic()))
        act()
    for fault in faults:
        fault.end()
    arena.proxy.heal()


def _starts(arena: Arena) -> int:
    return sum(replica.starts for replica in arena.fleet.replicas)
