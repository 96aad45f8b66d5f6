"""`tree`: groups, roles, instances and pods as they are now."""

from collections.abc import Iterator, Mapping
from datetime import datetime

from modelinfer_controller.api.core import Condition, Pod, PodGroup
from modelinfer_controller.api.reasons import Reason
from modelinfer_controller.kubectl.model.api_failures import api_failures
from modelinfer_controller.kubectl.model.document import Document
from modelinfer_controller.kubectl.model.remarks import remarks_of
from modelinfer_controller.kubectl.model.snapshot import Snapshot
from modelinfer_controller.planning import gang
from modelinfer_controller.planning.cause import cause_of
from modelinfer_controller.planning.decide import Decision
from modelinfer_controller.planning.group import Group
from modelinfer_controller.planning.pod_view import PodView
from modelinfer_controller.planning.revision import RoleTemplate

ZONE = "topology.kubernetes.io/zone"
MISSING = "Missing"


class PodNode(Document, frozen=True):
    """A pod. status is one word: the phase, or what keeps it from being ready.

    A pod that should be there and is not has the status Missing and no createdAt.
    """

    name: str
    worker_index: int
    status: str
    is_ready: bool
    restarts: int
    created_at: datetime | None
    node: str
    domain: str
    revision: str


class InstanceNode(Document, frozen=True):
    """A role instance of the tree, with its pods."""

    id: str
    is_ready: bool
    ready_pods: int
    pod_count: int
    pods: tuple[PodNode, ...]


class RoleNode(Document, frozen=True):
    """minimum: how many instances the group cannot do without."""

    name: str
    ready_instances: int
    replicas: int
    minimum: int
    instances: tuple[InstanceNode, ...]


class GangNode(Document, frozen=True):
    """A PodGroup.

    scheduler: volcano or kubernetes; state: Volcano's phase, or Scheduled or Pending; Missing for one that is not
    there.
    """

    scheduler: str
    state: str


class GroupNode(Document, frozen=True):
    """A group.

    state is one word: Available, or the reason why it is not, or Replacing and Removing for a group that is taken down.
    domain: where the group's leader runs.
    """

    ordinal: int
    name: str
    state: str
    is_available: bool
    is_surge: bool
    revision: str
    is_updated: bool
    ready_pods: int
    pod_count: int
    restarts: int
    created_at: datetime | None
    domain: str
    gang: GangNode | None
    roles: tuple[RoleNode, ...]


class Tree(Document, frozen=True):
    """remarks: what else is to be said of the whole. topology_key: the node label that domains are read from.

    is_rolling: some group is still to be moved to the update revision; not if that has failed and is rolled back.
    """

    namespace: str
    name: str
    time: datetime
    replicas: int
    available_groups: int
    updated_groups: int
    update_revision: str
    current_revision: str
    is_rolling: bool
    partition: int
    topology_key: str
    groups: tuple[GroupNode, ...]
    remarks: tuple[str, ...] = ()


def tree_of(snapshot: Snapshot) -> Tree:
    found = snapshot.decision
    key = topology_key(snapshot)
    domains = {name: node.metadata.labels.get(key, "") for name, node in snapshot.nodes.items()}
    gone = {ordinal for ordinal in found.update.removed if not found.groups[ordinal].pods}
    groups = tuple(_group(found.groups[ordinal], snapshot, domains) for ordinal in sorted(found.groups.keys() - gone))
    in_spec = [group for group in groups if group.ordinal < found.budget.replicas]
    return Tree(
        namespace=snapshot.owner.namespace,
        name=snapshot.owner.name,
        time=snapshot.now,
        replicas=found.budget.replicas,
        available_groups=sum(group.is_available for group in in_spec),
        updated_groups=sum(group.is_updated for group in in_spec),
        update_revision=found.revisions.update.name,
        current_revision=found.revisions.current.name,
        is_rolling=not found.revisions.is_rolled_back
        and any(not group.is_updated for group in in_spec if group.ordinal >= found.budget.partition),
        partition=found.budget.partition,
        topology_key=key,
        groups=groups,
        remarks=tuple(remark.message for remark in remarks_of(snapshot)),
    )


def topology_key(snapshot: Snapshot) -> str:
    """That of the first spread constraint, else the zone."""
    constraints = snapshot.owner.spec.topology_spread_constraints
    return constraints[0].topology_key if constraints else ZONE


def _group(group: Group, snapshot: Snapshot, domains: Mapping[str, str]) -> GroupNode:
    found = snapshot.decision
    roles = tuple(
        _role(role, group, snapshot, domains) for role in group.template.roles if _is_shown(role, group, found)
    )
    pods = [pod for role in roles for instance in role.instances for pod in instance.pods]
    there = [pod for pod in pods if pod.created_at is not None]
    return GroupNode(
        ordinal=group.ordinal,
        name=f"{snapshot.owner.name}-{group.ordinal}",
        state=_state(group.ordinal, snapshot),
        is_available=group.is_available,
        is_surge=group.ordinal >= found.budget.replicas and group.ordinal in found.update.target,
        revision=group.revision.name,
        is_updated=group.revision.name == found.revisions.update.name,
        ready_pods=sum(pod.is_ready for pod in pods),
        pod_count=len(pods),
        restarts=sum(pod.restarts for pod in pods),
        created_at=min((pod.created_at for pod in there if pod.created_at is not None), default=None),
        domain=next((pod.domain for pod in pods), ""),
        gang=_gang(snapshot, group),
        roles=roles,
    )


def _is_shown(role: RoleTemplate, group: Group, found: Decision) -> bool:
    """Of a group that is removed, what is left of it."""
    return group.ordinal not in found.update.removed or any(
        pod.identity.role == role.name.lower() for pod in group.pods
    )


def _state(ordinal: int, snapshot: Snapshot) -> str:
    found = snapshot.decision
    if found.groups[ordinal].is_draining:
        return Reason.DRAINING if found.groups[ordinal].move is None else Reason.HANDING_OVER
    if ordinal in found.update.removed:
        return "Removing"
    if ordinal in found.update.replaced and found.groups[ordinal].pods:
        return "Replacing"
    return "Available" if found.is_available(ordinal) else cause_of(found, ordinal, api_failures(found)).reason


def _role(role: RoleTemplate, group: Group, snapshot: Snapshot, domains: Mapping[str, str]) -> RoleNode:
    name = role.name.lower()
    replicas = 0 if group.ordinal in snapshot.decision.update.removed else group.shape.roles[name].instances
    last = max([replicas - 1, *(pod.identity.instance for pod in group.pods if pod.identity.role == name)])
    views = {pod.identity[2:]: pod for pod in group.pods if pod.identity.role == name}
    instances = tuple(
        _instance(role, instance, instance < replicas, views, snapshot, domains) for instance in range(last + 1)
    )
    schedule = snapshot.owner.spec.template.gang_schedule
    return RoleNode(
        name=role.name,
        ready_instances=group.ready_instances(name),
        replicas=replicas,
        minimum=gang.minimum_instances(schedule, role.name, replicas),
        instances=tuple(instance for instance in instances if instance.pods),
    )


def _instance(
    role: RoleTemplate,
    instance: int,
    is_wanted: bool,
    views: Mapping[tuple[int, int], PodView],
    snapshot: Snapshot,
    domains: Mapping[str, str],
) -> InstanceNode:
    """Its pods, and those that it should have and has not."""
    wanted = set(range(role.pod_count)) if is_wanted else set()
    indexes = sorted(wanted | {index for each, index in views if each == instance})
    pods = tuple(_pod(role, instance, index, views.get((instance, index)), snapshot, domains) for index in indexes)
    ready = sum(pod.is_ready for pod in pods)
    return InstanceNode(f"{role.name}-{instance}", bool(pods) and ready == len(pods), ready, len(pods), pods)


def _pod(
    role: RoleTemplate,
    instance: int,
    index: int,
    view: PodView | None,
    snapshot: Snapshot,
    domains: Mapping[str, str],
) -> PodNode:
    if view is None:
        return PodNode(f"{role.name.lower()}-{instance}-{index}", index, MISSING, False, 0, None, "", "", "")
    pod = snapshot.pods[view.name]
    return PodNode(
        name=view.name,
        worker_index=index,
        status=pod_status(view, pod),
        is_ready=view.is_ready,
        restarts=view.restart_count,
        created_at=view.created_at,
        node=pod.spec.node_name,
        domain=domains.get(pod.spec.node_name, ""),
        revision=view.revision,
    )


def pod_status(view: PodView, pod: Pod) -> str:
    if view.is_terminating:
        return "Terminating"
    if view.cause is not None:
        return view.cause.reason
    return "NotReady" if pod.status.phase == "Running" and not view.is_ready else pod.status.phase or "Pending"


def _gang(snapshot: Snapshot, group: Group) -> GangNode | None:
    for key, stored in snapshot.observed.pod_groups_of(group.ordinal):
        return GangNode(key.scheduler.value, gang_state(stored))
    wanted = group.template.gang_scheduler
    return GangNode(wanted.value, MISSING) if wanted is not None else None


def gang_state(stored: PodGroup) -> str:
    return stored.status.phase or next(_scheduled(stored.status.conditions), "Pending")


def _scheduled(conditions: tuple[Condition, ...]) -> Iterator[str]:
    for condition in conditions:
        if condition.type == "PodGroupInitiallyScheduled":
            yield "Scheduled" if condition.status == "True" else condition.reason or "Pending"
