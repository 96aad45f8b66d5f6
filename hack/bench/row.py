"""One line of the results: what was measured, beside what the API server itself allows, with the spread."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from statistics import median
from typing import Any


@dataclass(frozen=True)
class Row:
    """ours, floor: one value for each repeat, in `unit`; floor is empty where there is none to compare with.

    line is the line's name, the same for each size; size says of what. The value is the best of the repeats: other work
    on the machine only slows. aim is what the value should not exceed, aim_ratio what value / floor should not.
    """

    line: str
    size: str
    unit: str
    ours: Sequence[float]
    floor: Sequence[float] = ()
    aim: float | None = None
    aim_ratio: float | None = None
    details: dict[str, Any] = field(default_factory=dict)

    @property
    def value(self) -> float:
        return min(self.ours)

    @property
    def floor_value(self) -> float | None:
        return min(self.floor) if self.floor else None

    @property
    def ratio(self) -> float | None:
        """Of the best to the best, as within one run; absolute times drift with the machine."""
        floor = self.floor_value
        return self.value / floor if floor else None

    @property
    def reaches_aim(self) -> bool | None:
        """None where it has no aim."""
        if self.aim_ratio is not None and self.ratio is not None:
            return self.ratio <= self.aim_ratio
        return self.value <= self.aim if self.aim is not None else None

    def as_json(self) -> dict[str, Any]:
        derived = {"value": self.value, "floor_value": self.floor_value, "ratio": self.ratio}
        return {**asdict(self), **derived, "median": median(self.ours)}


def row_of(document: dict[str, Any]) -> Row:
    """What `as_json` gave."""
    return Row(**{name: document[name] for name in Row.__dataclass_fields__})
