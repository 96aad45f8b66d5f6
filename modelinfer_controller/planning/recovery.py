"""Recovery: what a failed, restarted, finished or deleted pod leads to, by policy, with grace and back-off.

A recreation is a record in the status that raises the incarnation of its scope. Pods of a lower incarnation are
condemned, and nothing is made in the scope before they are gone. So a recreation goes on where it was after any crash,
and a second failure in its middle, being of a condemned pod, starts no other.

Nothing here counts in memory: attempts and what a group stood at are in the status, the time of a failure is in the
pod's statuses or noted in an annotation, and waiting is a due time.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from modelinfer_controller.api import names
from modelinfer_controller.api.modelinfer import RecoveryPolicy
from modelinfer_controller.api.status import GroupRecord, RecreationRecord
from modelinfer_controller.planning.group import Group, available_since, evaluated, is_recorded
from modelinfer_controller.planning.pod_identity import InstanceKey, PodIdentity
from modelinfer_controller.planning.pod_view import EPOCH, PodView
from modelinfer_controller.planning.recovery_types import (
    WHOLE_GROUP,
    DelayedRecreate,
    Recovery,
    Recreation,
    Trigger,
    incarnation_due,
    is_within,
    scope_of,
    scopes_of,
)

FIRST_BACKOFF = timedelta(seconds=10)
MAX_BACKOFF = timedelta(minutes=5)
HEALTHY_PERIOD = timedelta(minutes=10)


def recover(group: Group, now: datetime) -> Group:
    """The group with what recovery decides for it. A group whose revision is lost is left as it is."""
    if not group.revision.payload:
        return evaluated(group, Recovery(group.record), now)
    noted = replace(group, record=_noted(group, now))
    found = _Findings(noted, now)
    triggers = found.triggers_by_scope()
    verdicts = [_verdict(scope, of_scope, noted, now) for scope, of_scope in triggers.items()]
    delayed = tuple(verdict for verdict in verdicts if isinstance(verdict, DelayedRecreate))
    recreations = tuple(verdict for verdict in verdicts if isinstance(verdict, Recreation))
    healthy, healthy_at = _healthy(noted, triggers, now)
    kept = {scope: record for scope, record in noted.record.recreations.items() if scope not in healthy}
    recovery = Recovery(
        record=replace_record(noted.record, recreations={**kept, **{one.scope: one.record for one in recreations}}),
        recreations=recreations,
        delayed=delayed,
        acknowledged=tuple(pod for pod in noted.own_pods if found.is_forgiven(pod)),
        failure_times=tuple(_failure_times(noted, delayed, now)),
        deleted=frozenset(
            trigger.identity for of_scope in triggers.values() for trigger in of_scope if trigger.failed_at is None
        ),
        wake_at=min([*(waiting.due for waiting in delayed), *healthy_at], default=None),
        is_final=not triggers and not noted.record.recreations and not _has_trouble(noted),
    )
    return evaluated(noted, recovery, now)


def replace_record(record: GroupRecord, recreations: Mapping[str, RecreationRecord]) -> GroupRecord:
    return GroupRecord(record.revision, record.instances, record.beyond, dict(recreations), record.suspended)


def _has_trouble(group: Group) -> bool:
    return any(pod.is_terminating or has_failed(pod) for pod in group.own_pods)


def has_failed(pod: PodView) -> bool:
    return not pod.is_terminating and (pod.has_new_restarts or bool(pod.finished_phase))


@dataclass(frozen=True)
class _Findings:
    """What has befallen the pods of a group."""

    group: Group
    now: datetime

    def triggers_by_scope(self) -> Mapping[str, Sequence[Trigger]]:
        found: dict[str, list[Trigger]] = {}
        for trigger in (*self._of_pods(), *self._of_missing_pods()):
            found.setdefault(scope_of(trigger.identity, self.group.desired.policy), []).append(trigger)
        return found

    def is_forgiven(self, pod: PodView) -> bool:
        """Whether its restarts are not held against it: it was ready again in time, or the kubelet alone sees to it."""
        if not self._is_judged(pod) or pod.is_terminating or pod.finished_phase or not pod.has_new_restarts:
            return False
        if self.group.desired.policy is RecoveryPolicy.NONE:
            return pod.is_ready
        grace = self.group.desired.grace
        return pod.is_ready and bool(grace) and (pod.ready_since or EPOCH) <= self._failed_at(pod) + grace

    def _is_judged(self, pod: PodView) -> bool:
        return pod in self.group.shape and pod.uid not in self.group.condemned

    def _failed_at(self, pod: PodView) -> datetime:
        return min(pod.failed_at or self.now, self.now)

    def _of_pods(self) -> Iterator[Trigger]:
        for pod in self.group.own_pods:
            if self._is_judged(pod) and (trigger := self._of_pod(pod)) is not None:
                yield trigger

    def _of_pod(self, pod: PodView) -> Trigger | None:
        policy = self.group.desired.policy
        if pod.is_terminating:
            if policy is RecoveryPolicy.NONE or not is_whole(pod.instance, self.group):
                return None
            return Trigger("deleted", pod.identity, pod.name, pod.end or "was deleted", None, self.now)
        failed_at = self._failed_at(pod)
        due = failed_at + self.group.desired.grace
        detail = f" ({pod.cause.reason}: {pod.cause.message})" if pod.cause is not None else ""
        if pod.finished_phase:
            return Trigger("failed", pod.identity, pod.name, f"has finished{detail}", failed_at, due, pod.was_killed)
        if not pod.has_new_restarts or policy is RecoveryPolicy.NONE or self.is_forgiven(pod):
            return None
        if self._has_sibling_on_its_way(pod):
            return None
        return Trigger("restarted", pod.identity, pod.name, f"has restarted{detail}", failed_at, due, pod.was_killed)

    def _has_sibling_on_its_way(self, pod: PodView) -> bool:
        """Whether another pod of its scope waits for a node or an image: its pull is worth more than this crash."""
        scope = scope_of(pod.identity, self.group.desired.policy)
        return any(
            other.waits_to_start and not other.is_terminating and scope in scopes_of(other.identity)
            for other in self.group.own_pods
        )

    def _of_missing_pods(self) -> Iterator[Trigger]:
        """Pods that were there and are not. Policy None simply creates them again."""
        group = self.group
        if group.desired.policy is RecoveryPolicy.NONE:
            return
        present = {pod.identity for pod in group.own_pods}
        for key in _recorded_instances(group):
            if not is_whole(key, group):
                continue
            for index in range(group.shape.roles[key.role].pods):
                identity = PodIdentity(group.ordinal, key.role, key.instance, index)
                if identity not in present:
                    name = names.pod_name(group.owner_name, *identity)
                    yield Trigger("deleted", identity, name, "was deleted", None, self.now)


def is_whole(key: InstanceKey, group: Group) -> bool:
    """Whether all pods of the instance have existed in its present incarnation, so that a missing one was deleted."""
    recreations = (group.record.recreations.get(scope) for scope in (WHOLE_GROUP, str(key)))
    return _is_recorded(key, group) and all(one is None or one.is_complete for one in recreations)


def _is_recorded(key: InstanceKey, group: Group) -> bool:
    role = group.shape.roles[key.role]
    return key.instance < group.record.instances.get(role.name, 0) or str(key) in group.record.beyond


def _recorded_instances(group: Group) -> Iterator[InstanceKey]:
    for name, role in group.shape.roles.items():
        for instance in range(min(group.record.instances.get(role.name, 0), role.instances)):
            yield InstanceKey(name, instance)
    if group.record.beyond:
        yield from sorted(key for key in {pod.instance for pod in group.pods} if str(key) in group.record.beyond)


def _verdict(scope: str, triggers: Sequence[Trigger], group: Group, now: datetime) -> Recreation | DelayedRecreate:
    last = group.record.recreations.get(scope, RecreationRecord())
    backoff = backoff_after(last.attempt)
    due, trigger = min(
        ((_due(trigger, last, backoff, now), trigger) for trigger in triggers),
        key=lambda pair: (pair[0], not pair[1].was_killed, pair[1].identity),
    )
    attempt = last.attempt + 1
    if due > now:
        return DelayedRecreate(scope, trigger, due, attempt, is_backoff=due > trigger.due)
    raised = next_incarnation(scope, group)
    record = RecreationRecord(max(raised, last.incarnation + 1), attempt, now, moved_from=last.moved_from)
    return Recreation(scope, record, trigger)


def next_incarnation(scope: str, group: Group) -> int:
    """Above that of every pod of the scope."""
    return 1 + max(
        (pod.incarnation for pod in group.own_pods if scope in scopes_of(pod.identity)),
        default=max((one.incarnation for one in group.record.recreations.values()), default=0),
    )


def _due(trigger: Trigger, last: RecreationRecord, backoff: timedelta, now: datetime) -> datetime:
    """A clock that was ahead makes no wait longer: no failure is later than now."""
    since = trigger.failed_at or last.at
    return trigger.due if since is None else max(trigger.due, min(since, now) + backoff)


def backoff_after(attempts: int) -> timedelta:
    """How long the next recreation waits after so many: none after none, then 10 s doubling to 5 min."""
    return timedelta(0) if attempts <= 0 else min(FIRST_BACKOFF * 2 ** min(attempts - 1, 10), MAX_BACKOFF)


def _failure_times(
    group: Group, delayed: Iterable[DelayedRecreate], now: datetime
) -> Iterator[tuple[PodView, datetime]]:
    """Failure times that are written to the pod, since its statuses will not keep them.

    A crash loop moves the times in its statuses while it waits, a node's clock may be ahead, and an evicted pod may
    have no time at all.
    """
    waiting = {one.scope for one in delayed}
    for pod in group.own_pods:
        if (
            has_failed(pod)
            and not pod.has_failure_note
            and (not pod.finished_phase or pod.failed_at is None or pod.failed_at > now)
            and pod in group.shape
            and scope_of(pod.identity, group.desired.policy) in waiting
        ):
            yield pod, min(pod.failed_at or now, now)


def _noted(group: Group, now: datetime) -> GroupRecord:
    """The record with what the pods show: which instances, and which recreated scopes, have all their pods."""
    record = group.record
    present = {pod.identity for pod in group.own_pods if not pod.is_terminating and pod.uid not in group.condemned}
    whole = _Whole(group, present)
    instances, beyond = whole.instances()
    recreations = {
        scope: _noted_recreation(scope, one, whole, now)
        for scope, one in record.recreations.items()
        if _is_part(scope, group)
    }
    suspended = {} if group.live_pods or group.desired.spec.suspend else record.suspended
    if (instances, beyond, recreations, suspended) == (
        record.instances,
        record.beyond,
        record.recreations,
        record.suspended,
    ):
        return record
    return GroupRecord(record.revision, instances, beyond, recreations, suspended)


def _noted_recreation(scope: str, one: RecreationRecord, whole: "_Whole", now: datetime) -> RecreationRecord:
    at = min(one.at, now) if one.at is not None else None  # a leader's clock may have been ahead
    is_complete = one.is_complete or whole.has_all_of(scope)
    return (
        one
        if (at, is_complete) == (one.at, one.is_complete)
        else RecreationRecord(one.incarnation, one.attempt, at, is_complete, one.moved_from)
    )


@dataclass(frozen=True)
class _Whole:
    """Which instances have all their pods. present: where there is a live pod of the present incarnation."""

    group: Group
    present: set[PodIdentity]

    def is_whole(self, key: InstanceKey) -> bool:
        pods = self.group.shape.roles[key.role].pods
        identities = (PodIdentity(self.group.ordinal, key.role, key.instance, index) for index in range(pods))
        return all(identity in self.present for identity in identities)

    def has_all_of(self, scope: str) -> bool:
        if not self.present:
            return False
        if scope == WHOLE_GROUP:
            shape = self.group.shape
            there = (identity for identity in self.present if identity.role in shape.roles)
            return sum(map(self._is_in_shape, there)) == shape.pod_count
        keys = {InstanceKey(identity.role, identity.instance) for identity in self.present}
        return any(is_within(key, scope) and self.is_whole(key) for key in keys if self.group.shape.has_instance(key))

    def _is_in_shape(self, identity: PodIdentity) -> bool:
        role = self.group.shape.roles[identity.role]
        return identity.instance < role.instances and identity.worker_index < role.pods

    def instances(self) -> tuple[dict[str, int], tuple[str, ...]]:
        """By role name as written: n, where instances 0..n-1 are or were whole; and the ids of those that are beyond.

        A role of no instances counts as well: that is what the group stands at.
        """
        group, counts = self.group, dict[str, int]()
        for name, role in group.shape.roles.items():
            count = min(group.record.instances.get(role.name, 0), role.instances)
            while count < role.instances and self._is_or_was_whole(InstanceKey(name, count)):
                count += 1
            if count or not role.instances:
                counts[role.name] = count
        keys = {InstanceKey(identity.role, identity.instance) for identity in self.present}
        beyond = sorted(
            str(key)
            for key in {*keys, *(pod.instance for pod in group.pods)}
            if group.shape.has_instance(key)
            and key.instance > counts.get(group.shape.roles[key.role].name, 0)
            and self._is_or_was_whole(key)
        )
        return counts, tuple(beyond)

    def _is_or_was_whole(self, key: InstanceKey) -> bool:
        return str(key) in self.group.record.beyond or self.is_whole(key)


def _is_part(scope: str, group: Group) -> bool:
    """Whether the scope is still part of the group: a role that was scaled down takes its records along."""
    if scope == WHOLE_GROUP:
        return True
    instance, _, _ = scope.partition("/")
    role, _, number = instance.rpartition("-")
    return number.isdecimal() and group.shape.has_instance(InstanceKey(role, int(number)))


def _healthy(group: Group, triggers: Mapping[str, Sequence[Trigger]], now: datetime) -> tuple[set[str], list[datetime]]:
    """Scopes whose recreation is forgotten now, and when those that are healthy will be.

    Healthy is what makes the group available: an optional instance that never gets ready keeps no back-off alive.
    """
    healthy: set[str] = set()
    healthy_at: list[datetime] = []
    for scope, one in group.record.recreations.items():
        since = _healthy_since(scope, group, now)
        if not one.is_complete or scope in triggers or since is None or any(one.moved_from):
            continue
        # A hand-over is no attempt, and no back-off needs its record.
        healthy_from = since + (HEALTHY_PERIOD if one.attempt else group.desired.min_ready)
        if healthy_from <= now:
            healthy.add(scope)
        else:
            healthy_at.append(healthy_from)
    return healthy, healthy_at


def _healthy_since(scope: str, group: Group, now: datetime) -> datetime | None:
    if scope == WHOLE_GROUP:
        since = available_since(group)
        return None if since is None else since or now
    pods = [pod for pod in group.own_pods if scope in scopes_of(pod.identity)]
    if not all(pod.is_ready for pod in pods):
        return None
    return max((pod.ready_since or now for pod in pods), default=now)


def blocked_scopes(group: Group) -> frozenset[str]:
    """Scopes in which nothing may be made yet, because pods of an earlier incarnation are still there."""
    recreations = group.record.recreations
    if not recreations:
        return frozenset()
    return frozenset(
        scope
        for pod in group.own_pods
        for scope in scopes_of(pod.identity)
        if scope in recreations and pod.incarnation < recreations[scope].incarnation
    )


def incarnation_of_new(identity: PodIdentity, group: Group) -> int:
    siblings = (pod.incarnation for pod in group.own_pods if pod.instance == (identity.role, identity.instance))
    return max([incarnation_due(identity, group.record), *siblings])


__all__ = [
    "backoff_after",
    "blocked_scopes",
    "has_failed",
    "incarnation_of_new",
    "is_recorded",
    "is_whole",
    "next_incarnation",
    "recover",
]
