"""Runs as many random histories as asked: `python -m sim.fuzz --histories N --seed S`.

Batches of BATCH histories each have a seed of their own, counted up from S, so that the seed of the batch that failed
finds it again within seconds: `make fuzz HISTORIES=25 SEED=<that seed>`.
"""

import argparse
import logging
import os
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import structlog
from hypothesis import HealthCheck, Phase, Verbosity, seed, settings
from hypothesis.stateful import run_state_machine_as_test

from sim import histories
from sim.histories import TALLY, Histories

BATCH = 25
PROGRESS_INTERVAL = 60.0  # seconds


def main() -> int:
    arguments = _arguments()
    began = shown_at = time.monotonic()
    counts = [BATCH] * (arguments.histories // BATCH)
    if left := arguments.histories % BATCH:
        counts.append(left)
    ran = judged = 0
    with ProcessPoolExecutor(arguments.jobs, mp_context=get_context("spawn")) as pool:
        batches = [
            pool.submit(_batch, arguments.seed + number, count, arguments, is_shrunk=not arguments.no_shrink)
            for number, count in enumerate(counts)
        ]
        for number, batch in enumerate(batches, start=arguments.seed):  # in order: the first that failed is told
            try:
                of_batch = batch.result()
            except Exception as error:
                pool.shutdown(wait=False, cancel_futures=True)
                error.add_note(f"ran {ran} histories without a failure; the seed of the first that failed: {number}")
                error.add_note(f"again: make fuzz HISTORIES={BATCH} SEED={number} STEPS={arguments.steps}")
                raise
            ran, judged = ran + of_batch[0], judged + of_batch[1]
            if time.monotonic() - shown_at >= PROGRESS_INTERVAL:
                shown_at = time.monotonic()
                print(f"{ran} histories in {shown_at - began:.0f} s, seeds {arguments.seed} to {number}", flush=True)
    seconds = time.monotonic() - began
    print(f"{ran} histories in {seconds:.1f} s ({60 * ran / seconds:.0f} a minute), seeds {arguments.seed} to {number}")
    print(f"{judged} take-downs of rollouts were judged; none failed")
    return 0


def _batch(number: int, count: int, arguments: argparse.Namespace, *, is_shrunk: bool) -> tuple[int, int]:
    """How many histories ran, and how many take-downs they had. Raises what failed. In a process of its own."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    before = TALLY.ran, TALLY.judged
    histories.THEMES[:] = arguments.theme
    _run(number, count, arguments.steps, is_shrunk=is_shrunk)
    return TALLY.ran - before[0], TALLY.judged - before[1]


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
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes (default: one for each core)")
    every = list(histories.THEMES)
    parser.add_argument("--theme", choices=every, action="append", help="what histories are about (default: all)")
    parser.add_argument("--no-shrink", action="store_true", help="show the first failure as it was found, at once")
    arguments = parser.parse_args()
    arguments.theme = arguments.theme or every
    return arguments


if __name__ == "__main__":
    sys.exit(main())
