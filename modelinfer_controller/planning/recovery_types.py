"""What recovery decides for one group, and the scopes that are recreated together.

A scope is the whole group, one role instance, or (policy None) one pod.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import assert_never

from modelinfer_controller.api.modelinfer import RecoveryPolicy
from modelinfer_controller.api.status import GroupRecord, RecreationRecord
from modelinfer_controller.planning.pod_identity import InstanceKey, PodIdentity
from modelinfer_controller.planning.pod_view import PodView

WHOLE_GROUP = "*"
RETURNED = ""  # in a record's moved_from: in place of nodes that are schedulable again or gone
TRIGGER_KINDS = ("deleted", "failed", "restarted")


@dataclass(frozen=True, slots=True)
class Trigger:
    """A reason to recreate a scope, and from when on: the end of the grace period.

    kind: one of TRIGGER_KINDS. failed_at: None of a deletion, of which nobody knows when it was.
    """

    kind: str
    identity: PodIdentity
    pod: str
    why: str
    failed_at: datetime | None
    due: datetime
    was_killed: bool = False  # comes before the exits that it led to, where all are of one second


@dataclass(frozen=True, slots=True)
class Recreation:
    """A recreation that begins now."""

    scope: str
    record: RecreationRecord
    trigger: Trigger


@dataclass(frozen=True, slots=True)
class DelayedRecreate:
    """A recreation that waits for its grace period or back-off."""

    scope: str
    trigger: Trigger
    due: datetime
    attempt: int
    is_backoff: bool


@dataclass(frozen=True)
class Recovery:
    """record: the group's, as it is to be from now on. deleted: made again with their scope, not one by one.

    acknowledged: pods whose restarts are not held against them later: they recovered in time, or the policy is None.
    failure_times: when the failure of a pod began, where the pod's own statuses will not keep it.
    is_final: the same would be decided at any other time.
    """

    record: GroupRecord
    recreations: tuple[Recreation, ...] = ()
    delayed: tuple[DelayedRecreate, ...] = ()
    acknowledged: tuple[PodView, ...] = ()
    failure_times: tuple[tuple[PodView, datetime], ...] = ()
    deleted: frozenset[PodIdentity] = frozenset()
    wake_at: datetime | None = None
    is_final: bool = False


NO_RECOVERY = Recovery(GroupRecord())


def scopes_of(identity: PodIdentity) -> tuple[str, str, str]:
    """Every scope that a pod can be recreated in, widest first."""
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
        case _:
            assert_never(policy)


def is_within(key: InstanceKey, scope: str) -> bool:
    """Whether recreating the scope concerns a role instance."""
    return scope == WHOLE_GROUP or scope == str(key) or scope.startswith(f"{key}/")


def incarnation_due(identity: PodIdentity, record: GroupRecord) -> int:
    """The incarnation that the pod of this identity is to have at least."""
    if not record.recreations:
        return 0
    return max((record.recreations[s].incarnation for s in scopes_of(identity) if s in record.recreations), default=0)


def scope_text(ordinal: int, scope: str) -> str:
    return f"group {ordinal}" if scope == WHOLE_GROUP else f"{scope} of group {ordinal}"
