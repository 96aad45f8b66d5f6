"""All that one group needs now, in order: its PodGroup, its Services, then its pods."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from itertools import chain

from modelinfer_controller.api import names
from modelinfer_controller.api.reasons import Cause, Reason
from modelinfer_controller.planning.actions import Action, GroupPlan
from modelinfer_controller.planning.group import Group, is_recorded
from modelinfer_controller.planning.hand_over import scopes_kept_free
from modelinfer_controller.planning.needs import pods
from modelinfer_controller.planning.needs.creation_order import leaders_and_followers, missing_now
from modelinfer_controller.planning.needs.pod_groups import pod_group_actions, pod_group_deletions
from modelinfer_controller.planning.needs.removal import remove
from modelinfer_controller.planning.needs.services import (
    NameConflicts,
    service_actions,
    service_deletions,
    service_name,
)
from modelinfer_controller.planning.pod_identity import InstanceKey, PodIdentity
from modelinfer_controller.planning.recovery_types import scopes_of

PODS_PER_PASS = 2048  # of one group: what a pass carries out at most


@dataclass(frozen=True)
class Needs:
    """plan: what to do. causes: of what only the user can mend: a name that is taken, a revision that is gone."""

    plan: GroupPlan
    causes: tuple[Cause, ...] = ()
    is_final: bool = False  # the same at any time


def needs_of(group: Group, name_conflicts: NameConflicts, now: datetime) -> Needs:
    """For a group that lives on. name_conflicts: names that are taken, as in Observed."""
    if not group.revision.payload:
        return _lost_revision(group)
    before_pods, is_gated = pod_group_actions(group, name_conflicts)
    kept_free = scopes_kept_free(group, now)
    missing = [
        identity
        for identity in missing_now(group, PODS_PER_PASS)
        if not kept_free or kept_free.keys().isdisjoint(scopes_of(identity))
    ]
    taken = {
        identity: by
        for identity in missing
        if (by := name_conflicts.get(("Pod", names.pod_name(group.owner_name, *identity))))
    }
    creations = [] if is_gated else [pods.creation(identity, group) for identity in missing if identity not in taken]
    surplus = pods.surplus_removals(group, now)
    surplus += [group.removal] if group.removal is not None else []
    leaders, followers = leaders_and_followers(creations, group)
    services = service_actions(group, _instances(group, missing), name_conflicts)
    going = (*pods.deletions(group), *chain.from_iterable(one.actions for one in surplus))
    steps = (before_pods, list(services), [*going, *pods.repairs(group), *leaders], followers)
    drains = [one.wake_at for one in surplus if one.wake_at is not None]
    wakes = [*drains, *kept_free.values(), *([group.wake_at] if group.wake_at is not None else [])]
    moves_now = group.move is not None and group.removal is None
    needs_record = bool(group.recovery.recreations) or moves_now or _shrinks(group)
    is_recreating = any(not one.is_complete for one in group.record.recreations.values())
    plan = GroupPlan(group.ordinal, _filled(steps), needs_record, is_recreating, min(wakes, default=None))
    causes = tuple(_causes(group, taken, name_conflicts)) if name_conflicts else ()
    return Needs(plan, causes, is_final=group.is_final and not drains)


def _filled(steps: Iterable[Iterable[Action]]) -> tuple[tuple[Action, ...], ...]:
    return tuple(step for step in map(tuple, steps) if step)


def _lost_revision(group: Group) -> Needs:
    what = "its pods are left as they are" if group.pods else "nothing is created at another revision instead"
    lost = f"ControllerRevision {group.revision.name} of the group is gone or has other data: {what}; "
    lost += "restore it, or update the group"
    return Needs(GroupPlan(group.ordinal), (Cause(Reason.REVISION_MISSING, lost),), is_final=True)


def _shrinks(group: Group) -> bool:
    """Whether pods of recorded instances go because their role has fewer replicas now.

    Its record must forget them first: else their absence would look like somebody else's deletion after a restart.
    """
    before = group.stored_record
    return any(
        before.instances.get(role.name, 0) > role.instances
        and any(pod.identity.role == name and pod.identity.instance >= role.instances for pod in group.live_pods)
        for name, role in group.shape.roles.items()
    )


def _instances(group: Group, missing: Iterable[PodIdentity]) -> list[InstanceKey]:
    """Those that have pods or get some now: the Services of others are made with their pods, and not ahead of them."""
    found = {pod.instance for pod in group.pods}
    found |= {InstanceKey(identity.role, identity.instance) for identity in missing}
    order = {name: position for position, name in enumerate(group.shape.roles)}
    return sorted((key for key in found if key.role in order), key=lambda key: (order[key.role], key.instance))


def _causes(group: Group, taken: Mapping[PodIdentity, str], name_conflicts: NameConflicts) -> Iterable[Cause]:
    needed = [("PodGroup", group.name)] if group.template.gang_scheduler else []
    for key in group.shape.instances():
        role = group.template.role(key.role)
        if role is not None and role.worker_replicas:
            needed.append(("Service", service_name(group, key)))
    for by in (*taken.values(), *(name_conflicts[name] for name in needed if name in name_conflicts)):
        yield Cause(Reason.NAME_COLLISION, by)


def replaced(group: Group, goal: str, now: datetime) -> GroupPlan:
    """Take down a group that is made anew at another revision. Its Services stay: names do not change."""
    return _taken_down(group, f"is replaced by revision {goal}", now)


def removed(group: Group, reason: str, now: datetime) -> GroupPlan:
    """Take down a group that is not to be, and then what belongs to it."""
    plan = _taken_down(group, reason, now)
    if plan.wake_at is not None:
        return plan  # its pods still answer requests
    pod_groups: list[Action] = list(pod_group_deletions(group.ordinal, group.pod_groups))
    cleared = (*pod_groups, *service_deletions(group.ordinal, group.services))
    return GroupPlan(
        group.ordinal,
        _filled((*plan.steps, cleared)),
        needs_record=bool(plan.steps) and is_recorded(group.stored_record),
    )


def _taken_down(group: Group, reason: str, now: datetime) -> GroupPlan:
    removal = remove(group.pods, reason, group.desired, now)
    return GroupPlan(group.ordinal, _filled((removal.actions,)), wake_at=removal.wake_at)
