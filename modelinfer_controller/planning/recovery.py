"""Recovery: what a failed, restarted, finished or deleted pod leads to, by policy, with grace and back-off.

A scope is what is rebuilt together: the whole group, one role instance, or (policy None) one pod. A rebuild is a record
in the status that raises the scope's incarnation; pods of a lower incarnation are condemned, and nothing is made in the
scope before they are gone. So a rebuild goes on where it was after any crash, and a second failure in its middle, being
of a condemned pod, starts no other.

Nothing here counts in memory: attempts and completeness are in the status, the time of a failure is in the pod's
statuses or noted in an annotation, and waiting is a due time.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from modelinfer_controller.api import names
from modelinfer_controller.api.modelinfer import RecoveryPolicy
from modelinfer_controller.api.status import GroupRecord, RebuildRecord
from modelinfer_controller.planning.pod_identity import InstanceKey, PodIdentity
from modelinfer_controller.planning.pod_view import EPOCH, PodView

WHOLE_GROUP = "*"
FIRST_BACKOFF = timedelta(seconds=10)
MAX_BACKOFF = timedelta(minutes=5)
HEALTHY_PERIOD = timedelta(minutes=10)


@dataclass(frozen=True)
class GroupShape:
    """The pods that a group is to have: instances and, for each, how many pods; in the order of the roles."""

    pod_count_by_instance: Mapping[InstanceKey, int]
    role_names: Mapping[str, str]  # lower-case name -> name as written, which the record uses

    def identities(self, group: int) -> Iterator[PodIdentity]:
        for key, pod_count in self.pod_count_by_instance.items():
            for index in range(pod_count):
                yield PodIdentity(group, key.role, key.instance, index)

    def __contains__(self, pod: PodView) -> bool:
        return pod.identity.worker_index < self.pod_count_by_instance.get(pod.instance, 0)


@dataclass(frozen=True, slots=True)
class Trigger:
    """A reason to rebuild, and from when on: the grace period's end."""

    identity: PodIdentity
    pod: str
    why: str
    failed_at: datetime | None  # None: deleted, and nobody knows when
    due: datetime


@dataclass(frozen=True, slots=True)
class Rebuild:
    """A rebuild that starts now."""

    scope: str
    record: RebuildRecord
    trigger: Trigger


@dataclass(frozen=True, slots=True)
class Postponed:
    """A rebuild that waits for its grace period or back-off."""

    scope: str
    trigger: Trigger
    due: datetime
    attempt: int
    is_backoff: bool


@dataclass(frozen=True)
class Recovery:
    """What recovery decides for one group; `record` is the group's record as it is to be from now on."""

    record: GroupRecord
    rebuilds: tuple[Rebuild, ...] = ()
    postponed: tuple[Postponed, ...] = ()
    acknowledge: tuple[PodView, ...] = ()  # recovered in time, or not ours to judge: not held against them later
    note_failure: tuple[tuple[PodView, datetime], ...] = ()
    lost: frozenset[PodIdentity] = frozenset()  # deleted by someone else: made again with their scope, not one by one
    requeue_at: datetime | None = None


@dataclass(frozen=True)
class Ground:
    """One group as recovery sees it: the pods of its own revision (live and terminating) and what they should be."""

    owner: str
    group: int
    policy: RecoveryPolicy
    grace: timedelta
    shape: GroupShape
    record: GroupRecord
    pods: Sequence[PodView]
    now: datetime


def is_settled(record: GroupRecord) -> bool:
    """Whether there is anything to remember: the group was complete, with pods, or is being rebuilt."""
    return any(record.complete.values()) or bool(record.rebuilds)


def scopes_of(identity: PodIdentity) -> tuple[str, str, str]:
    """Every scope that a pod can be rebuilt in, widest first."""
    instance = f"{identity.role}-{identity.instance}"
    return WHOLE_GROUP, instance, f"{instance}/{identity.worker_index}"


def scope_of(identity: PodIdentity, policy: RecoveryPolicy) -> str:
    match policy:
        case RecoveryPolicy.INFER_GROUP_RECREATE:
            return WHOLE_GROUP
        case RecoveryPolicy.ROLE_RECREATE:
            return scopes_of(identity)[1]
        case RecoveryPolicy.NONE:
            return scopes_of(identity)[2]


def incarnation_due(identity: PodIdentity, record: GroupRecord) -> int:
    """The incarnation that the pod of this identity is to have at least."""
    if not record.rebuilds:
        return 0
    return max((record.rebuilds[s].incarnation for s in scopes_of(identity) if s in record.rebuilds), default=0)


def is_condemned(pod: PodView, record: GroupRecord) -> bool:
    return pod.incarnation < incarnation_due(pod.identity, record)


def blocked_scopes(pods: Iterable[PodView], record: GroupRecord) -> frozenset[str]:
    """Scopes in which nothing may be made yet, because pods of an earlier incarnation are still there."""
    if not record.rebuilds:
        return frozenset()
    return frozenset(
        scope
        for pod in pods
        for scope in scopes_of(pod.identity)
        if scope in record.rebuilds and pod.incarnation < record.rebuilds[scope].incarnation
    )


def is_timeless(ground: Ground) -> bool:
    """Whether what `recover` decides is the same at any time: nothing has failed, is missing or was rebuilt."""
    if ground.record.rebuilds or any(pod.is_terminating or _has_failed(pod) for pod in ground.pods):
        return False
    if not is_settled(ground.record):
        return True
    present = {pod.identity for pod in ground.pods}
    return all(identity in present for identity in ground.shape.identities(ground.group))


def recover(ground: Ground) -> Recovery:
    """Decide for one group that lives on."""
    record = _noting_completeness(ground)
    triggers: dict[str, list[Trigger]] = {}
    acknowledge: list[PodView] = []
    for pod in ground.pods:
        if pod not in ground.shape or is_condemned(pod, record):
            continue
        match _judge(pod, ground, record):
            case Trigger() as trigger:
                triggers.setdefault(scope_of(pod.identity, ground.policy), []).append(trigger)
            case "recovered":
                acknowledge.append(pod)
            case None:
                pass
    lost = tuple(_missing(ground, record))
    for trigger in lost:
        triggers.setdefault(scope_of(trigger.identity, ground.policy), []).append(trigger)
    decided = _decide(ground, record, triggers)
    return replace(decided, acknowledge=tuple(acknowledge), lost=frozenset(trigger.identity for trigger in lost))


def _decide(ground: Ground, record: GroupRecord, triggers: Mapping[str, Sequence[Trigger]]) -> Recovery:
    verdicts = [_verdict(scope, found, ground, record) for scope, found in triggers.items()]
    rebuilds = tuple(verdict for verdict in verdicts if isinstance(verdict, Rebuild))
    postponed = tuple(verdict for verdict in verdicts if isinstance(verdict, Postponed))
    healthy, healthy_at = _healthy(ground, record, triggers)
    kept = {scope: rebuild for scope, rebuild in record.rebuilds.items() if scope not in healthy}
    kept |= {rebuild.scope: rebuild.record for rebuild in rebuilds}
    return Recovery(
        record=GroupRecord(revision=record.revision, complete=record.complete, rebuilds=kept),
        rebuilds=rebuilds,
        postponed=postponed,
        note_failure=tuple(_unnoted(ground, postponed)),
        requeue_at=min([*(waiting.due for waiting in postponed), *healthy_at], default=None),
    )


def _judge(pod: PodView, ground: Ground, record: GroupRecord) -> Trigger | str | None:
    """A Trigger, "recovered", or None for a pod that needs nothing."""
    why = pod.cause
    detail = f"{why.reason}: {why.message}" if why is not None else ""
    if pod.is_terminating:
        if ground.policy is RecoveryPolicy.NONE or not _was_built(pod, ground, record):
            return None
        return Trigger(pod.identity, pod.name, "was deleted", None, ground.now)
    failed_at = min(pod.failed_at or ground.now, ground.now)
    due = failed_at + ground.grace
    if pod.finished_phase:
        return Trigger(pod.identity, pod.name, f"has finished ({detail})", failed_at, due)
    if not pod.has_new_restarts:
        return None
    if ground.policy is RecoveryPolicy.NONE:
        return "recovered" if pod.is_ready else None
    if pod.is_ready and ground.grace and (pod.ready_since or EPOCH) <= due:
        return "recovered"
    return Trigger(pod.identity, pod.name, f"has restarted ({detail})" if detail else "has restarted", failed_at, due)


def _was_built(pod: PodView, ground: Ground, record: GroupRecord) -> bool:
    """Whether a terminating pod's instance is worth a rebuild: it was complete, or some of it still lives."""
    live = any(other.instance == pod.instance and not other.is_terminating for other in ground.pods)
    return live or _is_complete(pod.instance, ground, record)


def _is_complete(key: InstanceKey, ground: Ground, record: GroupRecord) -> bool:
    """Whether all pods of the instance have existed in its present incarnation, so that a missing one was deleted."""
    rebuilds = (record.rebuilds.get(scope) for scope in (WHOLE_GROUP, str(key)))
    return key.instance < record.complete.get(ground.shape.role_names[key.role], 0) and all(
        rebuild is None or rebuild.complete for rebuild in rebuilds
    )


def _missing(ground: Ground, record: GroupRecord) -> Iterator[Trigger]:
    """Pods that were there and are not. Policy None simply makes them again."""
    if ground.policy is RecoveryPolicy.NONE or not record.complete:
        return
    present = {pod.identity for pod in ground.pods}
    for identity in ground.shape.identities(ground.group):
        key = InstanceKey(identity.role, identity.instance)
        if identity not in present and _is_complete(key, ground, record):
            yield Trigger(identity, names.pod_name(ground.owner, *identity), "was deleted", None, ground.now)


def _verdict(scope: str, triggers: Sequence[Trigger], ground: Ground, record: GroupRecord) -> Rebuild | Postponed:
    last = record.rebuilds.get(scope, RebuildRecord())
    backoff = backoff_after(last.attempt)
    due_by_trigger = [(_due(trigger, last, backoff), trigger) for trigger in triggers]
    due, trigger = min(due_by_trigger, key=lambda pair: (pair[0], pair[1].identity))
    attempt = last.attempt + 1
    if due > ground.now:
        return Postponed(scope, trigger, due, attempt, is_backoff=due > trigger.due)
    raised = 1 + max(
        (pod.incarnation for pod in ground.pods if scope in scopes_of(pod.identity)),
        default=max((rebuild.incarnation for rebuild in record.rebuilds.values()), default=0),
    )
    incarnation = max(raised, last.incarnation + 1)
    cause = f"{trigger.pod} {trigger.why}"
    return Rebuild(scope, RebuildRecord(incarnation=incarnation, attempt=attempt, at=ground.now, cause=cause), trigger)


def _due(trigger: Trigger, last: RebuildRecord, backoff: timedelta) -> datetime:
    since = trigger.failed_at or last.at
    return max(trigger.due, since + backoff) if since is not None else trigger.due


def backoff_after(attempts: int) -> timedelta:
    """How long the next rebuild waits after so many: none after none, then 10 s doubling to 5 min."""
    return timedelta(0) if attempts <= 0 else min(FIRST_BACKOFF * 2 ** min(attempts - 1, 10), MAX_BACKOFF)


def _unnoted(ground: Ground, postponed: Iterable[Postponed]) -> Iterator[tuple[PodView, datetime]]:
    """Pods whose failure's time must be noted: a crash loop moves the times in its statuses while it waits, a node's
    clock may be ahead, and an evicted pod may say no time at all."""
    waiting = {waiting.scope for waiting in postponed}
    for pod in ground.pods:
        if (
            _has_failed(pod)
            and not pod.has_failure_note
            and (not pod.finished_phase or pod.failed_at is None or pod.failed_at > ground.now)
            and pod in ground.shape
            and scope_of(pod.identity, ground.policy) in waiting
        ):
            yield pod, min(pod.failed_at or ground.now, ground.now)


def _has_failed(pod: PodView) -> bool:
    return not pod.is_terminating and (pod.has_new_restarts or bool(pod.finished_phase))


def _noting_completeness(ground: Ground) -> GroupRecord:
    """The record with what the pods show: which instances, and which rebuilt scopes, have all their pods."""
    record = ground.record
    live = {pod.identity for pod in ground.pods if not pod.is_terminating and not is_condemned(pod, record)}
    missing = {InstanceKey(p.role, p.instance) for p in ground.shape.identities(ground.group) if p not in live}
    rebuilds = {
        scope: rebuild
        if rebuild.complete or any(_is_within(key, scope) for key in missing) or not live
        else RebuildRecord(rebuild.incarnation, rebuild.attempt, rebuild.at, True, rebuild.cause)
        for scope, rebuild in record.rebuilds.items()
        if _exists(scope, ground)
    }
    return GroupRecord(revision=record.revision, complete=_complete(ground, missing), rebuilds=rebuilds)


def _is_within(key: InstanceKey, scope: str) -> bool:
    return scope == WHOLE_GROUP or scope == str(key) or scope.startswith(f"{key}/")


def _exists(scope: str, ground: Ground) -> bool:
    """Whether the scope is still part of the group: a role that was scaled down takes its records along."""
    return scope == WHOLE_GROUP or any(
        scope in scopes_of(identity)[1:] for identity in ground.shape.identities(ground.group)
    )


def _complete(ground: Ground, missing: set[InstanceKey]) -> dict[str, int]:
    """Instances 0..n-1 of each role that are or were complete; learnt only while the whole group is complete.

    A role of no instances counts as well, so that a group that waits for its turn is known to have none.
    """
    counts = dict.fromkeys(ground.shape.role_names.values(), 0) if not missing else dict[str, int]()
    for key in ground.shape.pod_count_by_instance:
        name = ground.shape.role_names[key.role]
        was_complete = key.instance < ground.record.complete.get(name, 0)
        if was_complete or not missing:
            counts[name] = key.instance + 1
    return counts


def _healthy(
    ground: Ground, record: GroupRecord, triggers: Mapping[str, Sequence[Trigger]]
) -> tuple[set[str], list[datetime]]:
    """Scopes whose rebuild is forgotten now, and when those that are healthy will be."""
    healthy: set[str] = set()
    healthy_at: list[datetime] = []
    for scope, rebuild in record.rebuilds.items():
        pods = [pod for pod in ground.pods if scope in scopes_of(pod.identity)]
        if not rebuild.complete or scope in triggers or not all(pod.is_ready for pod in pods):
            continue
        since = max((pod.ready_since or ground.now for pod in pods), default=ground.now)
        if since + HEALTHY_PERIOD <= ground.now:
            healthy.add(scope)
        else:
            healthy_at.append(since + HEALTHY_PERIOD)
    return healthy, healthy_at
