"""An hour on a real control plane: ModelInfers come and go, nothing fails on purpose, and nothing grows."""

from __future__ import annotations

import itertools
import time

from controlplane import ControlPlane, Settings

from chaos.arena import Arena
from chaos.fleet import Health
from chaos.judge import Judge
from chaos.rounds import Round, play
from chaos.work import WORKS

WARM_UP = 0.2  # of the time: what a process needs for good it has by then
MOST_GROWTH = 0.02  # of memory, an hour


def soak(hours: float, seed: int) -> int:
    """Print what the controllers are like after each round; 1 where something grew or a rule was broken."""
    began, found, seen = time.monotonic(), list[str](), list[tuple[float, list[Health]]]()
    with ControlPlane.start(Settings(nodes=8)) as control_plane:
        arena = Arena(control_plane, seed)
        judge = Judge(arena)
        try:
            for number, work in enumerate(itertools.cycle(sorted(WORKS))):
                passed = (time.monotonic() - began) / 3600
                if passed > hours:
                    break
                outcome = play(arena, judge, Round(number, work, (), 3.0, f"soak/{seed}/{number}"))
                found += outcome.violations
                healths = [replica.health() for replica in arena.fleet.replicas]
                seen.append((passed, healths))
                print(f"{60 * passed:5.1f} min, after {work}: {'; '.join(map(_described, healths))}", flush=True)
        finally:
            arena.close()
    found += _growth([one for one in seen if one[0] > WARM_UP * hours])
    print("\n".join(found) or f"flat, {len(seen)} ModelInfers")
    return 1 if found else 0


def _described(health: Health) -> str:
    return f"{health.mb:.1f} MB, {health.tasks} tasks, {health.series} series, {health.descriptors} descriptors"


def _growth(seen: list[tuple[float, list[Health]]]) -> list[str]:
    """Between the beginning and the end of what was seen, each as the least of a few looks."""
    few = max(1, len(seen) // 5)
    span = max(seen[-1][0] - seen[0][0], 1e-3)
    found = []
    for index in range(2):
        first, last = ([healths[index] for _, healths in part] for part in (seen[:few], seen[-few:]))
        mb = min(one.mb for one in first), min(one.mb for one in last)
        if mb[1] > mb[0] * (1 + MOST_GROWTH * max(1.0, span)):
            found.append(f"memory grew from {mb[0]:.1f} to {mb[1]:.1f} MB in {span:.2f} h")
        for name in ("tasks", "series"):
            before, now = (min(getattr(one, name) for one in part) for part in (first, last))
            if now > before:
                found.append(f"{name} grew from {before} to {now}")
    return found
