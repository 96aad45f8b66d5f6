"""A short soak: `make soak` is 24 hours with a thousand ModelInfers."""

from sim.soak import Look, Soak, faults_of


async def test_memory_series_and_tasks_are_flat_while_model_infers_come_and_go() -> None:
    looks = await Soak(hours=2.4, models=12, looks=4).play()
    assert len(looks) == 3
    assert faults_of(looks) == []


def test_growth_is_told() -> None:
    first, last = Look(1.0, 10, 50_000, 400, 90, 12), Look(2.0, 20, 52_000, 410, 91, 15)
    assert faults_of([first, last]) == [
        "blocks grew from 50000 to 52000",
        "objects grew from 400 to 410",
        "series grew from 90 to 91",
        "tasks grew from 12 to 15",
    ]
