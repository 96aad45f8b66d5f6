"""The group's PodGroup, of the kind that its revision is gang-scheduled by."""

from collections.abc import Iterable

from modelinfer_controller.api.core import PodGroup
from modelinfer_controller.planning import gang
from modelinfer_controller.planning.actions import Action, CreatePodGroup, DeletePodGroup, PatchPodGroup
from modelinfer_controller.planning.group import Group
from modelinfer_controller.planning.needs.services import NameConflicts
from modelinfer_controller.planning.observed import PodGroupKey


def pod_group_actions(group: Group, name_conflicts: NameConflicts) -> tuple[list[Action], bool]:
    """Actions that bring the PodGroup in step, and whether pods must wait because it cannot be there yet."""
    scheduler, desired = group.template.gang_scheduler, group.desired
    key = PodGroupKey(scheduler, group.name) if scheduler else None
    others = [(k, stored) for k, stored in group.pod_groups if k != key]
    actions: list[Action] = list(pod_group_deletions(group.ordinal, others))
    if key is None or not desired.gang_support.serves(key.scheduler):
        return actions, False
    schedule = desired.spec.template.gang_schedule
    instances = {name: role.instances for name, role in group.shape.roles.items()}
    wanted = gang.desired_spec(schedule, desired.queue, key.scheduler, group.template, instances)
    stored = dict(group.pod_groups).get(key)
    if stored is None:
        if ("PodGroup", key.name) in name_conflicts:
            return actions, True
        return [*actions, CreatePodGroup(group.ordinal, key, gang.body(desired.identity, key, wanted))], False
    if stored.metadata.is_terminating:
        # Kubernetes' own goes after its last pod. While some live it still gates, and waiting would be for ever.
        return actions, not group.live_pods
    if schedule is None:
        return actions, False  # turned off: a group that waits for its turn keeps the PodGroup that it has
    if not group.live_pods and gang.is_outdated(stored, key.scheduler, wanted):
        # No scheduler may see the pods of one size with the PodGroup of another, or an admission that is out of date.
        return [*actions, DeletePodGroup(group.ordinal, key, stored.metadata.uid)], True
    if patch := gang.patch(stored, key.scheduler, wanted):
        actions.append(PatchPodGroup(group.ordinal, key, stored.metadata.uid, patch))
    return actions, False


def pod_group_deletions(ordinal: int, stored: Iterable[tuple[PodGroupKey, PodGroup]]) -> Iterable[DeletePodGroup]:
    return [
        DeletePodGroup(ordinal, key, pod_group.metadata.uid)
        for key, pod_group in stored
        if not pod_group.metadata.is_terminating
    ]
