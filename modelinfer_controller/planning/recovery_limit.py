"""How many recreations a status remembers: a lost node pool must not make it larger than etcd takes."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import datetime

from modelinfer_controller.planning.group import Group, evaluated
from modelinfer_controller.planning.pod_view import EPOCH
from modelinfer_controller.planning.recovery import replace_record
from modelinfer_controller.planning.recovery_types import DelayedRecreate

MOST_RECREATIONS = 4000  # records of at most 90 bytes


def limit_recreations(groups: Mapping[int, Group], now: datetime) -> dict[int, Group]:
    """The groups with at most MOST_RECREATIONS records between them.

    Recreations that would be too many wait for others to end. Those that are over, and remembered for the back-off,
    make room: the oldest are forgotten.
    """
    limited = dict(groups)
    excess = sum(len(group.record.recreations) for group in groups.values()) - MOST_RECREATIONS
    if excess <= 0:
        return limited
    for ordinal, scope in list(_finished(groups))[:excess]:
        limited[ordinal] = _forget(limited[ordinal], scope, now)
        excess -= 1
    for ordinal in sorted(groups, reverse=True):
        if excess <= 0:
            break
        if added := _added_scopes(groups[ordinal]):
            waiting = added[-excess:]
            limited[ordinal] = _put_back(limited[ordinal], frozenset(waiting), now)
            excess -= len(waiting)
    return limited


def _added_scopes(group: Group) -> list[str]:
    """Of recreations that begin now and need a record more. One that is the next of its scope takes its place."""
    return [one.scope for one in group.recovery.recreations if one.scope not in group.stored_record.recreations]


def _finished(groups: Mapping[int, Group]) -> Iterator[tuple[int, str]]:
    """Records of recreations that are over, oldest first."""
    found = (
        (record.at or EPOCH, ordinal, scope)
        for ordinal, group in groups.items()
        for scope, record in group.stored_record.recreations.items()
        if record.is_complete and group.record.recreations.get(scope) == record
    )
    yield from ((ordinal, scope) for _, ordinal, scope in sorted(found))


def _forget(group: Group, scope: str, now: datetime) -> Group:
    kept = {name: record for name, record in group.record.recreations.items() if name != scope}
    return evaluated(group, replace(group.recovery, record=replace_record(group.record, kept)), now)


def _put_back(group: Group, scopes: frozenset[str], now: datetime) -> Group:
    """The group without the recreations of these scopes, which were to begin now: they wait for their turn."""
    kept = {scope: record for scope, record in group.record.recreations.items() if scope not in scopes}
    begun = group.recovery.recreations
    waiting = tuple(
        DelayedRecreate(one.scope, one.trigger, now, one.record.attempt, is_backoff=False)
        for one in begun
        if one.scope in scopes
    )
    recovery = replace(
        group.recovery,
        record=replace_record(group.record, kept),
        recreations=tuple(one for one in begun if one.scope not in scopes),
        delayed=(*group.recovery.delayed, *waiting),
    )
    return evaluated(group, recovery, now)
