"""The clock of progressDeadlineSeconds: whether an update goes on or has failed.

source: Deployment, pkg/controller/deployment/progress.go, with groups for pods; the clock is in the status and not in a
condition's times, which messages move.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from modelinfer_controller.api.modelinfer import ModelInferSpec, OnFailure
from modelinfer_controller.api.status import UpdateProgress
from modelinfer_controller.planning.at_rest import AtRest
from modelinfer_controller.planning.group import Group
from modelinfer_controller.planning.observed import Owner
from modelinfer_controller.planning.update_rules import Rule, UpdateRules, is_halted


@dataclass(frozen=True, slots=True)
class Progress:
    """clock: to be kept in the status. failed_revision: likewise; the revision that groups return from.

    is_halted: nothing is replaced any more. has_just_failed: the deadline passed in this very pass. wake_at: when it
    will.
    """

    clock: UpdateProgress
    failed_revision: str = ""
    is_halted: bool = False
    has_just_failed: bool = False
    wake_at: datetime | None = None


def progress_of(
    owner: Owner, groups: Mapping[int, Group], at_rest: AtRest, rules: UpdateRules, now: datetime
) -> Progress:
    """Where the update is by its clock. A rollback has the same deadline, and halts if it fails.

    groups: those that are not at rest.
    """
    spec, status = owner.spec, owner.status
    refused = rules.update if rules.is_rolled_back else ""
    updated, is_unfinished = _count(groups, at_rest, rules)
    if is_halted(spec, status, rules.goal) and is_unfinished:
        return Progress(status.update_progress, refused, is_halted=True)
    deadline = spec.progress_deadline_seconds
    if deadline is None or not is_unfinished:
        return Progress(UpdateProgress(), refused)
    stands_still = rules.hold is Rule.PAUSED or spec.suspend
    clock = _advanced(status.update_progress, rules.goal, updated, stands_still, now)
    if clock.since is None:
        return Progress(clock, refused)
    ends_at = clock.since + timedelta(seconds=deadline - clock.elapsed)
    if ends_at > now:
        return Progress(clock, refused, wake_at=ends_at)
    if _on_failure(spec) is OnFailure.ROLLBACK and not refused and rules.update != rules.current:
        return Progress(UpdateProgress(), rules.update, has_just_failed=True)
    failed = UpdateProgress(rules.goal, updated, has_failed=True, deadline_seconds=deadline)
    return Progress(failed, refused, is_halted=True, has_just_failed=True)


def _count(groups: Mapping[int, Group], at_rest: AtRest, rules: UpdateRules) -> tuple[int, bool]:
    """Groups that are available where the update moves them to, and whether others that may move are not there yet.

    What the partition holds is not waited for, and neither is a first creation.
    """
    movable = range(rules.budget.partition, rules.budget.replicas)
    of_movable = [group for ordinal, group in groups.items() if ordinal in movable]
    updated = at_rest.count(movable)
    updated += sum(group.is_available and group.revision.name == rules.goal for group in of_movable)
    has_outdated = any(group.exists and group.revision.name != rules.goal for group in of_movable)
    return updated, has_outdated or (rules.is_rolling and updated < len(movable))


def _on_failure(spec: ModelInferSpec) -> OnFailure:
    return spec.rollout_strategy.rolling_update_configuration.on_failure


def _advanced(clock: UpdateProgress, goal: str, updated: int, stands_still: bool, now: datetime) -> UpdateProgress:
    second = now.replace(microsecond=0)
    if clock.revision != goal or clock.has_failed or updated > clock.updated:
        clock = UpdateProgress(goal, updated, second)
    if stands_still and clock.since is not None:
        ran = clock.elapsed + max(0, int((now - clock.since).total_seconds()))
        return UpdateProgress(clock.revision, clock.updated, None, ran)
    if not stands_still and clock.since is None:
        return UpdateProgress(clock.revision, clock.updated, second, clock.elapsed)
    return clock
