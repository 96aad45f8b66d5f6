"""The rules of an update, from the spec's JSON alone: whoever sees groups go asks here whether they may.

They share no code with the planner. What is available, and what is on its way, each kind of test sees for itself: on
structs, in a simulated store, in the events of a real watch.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class UpdateRules:
    """In numbers of groups. replicas: those that count, whether they exist or not."""

    replicas: int
    max_unavailable: int = 1
    max_surge: int = 0
    partition: int = 0

    @property
    def must_stay(self) -> int:
        """How many groups are available at least."""
        return self.replicas - self.max_unavailable

    @property
    def may_move(self) -> int:
        """How many groups are on their way to the update revision at most: taken down, or not available there yet."""
        return self.max_unavailable + self.max_surge

    def check_partition(self, taken: Collection[int], where: str = "") -> None:
        held = sorted(group for group in taken if group < self.partition)
        assert not held, f"{where}: partition {self.partition} keeps the groups {held}"

    def check_availability(self, available: Collection[int], where: str = "") -> None:
        """available: groups that are so after what is judged."""
        assert len(available) >= self.must_stay, f"{where}: {sorted(available)} stay available, {self.must_stay} must"

    def check_pace(self, moving: Collection[int], where: str = "") -> None:
        """moving: groups on their way, those that are judged among them."""
        assert len(moving) <= self.may_move, (
            f"{where}: {sorted(moving)} are on their way, at most {self.may_move} may be"
        )


def rules_of(spec: Mapping[str, Any]) -> UpdateRules:
    """maxUnavailable in percent rounds down, maxSurge up; both 0 count as maxUnavailable 1."""
    replicas = spec["replicas"]
    update = (spec.get("rolloutStrategy") or {}).get("rollingUpdateConfiguration") or {}
    unavailable, surge = update.get("maxUnavailable", 1), update.get("maxSurge", 0)
    most = int(unavailable[:-1]) * replicas // 100 if isinstance(unavailable, str) else unavailable
    extra = (int(surge[:-1]) * replicas + 99) // 100 if isinstance(surge, str) else surge
    most, extra = (1, 0) if most == extra == 0 else (most, extra)
    return UpdateRules(replicas, most, extra, update.get("partition") or 0)
