"""The updates of one ModelInfer: when the running one began, how long the last one took, how often each outcome was."""

from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from modelinfer_controller.api.status import ModelInferStatus
from modelinfer_controller.planning.events import was_suspended
from modelinfer_controller.planning.update_rules import UPDATE_IN_PROGRESS, condition_of


class RolloutOutcome(StrEnum):
    """How an update ended. The values are the metric's."""

    COMPLETED = "completed"
    HALTED = "halted"
    ROLLED_BACK = "rolled_back"


@dataclass
class Rollouts:
    """started_at: of the update under way, or None. last_seconds: of the last that was completed, or None.

    Only what happens between two statuses is counted, as with Events. So a new leader counts nothing again, and what
    ended between two leaders is counted by the second.
    """

    started_at: datetime | None = None
    last_seconds: float | None = None
    outcomes: Counter[RolloutOutcome] = field(default_factory=Counter)

    def follow(self, before: ModelInferStatus, after: ModelInferStatus, now: datetime) -> float | None:
        """before: the last status; after: what is going to be written. The seconds of an update that just completed."""
        if after.update_progress.has_failed and not before.update_progress.has_failed:
            self.outcomes[RolloutOutcome.HALTED] += 1
        if after.failed_revision and after.failed_revision != before.failed_revision:
            self.outcomes[RolloutOutcome.ROLLED_BACK] += 1
        if _since(after) is not None:
            self._start(before, after, now)
            return None
        started, self.started_at = self.started_at or _since(before), None
        if started is None or _is_dropped(before, after):
            return None
        self.outcomes[RolloutOutcome.COMPLETED] += 1
        self.last_seconds = max(0.0, (now - started).total_seconds())
        return self.last_seconds

    def _start(self, before: ModelInferStatus, after: ModelInferStatus, now: datetime) -> None:
        """A changed template starts another one. After a restart of the controller, the condition says since when."""
        if before.update_revision and before.update_revision != after.update_revision:
            self.started_at = now
        elif self.started_at is None:
            self.started_at = _since(after)


def is_failed(status: ModelInferStatus) -> bool:
    """Whether the update to the present template was given up, halted or rolled back."""
    return status.update_progress.has_failed or bool(status.failed_revision)


def _since(status: ModelInferStatus) -> datetime | None:
    condition = condition_of(status.conditions, UPDATE_IN_PROGRESS)
    return condition.last_transition_time if condition is not None and condition.status == "True" else None


def _is_dropped(before: ModelInferStatus, after: ModelInferStatus) -> bool:
    """Whether the update ended without its groups at their new revision."""
    return is_failed(after) or is_failed(before) or was_suspended(after)
