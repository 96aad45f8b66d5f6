"""One InferGroup that lives on: what it is to look like at its revision, whether it is available, and what it lacks."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cached_property, lru_cache
from typing import Any

from modelinfer_controller.api import names, well_known
from modelinfer_controller.api.core import PodGroup, Service
from modelinfer_controller.api.modelinfer import RecoveryPolicy
from modelinfer_controller.api.reasons import Cause
from modelinfer_controller.api.status import GroupRecord
from modelinfer_controller.planning import gang, topology
from modelinfer_controller.planning.actions import (
    Action,
    CreatePod,
    CreatePodGroup,
    CreateService,
    DeletePod,
    DeletePodGroup,
    DeleteService,
    PatchPodGroup,
    PatchPodMetadata,
    PatchService,
)
from modelinfer_controller.planning.manifests import OwnerIdentity, pod_labels, service_body
from modelinfer_controller.planning.observed import Owner, PodGroupKey
from modelinfer_controller.planning.pod_identity import InstanceKey, PodIdentity
from modelinfer_controller.planning.pod_view import EPOCH, PodView
from modelinfer_controller.planning.recovery import (
    Ground,
    GroupShape,
    Recovery,
    blocked_scopes,
    incarnation_due,
    is_condemned,
    is_settled,
    is_timeless,
    recover,
    scopes_of,
)
from modelinfer_controller.planning.revision import Revision, RevisionTemplate, RoleTemplate
from modelinfer_controller.planning.terms import Belongings, Terms

NAME_COLLISION = "NameCollision"
REVISION_MISSING = "RevisionMissing"


@dataclass(frozen=True, eq=False)
class Group:
    """An ordinal at one revision, with the pods that bear its names. `replicas` has lower-case role names."""

    terms: Terms
    ordinal: int
    revision: Revision
    replicas: Mapping[str, int]
    pods: tuple[PodView, ...]
    record: GroupRecord
    is_waiting: bool = False  # for its turn in a rollout: it is kept as it is, and not scaled

    @property
    def template(self) -> RevisionTemplate:
        return self.revision.template

    @property
    def owner_name(self) -> str:
        return self.terms.identity.name

    @property
    def name(self) -> str:
        return names.group_name(self.owner_name, self.ordinal)

    @cached_property
    def shape(self) -> GroupShape:
        return GroupShape(
            {
                InstanceKey(role.name.lower(), instance): role.pod_count
                for role in self.template.roles
                for instance in range(self.replicas[role.name.lower()])
            },
            {role.name.lower(): role.name for role in self.template.roles},
        )

    @cached_property
    def live_pods(self) -> tuple[PodView, ...]:
        return tuple(pod for pod in self.pods if not pod.is_terminating)

    @cached_property
    def own_pods(self) -> tuple[PodView, ...]:
        """Pods of the group's revision; one without a revision label is taken to be of it."""
        return tuple(pod for pod in self.pods if pod.revision in ("", self.revision.name))

    def ready_instances(self, role: RoleTemplate) -> int:
        """Complete instances of the role all of whose pods are ready and not condemned."""
        ready: dict[int, int] = {}
        for pod in self.own_pods:
            if (
                pod.is_ready
                and pod.identity.role == role.name.lower()
                and pod in self.shape
                and not is_condemned(pod, self.record)
            ):
                ready[pod.identity.instance] = ready.get(pod.identity.instance, 0) + 1
        return sum(count == role.pod_count for count in ready.values())

    @cached_property
    def is_available(self) -> bool:
        """Whether every role has at least its minimum of complete, ready instances."""
        if not self.live_pods and self.shape.pod_count_by_instance:
            return False  # minRoleReplicas of 0 do not make an instance of a model out of nothing
        schedule = self.terms.spec.template.gang_schedule
        return all(
            self.ready_instances(role) >= gang.minimum_instances(schedule, role.name, self.replicas[role.name.lower()])
            for role in self.template.roles
        )


@dataclass(frozen=True)
class GroupPlan:
    """What a group that lives on needs, by stage, and what its status is to remember."""

    recovery: Recovery
    pod_groups: tuple[Action, ...] = ()
    services: tuple[Action, ...] = ()
    pods: tuple[Action, ...] = ()
    obstacles: tuple[Cause, ...] = ()  # what only the user can clear away: names that others bear, a lost revision


def plan_group(
    group: Group, belongings: Belongings, reserved: Mapping[tuple[str, str], str], now: datetime
) -> GroupPlan:
    """What the group needs now. reserved: as in Observed."""
    timeless = None if reserved else _timeless_plan(group, belongings)
    return timeless or _plan_group(group, belongings, reserved, now)


@lru_cache(maxsize=16384)
def _timeless_plan(group: Group, belongings: Belongings) -> GroupPlan | None:
    """The plan of a group of which nothing depends on the time of day, else None."""
    return _plan_group(group, belongings, {}, EPOCH) if is_timeless(_ground(group, EPOCH)) else None


def _plan_group(
    group: Group, belongings: Belongings, reserved: Mapping[tuple[str, str], str], now: datetime
) -> GroupPlan:
    if not group.revision.payload:
        lost = f"ControllerRevision {group.revision.name}, which its pods are of, is gone: they are left as they are"
        return GroupPlan(Recovery(group.record), obstacles=(Cause(REVISION_MISSING, lost),))
    recovery = recover(_ground(group, now))
    rebuilt = replace(group, record=recovery.record)
    pod_groups, is_gated = _pod_groups(rebuilt, belongings, reserved)
    missing = _in_turn(list(_missing_places(rebuilt, recovery)), rebuilt, recovery)
    taken = {
        identity: by
        for identity in missing
        if (by := reserved.get(("Pod", names.pod_name(group.owner_name, *identity))))
    }
    creations = [] if is_gated else [_creation(identity, rebuilt) for identity in missing if identity not in taken]
    return GroupPlan(
        recovery=recovery,
        pod_groups=tuple(pod_groups),
        services=tuple(_services(rebuilt, belongings, reserved)),
        pods=(*_deletions(rebuilt, recovery), *_repairs(rebuilt, recovery), *creations),
        obstacles=tuple(_obstacles(rebuilt, taken.values(), reserved)) if reserved else (),
    )


def identity_of(owner: Owner) -> OwnerIdentity:
    return OwnerIdentity(owner.namespace, owner.name, owner.metadata.uid)


def _ground(group: Group, now: datetime) -> Ground:
    return Ground(
        owner=group.owner_name,
        group=group.ordinal,
        policy=group.terms.policy,
        grace=group.terms.grace,
        shape=group.shape,
        record=group.record,
        pods=group.own_pods,
        now=now,
    )


def _deletions(group: Group, recovery: Recovery) -> Iterator[DeletePod]:
    causes = {rebuild.scope: rebuild.record.cause for rebuild in recovery.rebuilds}
    for pod in group.live_pods:
        if pod.revision not in ("", group.revision.name):
            yield delete(pod, f"is of revision {pod.revision}, its group of {group.revision.name}")
        elif pod not in group.shape:
            if not group.is_waiting:
                yield delete(pod, "is not among the replicas of its role")
        elif is_condemned(pod, recovery.record):
            cause = next((causes[scope] for scope in scopes_of(pod.identity) if scope in causes), "its siblings failed")
            yield delete(pod, f"is rebuilt because {cause}")


def delete(pod: PodView, reason: str) -> DeletePod:
    return DeletePod(pod.identity, pod.name, pod.uid, reason)


def _repairs(group: Group, recovery: Recovery) -> Iterator[PatchPodMetadata]:
    acknowledged = {pod.uid for pod in recovery.acknowledge}
    failures = {pod.uid: failed_at for pod, failed_at in recovery.note_failure}
    for pod in group.own_pods:
        if pod.is_terminating or pod not in group.shape or is_condemned(pod, recovery.record):
            continue
        desired = pod_labels(group.terms.identity, group.revision, pod.identity)
        wrong: dict[str, str | None] = {k: v for k, v in desired.items() if pod.labels.get(k) != v}
        wrong |= dict.fromkeys({well_known.ENTRY, well_known.GROUP_LEADER} & (pod.labels.keys() - desired.keys()))
        notes: dict[str, str | None] = {}
        if pod.uid in acknowledged:
            notes[well_known.ACKNOWLEDGED_RESTARTS] = str(pod.restart_count)
            notes |= {well_known.FAILED_AT: None} if pod.has_failure_note else {}
        elif pod.uid in failures:
            notes[well_known.FAILED_AT] = failures[pod.uid].isoformat()
        elif pod.has_stale_acknowledgement:
            notes[well_known.ACKNOWLEDGED_RESTARTS] = str(pod.restart_count)
        if wrong or notes:
            yield PatchPodMetadata(pod.identity, pod.name, pod.uid, wrong, notes)


def _missing_places(group: Group, recovery: Recovery) -> Iterator[PodIdentity]:
    """Places to fill now: none of a scope that is still being cleared, nor of one that waits to be rebuilt."""
    present = {pod.identity for pod in group.pods}
    missing = [identity for identity in group.shape.identities(group.ordinal) if identity not in present]
    if not missing:
        return
    if any(pod.revision not in ("", group.revision.name) for pod in group.pods):
        return  # a group is built wholly from one revision: the strays must be gone first
    if group.pods and not group.live_pods and not is_settled(recovery.record):
        return  # it was taken down: terminating is final until all of it is gone
    waiting = recovery.lost if not recovery.rebuilds else recovery.lost - _rebuilt_places(group, recovery)
    blocked = blocked_scopes(group.own_pods, recovery.record)
    leaving = set[InstanceKey]() if group.terms.policy is RecoveryPolicy.NONE else _leaving_instances(group)
    for identity in missing:
        if (
            identity in waiting
            or (identity.role, identity.instance) in leaving
            or blocked.intersection(scopes_of(identity))
        ):
            continue
        yield identity


def _leaving_instances(group: Group) -> set[InstanceKey]:
    """Instances of which there are only terminating pods: those made anew are not to meet them."""
    return {pod.instance for pod in group.pods} - {pod.instance for pod in group.live_pods}


def _in_turn(missing: list[PodIdentity], group: Group, recovery: Recovery) -> list[PodIdentity]:
    """The places to fill now: what must have a node before others may take one comes first.

    What waits for a grace period or back-off is not waited for.
    """
    if not missing:
        return missing
    scheduler = group.template.gang_scheduler
    is_gang = scheduler is not None and group.terms.gang_support.serves(scheduler)
    placed = {pod.identity for pod in group.live_pods if pod.is_scheduled} | recovery.lost
    return _minimum_first(missing, group, placed) if is_gang else _leader_first(missing, group, placed)


def _minimum_first(missing: list[PodIdentity], group: Group, placed: set[PodIdentity]) -> list[PodIdentity]:
    """While a gang's minimum has no nodes, the rest of the group must not take its room.

    Schedulers choose among the pods of a gang as they like; one that takes others first may never get round to it.
    """
    schedule = group.terms.spec.template.gang_schedule
    minimum = {
        role.name.lower(): gang.minimum_instances(schedule, role.name, group.replicas[role.name.lower()])
        for role in group.template.roles
    }
    needed = [identity for identity in missing if identity.instance < minimum[identity.role]]
    if len(needed) == len(missing):
        return missing
    places = group.shape.identities(group.ordinal)
    return missing if all(p in placed for p in places if p.instance < minimum[p.role]) else needed


def _leader_first(missing: list[PodIdentity], group: Group, placed: set[PodIdentity]) -> list[PodIdentity]:
    """The followers' domain is the leader's: until it has one, a group that is spread is its leader alone.

    So a constraint that holds the leader back holds the group back. A gang has its nodes all at once and cannot wait.
    """
    if not group.template.topology_spread_constraints:
        return missing
    leaders = [p for p in group.shape.identities(group.ordinal) if topology.is_leader(p, group.template)]
    return missing if all(p in placed for p in leaders) else [p for p in missing if p in leaders]


def _rebuilt_places(group: Group, recovery: Recovery) -> set[PodIdentity]:
    """Places of the scopes whose rebuild starts now."""
    scopes = {rebuild.scope for rebuild in recovery.rebuilds}
    return {identity for identity in group.shape.identities(group.ordinal) if scopes.intersection(scopes_of(identity))}


def _creation(identity: PodIdentity, group: Group) -> CreatePod:
    siblings = (pod.incarnation for pod in group.own_pods if pod.instance == (identity.role, identity.instance))
    incarnation = max([incarnation_due(identity, group.record), *siblings])
    return CreatePod(identity, names.pod_name(group.owner_name, *identity), group.revision, incarnation)


def _services(group: Group, belongings: Belongings, reserved: Mapping[tuple[str, str], str]) -> Iterator[Action]:
    stored_by_name = {service.metadata.name: service for service in belongings.services}
    wanted: set[str] = set()
    for key, role in _instances_with_workers(group):
        body = service_body(group.terms.identity, role, group.ordinal, key)
        name = body["metadata"]["name"]
        wanted.add(name)
        stored = stored_by_name.get(name)
        if stored is None:
            if ("Service", name) not in reserved:
                yield CreateService(group.ordinal, name, body)
        elif not stored.metadata.is_terminating:
            yield from _service_repair(stored, group.ordinal, body)
    if not group.is_waiting:
        surplus = [service for name, service in stored_by_name.items() if name not in wanted]
        yield from _service_deletions(group.ordinal, surplus)


def _instances_with_workers(group: Group) -> Iterator[tuple[InstanceKey, RoleTemplate]]:
    for key in group.shape.pod_count_by_instance:
        role = group.template.role(key.role)
        if role is not None and role.worker_replicas > 0:
            yield key, role


def _service_deletions(ordinal: int, services: Iterable[Service]) -> Iterator[DeleteService]:
    for service in services:
        if not service.metadata.is_terminating:
            yield DeleteService(ordinal, service.metadata.name, service.metadata.uid)


def _service_repair(stored: Service, ordinal: int, desired: Mapping[str, Any]) -> Iterator[Action]:
    name, uid = stored.metadata.name, stored.metadata.uid
    if stored.spec.cluster_ip != "None":  # immutable: only a new Service can be headless
        yield DeleteService(ordinal, name, uid)
        return
    spec: dict[str, Any] = {}
    selector = desired["spec"]["selector"]
    if stored.spec.selector != selector:
        spec["selector"] = {**dict.fromkeys(stored.spec.selector.keys() - selector.keys()), **selector}
    if not stored.spec.publish_not_ready_addresses:
        spec["publishNotReadyAddresses"] = True
    own = desired["metadata"]["labels"]
    mislabelled = {key: value for key, value in own.items() if stored.metadata.labels.get(key) != value}
    if spec or mislabelled:
        metadata = {"metadata": {"labels": mislabelled}} if mislabelled else {}
        yield PatchService(ordinal, name, uid, {**metadata, **({"spec": spec} if spec else {})})


def _pod_groups(
    group: Group, belongings: Belongings, reserved: Mapping[tuple[str, str], str]
) -> tuple[list[Action], bool]:
    """Actions that bring the group's PodGroup in step, and whether pods must wait because it cannot be there yet."""
    scheduler, terms = group.template.gang_scheduler, group.terms
    key = PodGroupKey(scheduler, group.name) if scheduler else None
    stored_by_key = dict(belongings.pod_groups)
    actions: list[Action] = _pod_group_deletions(group.ordinal, {k: v for k, v in stored_by_key.items() if k != key})
    if key is None or not terms.gang_support.serves(key.scheduler):
        return actions, False
    desired = gang.desired_spec(
        terms.spec.template.gang_schedule, terms.queue, key.scheduler, group.template, group.replicas
    )
    stored = stored_by_key.get(key)
    if stored is None:
        if ("PodGroup", key.name) in reserved:
            return actions, True
        return [*actions, CreatePodGroup(group.ordinal, key, gang.body(terms.identity, key, desired))], False
    if stored.metadata.is_terminating:
        # Kubernetes' own goes after its last pod. While some live it still gates, and waiting would be for ever.
        return actions, not group.live_pods
    if terms.spec.template.gang_schedule is None:
        return actions, False  # turned off: a group that waits for its turn keeps the PodGroup that it has
    if not group.live_pods and gang.is_outdated(stored, key.scheduler, desired):
        # No scheduler may see the pods of one size with the PodGroup of another, or an admission that is out of date.
        return [*actions, DeletePodGroup(group.ordinal, key, stored.metadata.uid)], True
    if patch := gang.patch(stored, key.scheduler, desired):
        actions.append(PatchPodGroup(group.ordinal, key, stored.metadata.uid, patch))
    return actions, False


def _pod_group_deletions(ordinal: int, stored_by_key: Mapping[PodGroupKey, PodGroup]) -> list[Action]:
    return [
        DeletePodGroup(ordinal, key, stored.metadata.uid)
        for key, stored in stored_by_key.items()
        if not stored.metadata.is_terminating
    ]


def _obstacles(group: Group, pods: Iterable[str], reserved: Mapping[tuple[str, str], str]) -> Iterator[Cause]:
    needed = [("PodGroup", group.name)] if group.template.gang_scheduler else []
    for key, role in _instances_with_workers(group):
        needed.append(("Service", names.service_name(group.owner_name, group.ordinal, role.name, key.instance)))
    for by in (*pods, *(reserved[name] for name in needed if name in reserved)):
        yield Cause(NAME_COLLISION, by)


def take_down(pods: Sequence[PodView], reason: str) -> list[Action]:
    """Delete every pod of a group that still lives, once."""
    return [delete(pod, reason) for pod in pods if not pod.is_terminating]


def clear_away(ordinal: int, belongings: Belongings) -> tuple[list[Action], list[Action]]:
    """Delete the PodGroups and the Services of a group that is not to be."""
    return (
        _pod_group_deletions(ordinal, dict(belongings.pod_groups)),
        list(_service_deletions(ordinal, belongings.services)),
    )
