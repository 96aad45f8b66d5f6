"""For how long groups were available, and for how long they were not, by reason: in group-seconds, which only grow."""

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field

from modelinfer_controller.planning.conditions import Facts
from modelinfer_controller.planning.unavailable import unavailable_by_reason

RESOLUTION = 1.0  # seconds: what changes within one is not told apart, so that a busy ModelInfer costs no more
MAX_REASONS = 20  # of one ModelInfer: some are the cluster's own words
OTHER = "Other"


@dataclass
class AvailabilityTimer:
    """Two groups that are available for a minute are 120 group-seconds. counted_until: of a monotonic clock."""

    counted_until: float
    available_seconds: float = 0.0
    unavailable_seconds: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))

    def advance(self, facts: Facts, now: float) -> None:
        """Count the time since the last call for what `facts` say, which held until now."""
        elapsed = now - self.counted_until
        if elapsed < RESOLUTION:
            return
        self.counted_until = now
        unavailable = unavailable_by_reason(facts)
        self.available_seconds += elapsed * (facts.decision.budget.replicas - sum(unavailable.values()))
        for reason, count in self.bounded(unavailable).items():
            self.unavailable_seconds[reason] += elapsed * count

    def bounded(self, by_reason: Mapping[str, int]) -> Mapping[str, int]:
        """With reasons beyond the first MAX_REASONS under one name."""
        known = self.unavailable_seconds.keys()
        bounded: Counter[str] = Counter()
        for reason, count in by_reason.items():
            is_told = reason in known or len(known | bounded.keys()) < MAX_REASONS
            bounded[reason if is_told else OTHER] += count
        return bounded
