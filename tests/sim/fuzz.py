"""Runs as many random histories as asked: `python -m sim.fuzz --histories N --seed S`.

Batches of BATCH histories each have a seed of their own, counted up from S, so that the seed of the batch that failed
finds it again within seconds: `make fuzz HISTORIES=25 SEED=<that seed>`.
"""

import argparse
import logging
import sys
import time

import structlog
from hypothesis import HealthCheck, Phase, Verbosity, seed, settings
from hypothesis.stateful import run_state_machine_as_test

from sim.histories import TALLY, Histories

BATCH = 25


def main() -> int:
    arguments = _arguments()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    began, number = time.monotonic(), arguments.seed
    while TALLY.ran < arguments.histories:
        before = TALLY.ran
        left = min(BATCH, arguments.histories - before)
        try:
            _run(number, left, arguments.steps, is_shrunk=not arguments.no_shrink)
        except Exception as error:
            error.add_note(f"ran {before} histories without a failure; the seed of the first that failed: {number}")
            error.add_note(f"again: make fuzz HISTORIES={BATCH} SEED={number} STEPS={arguments.steps}")
            raise
        number += 1
    seconds = time.monotonic() - began
    rate = 60 * TALLY.ran / seconds
    print(f"{TALLY.ran} histories in {seconds:.1f} s ({rate:.0f} a minute), seeds {arguments.seed} to {number - 1}")
    print(f"{TALLY.judged} take-downs of rollouts were judged; none failed")
    return 0


def _run(number: int, count: int, steps: int, *, is_shrunk: bool) -> None:
    wanted = settings(
        max_examples=count,
        stateful_step_count=steps,
        deadline=None,
        database=None,
        phases=(Phase.generate, Phase.shrink) if is_shrunk else (Phase.generate,),
        verbosity=Verbosity.normal,
        suppress_health_check=list(HealthCheck),
        print_blob=False,
        report_multiple_bugs=False,
    )

    run_state_machine_as_test(seed(number)(type("Histories", (Histories,), {})), settings=wanted)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--histories", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=20, help="rules in a history, at most")
    parser.add_argument("--no-shrink", action="store_true", help="show the first failure as it was found, at once")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
