"""Ages, ordinals and lists as people read them."""

from __future__ import annotations

from datetime import timedelta

import pytest

from modelinfer_controller.kubectl.model.humanize import counted, groups, listed, ordinals, span


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0s"),
        (119, "119s"),
        (120, "2m"),
        (303, "5m3s"),
        (12 * 60 + 5, "12m"),
        (3 * 3600 + 20 * 60, "3h20m"),
        (14 * 3600, "14h"),
        (53 * 3600, "2d5h"),
        (40 * 86400, "40d"),
        (-5, "0s"),
    ],
)
def test_spans_have_two_units_at_most(seconds: int, text: str) -> None:
    assert span(timedelta(seconds=seconds)) == text


def test_ordinals_are_numbers_and_come_in_runs() -> None:
    assert ordinals([10, 2, 0, 1, 3, 11]) == "0-3, 10-11"
    assert groups([5]) == "group 5"
    assert groups([5, 6]) == "groups 5-6"


def test_counts_and_lists() -> None:
    assert (counted(1, "pod"), counted(2, "pod")) == ("1 pod", "2 pods")
    assert listed(["a", "b", "c"]) == "a, b and c"
