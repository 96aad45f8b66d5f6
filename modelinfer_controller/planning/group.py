"""One InferGroup that lives on: what it is to look like at its revision, whether it is available, and what it lacks."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any

from modelinfer_controller.api import labels, names
from modelinfer_controller.api.core import Service
from modelinfer_controller.api.modelinfer import RecoveryPolicy
from modelinfer_controller.api.status import GroupRecord
from modelinfer_controller.planning import gang
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
from modelinfer_controller.planning.observed import (
    InstanceKey,
    Observed,
    Owner,
    Place,
    PodGroupKey,
    PodView,
    Trouble,
    pod_name,
)
from modelinfer_controller.planning.recovery import (
    Ground,
    GroupShape,
    Recovery,
    blocked_scopes,
    incarnation_due,
    is_condemned,
    is_settled,
    recover,
    scopes_of,
)
from modelinfer_controller.planning.revision import Revision, RevisionTemplate, RoleTemplate

NAME_COLLISION = "NameCollision"
REVISION_MISSING = "RevisionMissing"


@dataclass(frozen=True)
class Group:
    """An ordinal at one revision, with the pods that bear its names. `replicas` has lower-case role names."""

    ordinal: int
    revision: Revision
    replicas: Mapping[str, int]
    pods: tuple[PodView, ...]
    record: GroupRecord
    is_waiting: bool = False  # for its turn in a rollout: it is kept as it is, and not scaled

    @property
    def template(self) -> RevisionTemplate:
        return self.revision.template

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
                and pod.place.role == role.name.lower()
                and pod in self.shape
                and not is_condemned(pod, self.record)
            ):
                ready[pod.place.instance] = ready.get(pod.place.instance, 0) + 1
        return sum(count == role.pod_count for count in ready.values())

    def is_available(self, owner: Owner) -> bool:
        """Whether every role has at least its minimum of complete, ready instances."""
        return all(
            self.ready_instances(role)
            >= gang.minimum_instances(owner.spec.template.gang_schedule, role.name, self.replicas[role.name.lower()])
            for role in self.template.roles
        )


@dataclass(frozen=True)
class GroupPlan:
    """What a group that lives on needs, by stage, and what its status is to remember."""

    recovery: Recovery
    pod_groups: tuple[Action, ...] = ()
    services: tuple[Action, ...] = ()
    pods: tuple[Action, ...] = ()
    obstacles: tuple[Trouble, ...] = ()  # what only the user can clear away: names that others bear, a lost revision


def plan_group(group: Group, observed: Observed, now: datetime) -> GroupPlan:
    owner = observed.owner
    if not group.revision.payload:
        lost = f"ControllerRevision {group.revision.name}, which its pods are of, is gone: they are left as they are"
        return GroupPlan(Recovery(group.record), obstacles=(Trouble(REVISION_MISSING, lost),))
    identity = identity_of(owner)
    recovery = recover(_ground(group, owner, now))
    rebuilt = replace(group, record=recovery.record)
    pod_groups, is_gated = _pod_groups(rebuilt, observed, identity)
    pods: list[Action] = [*_deletions(rebuilt, recovery), *_repairs(rebuilt, recovery, identity)]
    missing = list(_missing_places(rebuilt, recovery, owner.spec.recovery_policy))
    taken = {place: observed.reserved_by("Pod", pod_name(owner, place)) for place in missing}
    creations = [] if is_gated else [_creation(place, rebuilt, owner) for place in missing if not taken[place]]
    return GroupPlan(
        recovery=recovery,
        pod_groups=tuple(pod_groups),
        services=tuple(_services(rebuilt, observed, identity)),
        pods=(*pods, *creations),
        obstacles=tuple(_obstacles(rebuilt, observed, [by for by in taken.values() if by])),
    )


def identity_of(owner: Owner) -> OwnerIdentity:
    return OwnerIdentity(owner.namespace, owner.name, owner.metadata.uid)


def _ground(group: Group, owner: Owner, now: datetime) -> Ground:
    return Ground(
        group=group.ordinal,
        policy=owner.spec.recovery_policy,
        grace=timedelta(seconds=owner.spec.template.restart_grace_period_seconds),
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
            cause = next((causes[scope] for scope in scopes_of(pod.place) if scope in causes), "its siblings failed")
            yield delete(pod, f"is rebuilt because {cause}")


def delete(pod: PodView, reason: str) -> DeletePod:
    return DeletePod(pod.place, pod.name, pod.uid, reason)


def _repairs(group: Group, recovery: Recovery, identity: OwnerIdentity) -> Iterator[PatchPodMetadata]:
    acknowledged = {pod.uid for pod in recovery.acknowledge}
    failures = {pod.uid: failed_at for pod, failed_at in recovery.note_failure}
    for pod in group.own_pods:
        if pod.is_terminating or pod not in group.shape or is_condemned(pod, recovery.record):
            continue
        desired = pod_labels(identity, group.revision, pod.place)
        wrong: dict[str, str | None] = {k: v for k, v in desired.items() if pod.labels.get(k) != v}
        wrong |= dict.fromkeys({labels.ENTRY, labels.GROUP_LEADER} & (pod.labels.keys() - desired.keys()))
        notes: dict[str, str | None] = {}
        if pod.uid in acknowledged:
            notes[labels.ACKNOWLEDGED_RESTARTS] = str(pod.restart_count)
            notes |= {labels.FAILED_AT: None} if pod.has_failure_note else {}
        elif pod.uid in failures:
            notes[labels.FAILED_AT] = failures[pod.uid].isoformat()
        if wrong or notes:
            yield PatchPodMetadata(pod.place, pod.name, pod.uid, wrong, notes)


def _missing_places(group: Group, recovery: Recovery, policy: RecoveryPolicy) -> Iterator[Place]:
    """Places to fill now: none of a scope that is still being cleared, nor of one that waits to be rebuilt."""
    present = {pod.place for pod in group.pods}
    missing = [place for place in group.shape.places(group.ordinal) if place not in present]
    if not missing:
        return
    if any(pod.revision not in ("", group.revision.name) for pod in group.pods):
        return  # a group is built wholly from one revision: the strays must be gone first
    if group.pods and not group.live_pods and not is_settled(recovery.record):
        return  # it was taken down: terminating is final until all of it is gone
    waiting = recovery.lost if not recovery.rebuilds else recovery.lost - _rebuilt_places(group, recovery)
    blocked = blocked_scopes(group.own_pods, recovery.record)
    leaving = set[InstanceKey]() if policy is RecoveryPolicy.NONE else _leaving_instances(group)
    for place in missing:
        if place in waiting or (place.role, place.instance) in leaving or blocked.intersection(scopes_of(place)):
            continue
        yield place


def _leaving_instances(group: Group) -> set[InstanceKey]:
    """Instances of which there are only terminating pods: those made anew are not to meet them."""
    return {pod.instance for pod in group.pods} - {pod.instance for pod in group.live_pods}


def _rebuilt_places(group: Group, recovery: Recovery) -> set[Place]:
    """Places of the scopes whose rebuild starts now."""
    scopes = {rebuild.scope for rebuild in recovery.rebuilds}
    return {place for place in group.shape.places(group.ordinal) if scopes.intersection(scopes_of(place))}


def _creation(place: Place, group: Group, owner: Owner) -> CreatePod:
    siblings = (pod.incarnation for pod in group.own_pods if pod.instance == (place.role, place.instance))
    incarnation = max([incarnation_due(place, group.record), *siblings])
    return CreatePod(place, pod_name(owner, place), group.revision, incarnation)


def _services(group: Group, observed: Observed, identity: OwnerIdentity) -> Iterator[Action]:
    for key, role in _instances_with_workers(group):
        body = service_body(identity, role, group.ordinal, key)
        name = body["metadata"]["name"]
        stored = observed.services.get(name)
        if stored is None:
            if not observed.reserved_by("Service", name):
                yield CreateService(group.ordinal, name, body)
        elif not stored.metadata.is_terminating:
            yield from _service_repair(stored, group.ordinal, body)
    if not group.is_waiting:
        yield from _surplus_services(group, observed)


def _instances_with_workers(group: Group) -> Iterator[tuple[InstanceKey, RoleTemplate]]:
    for key in group.shape.pod_count_by_instance:
        role = group.template.role(key.role)
        if role is not None and role.worker_replicas > 0:
            yield key, role


def _surplus_services(group: Group, observed: Observed) -> Iterator[DeleteService]:
    wanted = {
        names.service_name(observed.owner.name, group.ordinal, role.name, key.instance)
        for key, role in _instances_with_workers(group)
    }
    for service in observed.services_by_group.get(group.ordinal, ()):
        if service.metadata.name not in wanted:
            yield DeleteService(group.ordinal, service.metadata.name, service.metadata.uid)


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


def _pod_groups(group: Group, observed: Observed, identity: OwnerIdentity) -> tuple[list[Action], bool]:
    """Actions that bring the group's PodGroup in step, and whether pods must wait because it cannot be there yet."""
    scheduler = group.template.gang_scheduler
    key = PodGroupKey(scheduler, names.group_name(identity.name, group.ordinal)) if scheduler else None
    actions: list[Action] = [
        DeletePodGroup(group.ordinal, other, stored.metadata.uid)
        for other, stored in observed.pod_groups_of(group.ordinal)
        if other != key
    ]
    if key is None or not observed.gang_support.serves(key.scheduler):
        return actions, False
    desired = gang.desired_spec(observed.owner, key.scheduler, group.template, group.replicas)
    stored = observed.pod_groups.get(key)
    if stored is None:
        if observed.reserved_by("PodGroup", key.name):
            return actions, True
        return [*actions, CreatePodGroup(group.ordinal, key, gang.body(identity, key, desired))], False
    if stored.metadata.is_terminating:
        # Kubernetes' own goes after its last pod. While some live it still gates, and waiting would be for ever.
        return actions, not group.live_pods
    if patch := gang.patch(stored, key.scheduler, desired):
        actions.append(PatchPodGroup(group.ordinal, key, stored.metadata.uid, patch))
    return actions, False


def _obstacles(group: Group, observed: Observed, pods_taken: Sequence[str]) -> Iterator[Trouble]:
    return (Trouble(NAME_COLLISION, by) for by in (*pods_taken, *_names_taken(group, observed)))


def _names_taken(group: Group, observed: Observed) -> Iterator[str]:
    if not observed.reserved:
        return
    for key, role in _instances_with_workers(group):
        name = names.service_name(observed.owner.name, group.ordinal, role.name, key.instance)
        if by := observed.reserved_by("Service", name):
            yield by
    if by := observed.reserved_by("PodGroup", names.group_name(observed.owner.name, group.ordinal)):
        yield by


def take_down(pods: Sequence[PodView], reason: str) -> list[Action]:
    """Delete every pod of a group that still lives, once."""
    return [delete(pod, reason) for pod in pods if not pod.is_terminating]


def clear_away(ordinal: int, observed: Observed) -> tuple[list[Action], list[Action]]:
    """Delete the PodGroups and the Services of a group that is not to be."""
    pod_groups: list[Action] = [
        DeletePodGroup(ordinal, key, stored.metadata.uid) for key, stored in observed.pod_groups_of(ordinal)
    ]
    services: list[Action] = [
        DeleteService(ordinal, service.metadata.name, service.metadata.uid)
        for service in observed.services_by_group.get(ordinal, ())
    ]
    return pod_groups, services
