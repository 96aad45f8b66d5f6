"""The hand-over: what of a group is on nodes that leave, and how it moves off them at its own revision.

A move is a recreation without an attempt: a record in the status raises the incarnation of its scope before anything is
deleted, so it goes on where it was after any crash. What is drained first is drained before that.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from modelinfer_controller.api.modelinfer import NodeDrainPolicy, RecoveryPolicy
from modelinfer_controller.api.status import GroupRecord, RecreationRecord
from modelinfer_controller.planning.group import Group, evaluated
from modelinfer_controller.planning.needs.removal import remove
from modelinfer_controller.planning.nodes import LeavingNode, Nodes
from modelinfer_controller.planning.observed import Owner
from modelinfer_controller.planning.pod_identity import InstanceKey, PodIdentity
from modelinfer_controller.planning.pod_view import PodView
from modelinfer_controller.planning.recovery import next_incarnation, replace_record
from modelinfer_controller.planning.recovery_types import RETURNED, WHOLE_GROUP, scopes_of
from modelinfer_controller.planning.replacement import OnLeavingNode, reason_text
from modelinfer_controller.planning.rollout_budget import budget_of

# `kubectl drain` tries a refused eviction again after 5 s, by the pod's name and whoever bears it then. So a name stays
# free for longer than that, or the drain would go on for ever about the new pod, which is healthy.
# source: k8s.io/kubectl, pkg/drain, evictPods
NAME_STAYS_FREE = timedelta(seconds=7)


def forget_returned(group: Group, nodes: Nodes) -> Group:
    """The group without marks of nodes that are schedulable again or gone: they may leave another time.

    That it moves, and needs an extra group until it is available again, is remembered by RETURNED.
    """
    recreations = group.record.recreations
    if not nodes.are_known or not any(one.moved_from for one in recreations.values()):
        return group
    kept = {scope: _without(one, nodes) for scope, one in recreations.items()}
    return group if kept == recreations else replace(group, record=replace_record(group.record, kept))


def _without(one: RecreationRecord, nodes: Nodes) -> RecreationRecord:
    still = tuple(node for node in one.moved_from if node in nodes.leaving)
    still = still or (RETURNED,) if one.moved_from else ()
    return RecreationRecord(one.incarnation, one.attempt, one.at, one.is_complete, still)


def moves_due(owner: Owner, groups: Mapping[int, Group], nodes: Nodes) -> Mapping[int, OnLeavingNode]:
    """By ordinal, what is to move next of each group with a live pod on a leaving node. Most affected node first.

    Without a surge and with RoleRecreate that is one role instance after another, else the whole group.
    """
    if owner.spec.node_drain_policy is not NodeDrainPolicy.HAND_OVER or not nodes.leaving or owner.spec.suspend:
        return {}
    by_instance = owner.spec.recovery_policy is RecoveryPolicy.ROLE_RECREATE and not budget_of(owner.spec).max_surge
    stranded = {ordinal: found for ordinal, group in groups.items() if (found := _stranded(group, nodes))}
    affected = Counter(node for pods in stranded.values() for node in {pod.node for pod in pods})
    return {
        ordinal: _next_move(groups[ordinal], pods, affected, nodes.leaving, by_instance=by_instance)
        for ordinal, pods in stranded.items()
    }


def _stranded(group: Group, nodes: Nodes) -> list[PodView]:
    """Live pods on leaving nodes that were not moved off them before, and do not go for another reason.

    What drains goes when the drain ends, also where recovery would recreate it at once.
    """
    return [
        pod
        for pod in group.live_pods
        if pod.node in nodes.leaving
        and pod in group.shape
        and (pod.uid not in group.condemned or pod.drain_deadline is not None)
        and not _was_moved(pod, group)
    ]


def _was_moved(pod: PodView, group: Group) -> bool:
    recreations = group.record.recreations
    return any(scope in recreations and pod.node in recreations[scope].moved_from for scope in scopes_of(pod.identity))


def _next_move(
    group: Group,
    pods: Sequence[PodView],
    affected: Mapping[str, int],
    leaving: Mapping[str, LeavingNode],
    *,
    by_instance: bool,
) -> OnLeavingNode:
    def turn(pod: PodView) -> tuple[bool, int, str, int]:
        return pod.drain_deadline is None, -affected[pod.node], pod.identity.role, -pod.identity.instance

    first = min(pods, key=turn)
    node = leaving[first.node]
    if not by_instance:
        return OnLeavingNode(node.name, node.why, affected[node.name])
    scope = str(first.instance)
    return OnLeavingNode(
        node.name,
        node.why,
        affected[node.name],
        scope,
        is_disruptive=not _can_spare(group, first.instance),
        waits_for=_moving_instance(group, scope),
    )


def _can_spare(group: Group, instance: InstanceKey) -> bool:
    """Whether the group is available without this instance."""
    role = group.shape.roles[instance.role]
    others = group.ready_instances(instance.role) - group.is_ready(instance)
    return group.is_available and others >= group.minimum(role)


def _moving_instance(group: Group, scope: str) -> str:
    """The instance that moves now.

    Of a group that is not available, one whose pods are all made is waited for no longer.
    """
    for other, one in group.record.recreations.items():
        if other in (scope, WHOLE_GROUP) or not one.moved_from:
            continue
        pods = [pod for pod in group.live_pods if other in scopes_of(pod.identity)]
        if not one.is_complete or (group.is_available and not all(pod.is_ready for pod in pods)):
            return other
    return ""


def hand_over(group: Group, move: OnLeavingNode, nodes: Nodes, now: datetime) -> Group:
    """The group as it moves: its pods drain, or its record says that they are to be made anew."""
    # Surplus pods go by themselves, drained as well.
    pods = [pod for pod in group.live_pods if pod in group.shape and move.scope in scopes_of(pod.identity)]
    removal = remove(pods, reason_text(move), group.desired, now)
    moving = _without_recoveries(replace(group, move=move), move.scope)
    if removal.wake_at is not None:
        return replace(moving, removal=removal, is_available=group.is_available and not move.is_disruptive)
    return _begun(moving, move.scope, {pod.node for pod in pods if pod.node in nodes.leaving}, now)


def _without_recoveries(group: Group, scope: str) -> Group:
    """The group without recreations that were to begin now in the scope: what is lost there is made anew with it."""
    recovery, stored = group.recovery, group.stored_record.recreations
    begun = {one.scope for one in recovery.recreations if _covers(scope, one.scope)}
    earlier = {name: stored[name] for name in begun if name in stored}
    kept = {name: one for name, one in group.record.recreations.items() if name not in begun}
    record = replace_record(group.record, {**kept, **earlier})
    settled = replace(
        recovery,
        record=record,
        recreations=tuple(one for one in recovery.recreations if one.scope not in begun),
        delayed=tuple(one for one in recovery.delayed if not _covers(scope, one.scope)),
    )
    return replace(group, record=record, recovery=settled)


def _covers(scope: str, other: str) -> bool:
    return scope in (WHOLE_GROUP, other) or other.startswith(f"{scope}/")


def _begun(group: Group, scope: str, nodes: Iterable[str], now: datetime) -> Group:
    last = group.record.recreations.get(scope, RecreationRecord())
    incarnation = max(next_incarnation(scope, group), last.incarnation + 1)
    marks = tuple(sorted({*last.moved_from, *nodes}))
    move = RecreationRecord(incarnation, last.attempt, now, is_complete=False, moved_from=marks)
    record: GroupRecord = replace_record(group.record, {**group.record.recreations, scope: move})
    return evaluated(group, replace(group.recovery, record=record), now)


def taken_down_for_both(group: Group, goal: str, nodes: Nodes, now: datetime) -> GroupRecord:
    """The record of a group that leaves a node and its revision at once: a mark without an incarnation of its own."""
    marks = tuple(sorted({pod.node for pod in group.live_pods if pod.node in nodes.leaving}))
    return GroupRecord(revision=goal, recreations={WHOLE_GROUP: RecreationRecord(at=now, moved_from=marks)})


def scopes_kept_free(group: Group, now: datetime) -> Mapping[str, datetime]:
    """Scopes that have just been moved, and until when nothing is made there."""
    return {
        scope: one.at + NAME_STAYS_FREE
        for scope, one in group.record.recreations.items()
        if one.moved_from and not one.is_complete and one.at is not None and now < one.at + NAME_STAYS_FREE
    }


def is_moving(group: Group) -> bool:
    """Whether it was handed over and is not available again."""
    return not group.is_available and any(one.moved_from for one in group.record.recreations.values())


def is_drained_first(pod: PodIdentity, group: Group) -> bool:
    """Whether the pod belongs to what drains before it moves: nothing is made or put right there meanwhile."""
    return group.removal is not None and group.move is not None and group.move.scope in scopes_of(pod)
