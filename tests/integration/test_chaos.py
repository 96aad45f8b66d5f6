"""A short run of chaos: `make chaos` is the long one."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from chaos.arena import Arena
from chaos.judge import Judge
from chaos.rounds import Round, play
from chaos.work import WORKS, Allowance, Update
from controlplane import ControlPlane, Settings
from support.update_rules import UpdateRules

ROUNDS = (
    ("held-update", ("killed", "errors")),
    ("recovery", ("frozen-leader", "broken-connections")),
    ("scaling", ("server-frozen", "watches")),
    ("update", ("webhook-refuses", "tokens")),
)


@pytest.fixture(scope="module")
def chaos() -> Iterator[tuple[Arena, Judge]]:
    with ControlPlane.start(Settings(nodes=8)) as control_plane:
        arena = Arena(control_plane, seed=1)
        yield arena, Judge(arena)
        arena.close()


@pytest.mark.parametrize(("work", "faults"), ROUNDS)
def test_faults_break_no_rule(chaos: tuple[Arena, Judge], work: str, faults: tuple[str, ...]) -> None:
    arena, judge = chaos
    number = [work for work, _ in ROUNDS].index(work)
    outcome = play(arena, judge, Round(number, work, faults, seconds=4.0, draws=f"1/{number}"))
    assert outcome.violations == []
    assert judge.judged["pods made"] > 0


class NothingMayGo(Update):
    """An update of which the judge is told that no group may be taken down, and no pod made anew."""

    def __init__(self, arena: Arena, name: str) -> None:
        super().__init__(arena, name)
        self.allowance = Allowance(UpdateRules(self.replicas, max_unavailable=0))


def test_the_judge_sees_what_was_not_allowed(chaos: tuple[Arena, Judge], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(WORKS, "update", NothingMayGo)
    outcome = play(*chaos, Round(len(ROUNDS), "update", (), seconds=1.0, draws="judged"))
    told = "\n".join(outcome.violations)
    assert "was taken down: [0, 1, 2, 3] stay available, 5 must" in told
    assert "r4-4-decode-0-0 was made 2 times, 1 were asked for" in told
