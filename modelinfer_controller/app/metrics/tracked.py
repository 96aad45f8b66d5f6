"""What is remembered of one ModelInfer, to count each thing once. No decision hangs on it."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property

from modelinfer_controller.api.core import Pod
from modelinfer_controller.api.status import ModelInferStatus
from modelinfer_controller.app.metrics.availability import AvailabilityTimer
from modelinfer_controller.app.metrics.points import points_of
from modelinfer_controller.app.metrics.replacements import Replacements
from modelinfer_controller.app.metrics.rollouts import RolloutOutcome, Rollouts
from modelinfer_controller.app.metrics.series import Point
from modelinfer_controller.planning.cause import Failures
from modelinfer_controller.planning.conditions import Facts
from modelinfer_controller.planning.decide import Decision
from modelinfer_controller.planning.pod_identity import parse_pod_name
from modelinfer_controller.planning.recovery_types import TRIGGER_KINDS
from modelinfer_controller.planning.replacement import REPLACEMENT_REASONS
from modelinfer_controller.planning.unavailable import unavailable_by_reason


@dataclass(frozen=True)
class Conclusion:
    """What a reconcile came to."""

    decision: Decision
    status: ModelInferStatus
    failures: Failures

    @cached_property
    def facts(self) -> Facts:
        return Facts(self.decision, self.failures)

    @cached_property
    def points(self) -> tuple[Point, ...]:
        return tuple(points_of(self.decision, self.status))


@dataclass
class Tracked:
    """pods_by_group: for groups that are or were available, the UIDs of the pods they had as they became it.

    recreations: (ordinal, scope) -> the incarnation counted last. placed: UIDs of PodGroups all of whose pods have
    nodes.
    """

    uid: str
    latest: Conclusion
    timer: AvailabilityTimer
    rollouts: Rollouts = field(default_factory=Rollouts)
    recreation_counts: Counter[tuple[str, str]] = field(default_factory=Counter)
    available: set[int] = field(default_factory=set)
    pods_by_group: dict[int, frozenset[str]] = field(default_factory=dict)
    recreations: dict[tuple[int, str], int] = field(default_factory=dict)
    placed: set[str] = field(default_factory=set)
    replacements: Replacements = field(default_factory=Replacements)

    def role_of(self, pod: Pod) -> str | None:
        """The role of a pod that the ModelInfer controls, by its name, which no label can change; None for another."""
        controller, decision = pod.metadata.controller, self.latest.decision
        identity = parse_pod_name(decision.owner.name, pod.metadata.name)
        if identity is None or controller is None or controller.uid != self.uid:
            return None
        role = decision.group(identity.group).shape.roles.get(identity.role)
        return role.name if role is not None else None

    def count_recreations(self) -> None:
        decision = self.latest.decision
        policy = decision.owner.spec.recovery_policy
        for ordinal, group in decision.active.items():
            for one in group.recovery.recreations:
                counted = self.recreations.get((ordinal, one.scope))
                if counted != one.record.incarnation:  # it is decided again where writing it down failed
                    self.recreations[ordinal, one.scope] = one.record.incarnation
                    self.recreation_counts[policy, one.trigger.kind] += 1

    def points(self, now: float) -> tuple[Point, ...]:
        """now: of the timer's clock."""
        self.timer.advance(self.latest.facts, now)
        return (*self.latest.points, *self._reasons(), *self._counters(), *self._rollout_times())

    def _reasons(self) -> Iterator[Point]:
        for reason, count in self.timer.bounded(unavailable_by_reason(self.latest.facts)).items():
            yield "modelinfer_groups_unavailable", (reason,), count

    def _counters(self) -> Iterator[Point]:
        yield "modelinfer_groups_available_seconds", (), self.timer.available_seconds
        for reason, seconds in self.timer.unavailable_seconds.items():
            yield "modelinfer_groups_unavailable_seconds", (reason,), seconds
        for outcome in RolloutOutcome:
            yield "modelinfer_rollouts", (outcome,), self.rollouts.outcomes[outcome]
        for reason in REPLACEMENT_REASONS:
            yield "modelinfer_replacements", (reason,), self.replacements.count_by_reason[reason]
        for labels in dict.fromkeys((*self.recreation_counts, *self._possible_recreations())):
            yield "modelinfer_rebuilds", labels, self.recreation_counts[labels]

    def _possible_recreations(self) -> Iterator[tuple[str, str]]:
        """With series that begin at 0: a counter that begins at 1 has not risen, for Prometheus."""
        policy = self.latest.decision.owner.spec.recovery_policy
        return ((policy, cause) for cause in TRIGGER_KINDS)

    def _rollout_times(self) -> Iterator[Point]:
        if self.rollouts.started_at is not None:
            yield "modelinfer_rollout_start_timestamp_seconds", (), self.rollouts.started_at.timestamp()
        if self.rollouts.last_seconds is not None:
            yield "modelinfer_rollout_last_duration_seconds", (), self.rollouts.last_seconds
