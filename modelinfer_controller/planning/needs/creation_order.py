"""Which missing pods are created now, and which wait until others have a node or are ready."""

from collections.abc import Sequence

from modelinfer_controller.api.modelinfer import RecoveryPolicy, StartupPolicy
from modelinfer_controller.planning import topology
from modelinfer_controller.planning.actions import Action, CreatePod
from modelinfer_controller.planning.group import Group, is_recorded
from modelinfer_controller.planning.hand_over import is_drained_first
from modelinfer_controller.planning.pod_identity import InstanceKey, PodIdentity
from modelinfer_controller.planning.recovery import blocked_scopes
from modelinfer_controller.planning.recovery_types import scopes_of


def missing_now(group: Group, most: int) -> list[PodIdentity]:
    """Identities to create now, at most so many: none of a scope that is still being cleared, nor of one that waits."""
    present = {pod.identity for pod in group.pods}
    if len(present) >= group.shape.pod_count and all(pod in group.shape for pod in group.pods):
        return []
    if any(pod.revision not in ("", group.revision.name) for pod in group.pods):
        return []  # a group is built wholly from one revision: the strays must be gone first
    if group.pods and not group.live_pods and not is_recorded(group.record):
        return []  # it was taken down: terminating is final until all of it is gone
    may_be_made = _Filter(group)
    missing: list[PodIdentity] = []
    for identity in group.shape.identities(group.ordinal):
        if len(missing) >= most:
            break
        if identity not in present and may_be_made(identity):
            missing.append(identity)
    return _in_order(missing, group)


class _Filter:
    """Whether the pod of an identity that is missing may be made now, for all that has to do with itself."""

    def __init__(self, group: Group) -> None:
        recovery = group.recovery
        self._group = group
        self._deleted = recovery.deleted - _recreated(group)
        self._blocked = blocked_scopes(group)
        live = {pod.instance for pod in group.live_pods}
        is_left_to_kubelet = group.desired.policy is RecoveryPolicy.NONE
        # Of these there are only terminating pods: those that come after are not to meet them.
        self._leaving = set[InstanceKey]() if is_left_to_kubelet else {pod.instance for pod in group.pods} - live
        self._startup = group.desired.spec.template.startup_policy
        entries = (pod for pod in group.live_pods if not pod.identity.worker_index)
        self._ready_entries = {pod.instance for pod in entries if pod.is_ready}

    def __call__(self, identity: PodIdentity) -> bool:
        instance = InstanceKey(identity.role, identity.instance)
        if identity in self._deleted or instance in self._leaving or self._blocked.intersection(scopes_of(identity)):
            return False
        if is_drained_first(identity, self._group):
            return False
        waits_for_entry = self._startup is StartupPolicy.ENTRY_READY and identity.worker_index > 0
        return not waits_for_entry or instance in self._ready_entries


def _recreated(group: Group) -> frozenset[PodIdentity]:
    """Deleted pods of the scopes whose recreation begins now."""
    scopes = {one.scope for one in group.recovery.recreations}
    return frozenset(identity for identity in group.recovery.deleted if scopes.intersection(scopes_of(identity)))


def _in_order(missing: list[PodIdentity], group: Group) -> list[PodIdentity]:
    """What must have a node before others may take one comes first. What waits for a back-off is not waited for."""
    if not missing:
        return missing
    scheduler = group.template.gang_scheduler
    is_gang = scheduler is not None and group.desired.gang_support.serves(scheduler)
    placed = {pod.identity for pod in group.live_pods if pod.is_scheduled} | group.recovery.deleted
    return _minimum_first(missing, group, placed) if is_gang else _leader_first(missing, group, placed)


def _minimum_first(missing: list[PodIdentity], group: Group, placed: set[PodIdentity]) -> list[PodIdentity]:
    """While a gang's minimum has no nodes, the rest of the group must not take its room.

    Schedulers choose among the pods of a gang as they like; one that takes others first may never get round to it.
    """
    minimum = {name: group.minimum(role) for name, role in group.shape.roles.items()}
    needed = [identity for identity in missing if identity.instance < minimum[identity.role]]
    if len(needed) == len(missing):
        return missing
    are_placed = all(
        identity in placed
        for identity in group.shape.identities(group.ordinal)
        if identity.instance < minimum[identity.role]
    )
    return missing if are_placed else needed


def _leader_first(missing: list[PodIdentity], group: Group, placed: set[PodIdentity]) -> list[PodIdentity]:
    """The followers' domain is the leader's: until it has one, a group that is spread is its leader alone.

    So a constraint that holds the leader back holds the group back. A gang has its nodes all at once and cannot wait.
    """
    if not group.template.topology_spread_constraints:
        return missing
    leaders = [identity for identity in missing if topology.is_leader(identity, group.template)]
    first_role = group.template.roles[0].name.lower()
    has_leader = bool(group.shape.roles[first_role].instances)
    leader = PodIdentity(group.ordinal, first_role, 0, 0)
    return missing if not has_leader or leader in placed else leaders


def leaders_and_followers(creations: Sequence[CreatePod], group: Group) -> tuple[list[Action], list[Action]]:
    """Schedulers take pods in the order in which they are made: a leader of a group that is spread goes first."""
    if not group.template.topology_spread_constraints:
        return list(creations), []
    leaders: list[Action] = [one for one in creations if topology.is_leader(one.identity, group.template)]
    return leaders, [one for one in creations if one not in leaders]
