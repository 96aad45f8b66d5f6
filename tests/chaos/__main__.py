"""`make chaos ARGS="--seed 7 --rounds 40"`: rounds of chaos on a control plane of its own."""

from __future__ import annotations

import argparse
import itertools
import sys
import time
from collections import Counter

from controlplane import ControlPlane, Settings

from chaos.arena import Arena
from chaos.faults import FAULTS
from chaos.judge import Judge
from chaos.rounds import Outcome, draw_rounds, play
from chaos.work import WORKS


def main() -> int:
    arguments = _arguments()
    seed = arguments.seed if arguments.seed is not None else int(time.time()) % 1_000_000
    print(f"seed {seed}: again with --seed {seed}, one round of it with --only NUMBER", flush=True)
    drawn = draw_rounds(seed, arguments.seconds, arguments.work or (), arguments.fault or ())
    if arguments.only is not None:
        drawn = itertools.islice(drawn, arguments.only, arguments.only + 1)
    deadline = time.monotonic() + 3600 * arguments.hours if arguments.hours else None
    count = arguments.rounds if deadline is None else None
    outcomes: list[Outcome] = []
    with ControlPlane.start(Settings(nodes=8)) as control_plane:
        arena = Arena(control_plane, seed)
        judge = Judge(arena)
        try:
            for round_ in itertools.islice(drawn, count):
                if deadline is not None and time.monotonic() > deadline:
                    break
                outcome = play(arena, judge, round_)
                outcomes.append(outcome)
                _print(outcome)
                if outcome.violations and not arguments.keep_going:
                    break
        finally:
            arena.close()
            if arguments.keep_logs:
                print(f"logs: {control_plane.logs}; they go when this ends: press enter", flush=True)
                sys.stdin.readline()
    return _summary(seed, outcomes, judge)


def _print(outcome: Outcome) -> None:
    print(
        f"round {outcome.round.number}: {outcome.round}: healed in {outcome.seconds_to_heal:.1f} s, "
        f"{outcome.starts} starts of a controller",
        flush=True,
    )
    for violation in outcome.violations:
        print(f"  VIOLATION: {violation}", flush=True)


def _summary(seed: int, outcomes: list[Outcome], judge: Judge) -> int:
    bad = [outcome for outcome in outcomes if outcome.violations]
    faults = Counter(fault for outcome in outcomes for fault in outcome.round.faults)
    print(f"{len(outcomes)} rounds with {sum(faults.values())} faults of {len(faults)} kinds, seed {seed}")
    print(f"{sum(outcome.starts for outcome in outcomes)} starts of a controller, {len(bad)} rounds with violations")
    print(", ".join(f"{count} {what}" for what, count in sorted(judge.judged.items())))
    most = judge.most
    print(f"a controller at rest: {most.mb:.0f} MB, {most.tasks} tasks, {most.descriptors} descriptors at most")
    if outcomes:
        slowest = max(outcomes, key=lambda outcome: outcome.seconds_to_heal)
        print(f"the slowest to heal: {slowest.seconds_to_heal:.1f} s, {slowest.round}")
    for outcome in bad:
        print(f"again: --seed {seed} --only {outcome.round.number} --seconds {outcome.round.seconds:g}")
    return 1 if bad else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make chaos ARGS=", description=__doc__)
    parser.add_argument("--seed", type=int, help="of all draws (default: of the clock)")
    parser.add_argument("--rounds", type=int, default=24, help="how many (default 24, some ten minutes)")
    parser.add_argument("--hours", type=float, help="go on for so long instead")
    parser.add_argument("--seconds", type=float, default=6.0, help="how long faults strike in a round (default 6)")
    parser.add_argument("--only", type=int, metavar="NUMBER", help="play this round of the seed alone")
    parser.add_argument("--work", action="append", choices=sorted(WORKS), help="only this work (repeatable)")
    parser.add_argument("--fault", action="append", choices=sorted(FAULTS), help="only this fault (repeatable)")
    parser.add_argument("--keep-going", action="store_true", help="after a violation too")
    parser.add_argument("--keep-logs", action="store_true", help="wait at the end, so that the logs can be read")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
