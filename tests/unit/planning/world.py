"""A toy world that carries out Plans: objects in dictionaries, pods that start and end when a test says so.

Nothing here knows how the planner decides. What a real server would refuse (a name that is taken, a UID that is not
the object's, a pod of a revision that is not stored) fails the test at once, since no plan from a fresh snapshot may
ask for it.
"""

import copy
import json
from collections.abc import Callable, Collection, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import msgspec
from support import specs
from support.specs import Spec

from modelinfer_controller.api import names, well_known
from modelinfer_controller.api.core import (
    Condition,
    ContainerState,
    ContainerStateTerminated,
    ContainerStateWaiting,
    ContainerStatus,
    ControllerRevision,
    Node,
    NodeSpec,
    ObjectMeta,
    Pod,
    PodDisruptionBudget,
    PodGroup,
    PodSpec,
    PodStatus,
    Service,
    Taint,
)
from modelinfer_controller.api.merge_patch import merge_patch
from modelinfer_controller.api.modelinfer import ModelInferSpec
from modelinfer_controller.api.status import ApiFailure, GroupRecord, ModelInferStatus
from modelinfer_controller.planning import manifests
from modelinfer_controller.planning.actions import (
    Action,
    CreateDisruptionBudget,
    CreatePod,
    CreatePodGroup,
    CreateRevision,
    CreateService,
    DeleteDisruptionBudget,
    DeletePod,
    DeletePodGroup,
    DeleteRevision,
    DeleteService,
    Event,
    PatchDisruptionBudget,
    PatchPodGroup,
    PatchPodMetadata,
    PatchService,
    Plan,
    RenumberRevision,
    depends_on,
    group_of,
)
from modelinfer_controller.planning.decide import Decision, decide
from modelinfer_controller.planning.events import events_of
from modelinfer_controller.planning.gang import API_VERSIONS
from modelinfer_controller.planning.memo import Memory
from modelinfer_controller.planning.nodes import LEAVING_TAINTS, UNKNOWN_NODES, Nodes, nodes_of
from modelinfer_controller.planning.observed import GangSupport, Observed, Owner, PodGroupKey, children_by_group
from modelinfer_controller.planning.pod_identity import PodIdentity, parse_pod_name
from modelinfer_controller.planning.pod_view import PodView, view_pod
from modelinfer_controller.planning.revision import GangScheduler, revision_of
from modelinfer_controller.planning.status import status_of

START = datetime(2026, 1, 1, tzinfo=UTC)
NAME = "m"
NAMESPACE = "ns"
UID = "uid-of-m"


def a_role(name: str = "decode", replicas: int = 1, workers: int = 0, image: str = "v1") -> Spec:
    return specs.role(name, replicas, workers, specs.pod_template(image))


def a_spec(replicas: int = 1, *roles: Spec, **fields: Any) -> Spec:
    """A stored spec, see `specs.rolling`."""
    return copy.deepcopy(specs.rolling(replicas, *(roles or (a_role(),)), **fields))


T = TypeVar("T")


def decode(kind: type[T], body: bytes | Mapping[str, Any]) -> T:
    return msgspec.json.decode(body if isinstance(body, bytes) else json.dumps(body).encode(), type=kind)


class World:
    """The children of one ModelInfer, its spec and status, and the time of day.

    bad_images: pods with one of these never become ready.
    """

    def __init__(self, spec: Spec, *, gang_support: GangSupport | None = None) -> None:
        self.now = START
        self.spec = copy.deepcopy(spec)
        self.generation = 1
        self.annotations: dict[str, str] = {}
        self.status = ModelInferStatus()
        self.pods: dict[str, Pod] = {}
        self.images: dict[str, str] = {}
        self.services: dict[str, Service] = {}
        self.pod_groups: dict[PodGroupKey, PodGroup] = {}
        self.revisions: dict[str, ControllerRevision] = {}
        self.name_conflicts: dict[tuple[str, str], str] = {}
        self.gang_support = gang_support or GangSupport()
        self.nodes: dict[str, Node] = {}
        self.leaving_taints: Collection[str] = LEAVING_TAINTS
        self.are_nodes_forbidden = False
        self.budgets: dict[str, PodDisruptionBudget] = {}
        self.budget_problem = ""
        self.bad_images: set[str] = set()
        self.unlabelled: set[str] = set()  # UIDs of pods whose revision nobody can tell for certain any more
        self.has_lost_revisions = False
        self.is_deleted = False
        self.failures: dict[int | None, ApiFailure] = {}
        self.status_writes = 0
        self._views: dict[int, tuple[Pod, PodView | None]] = {}
        self.memory = Memory()
        self._uids = 0

    # -- what the controller sees ----------------------------------------------------------------------------------

    @property
    def owner(self) -> Owner:
        spec_json = json.dumps(self.spec, sort_keys=True).encode()
        return Owner(
            metadata=ObjectMeta(
                name=NAME,
                namespace=NAMESPACE,
                uid=UID,
                generation=self.generation,
                annotations=dict(self.annotations),
                deletion_timestamp=self.now if self.is_deleted else None,
            ),
            spec=ModelInferSpec.model_validate_json(spec_json),
            spec_json=spec_json,
            status=self.status,
        )

    def observe(self, pods: Iterable[Pod] | None = None) -> Observed:
        seen = (self._view(pod) for pod in (self.pods.values() if pods is None else pods))
        views = [view for view in seen if view is not None]
        return Observed(
            owner=self.owner,
            children=children_by_group(NAME, views, self.services.values(), self.pod_groups, self.memory),
            pod_revisions={view.revision for view in views},
            revisions=tuple(revision_of(stored, well_known.CHANGE_CAUSE) for stored in self.revisions.values()),
            name_conflicts=dict(self.name_conflicts),
            gang_support=self.gang_support,
            nodes=self.observe_nodes(),
            disruption_budgets=dict(self.budgets),
            can_write_budgets=not self.budget_problem,
            budget_problem=self.budget_problem,
            memory=self.memory,
        )

    def observe_nodes(self) -> Nodes:
        if self.are_nodes_forbidden:
            return Nodes(missing_permission="the controller may not list nodes in all namespaces")
        return nodes_of(self.nodes.values(), self.leaving_taints) if self.nodes else UNKNOWN_NODES

    def _view(self, pod: Pod) -> PodView | None:
        """A view is made once for each state of a pod, as the controller's observer does."""
        if id(pod) not in self._views:
            self._views[id(pod)] = (pod, view_pod(NAME, pod))  # holding the pod keeps its id from being used again
        return self._views[id(pod)][1]

    def decide(self) -> Decision:
        return decide(self.observe(), self.now)

    def plan(self) -> Plan:
        return self.decide().plan

    def events(self) -> tuple[Event, ...]:
        """What a pass would tell the user now."""
        decision = self.decide()
        return events_of(decision, status_of(decision, self.failures), self.failures, None)[0]

    def goal_revision(self) -> str:
        return self.decide().rules.goal

    def record(self, group: int) -> GroupRecord:
        return self.owner.record(group)

    # -- one reconcile ---------------------------------------------------------------------------------------------

    def reconcile(
        self, refuse: Callable[[Action], ApiFailure | None] = lambda _: None, crash_after: int | None = None
    ) -> Plan:
        """Observe, plan, carry out, write the status.

        refuse says which actions the server turns down; crash_after: the controller dies after so many writes,
        the status among them.
        """
        decision = self.decide()
        decided = decision.plan
        check_one_writer(decided)
        writes_left = [crash_after if crash_after is not None else 10**9]
        failures: dict[int | None, ApiFailure] = {}
        if decided.needs_record and not self._write(lambda: self._store(status_of(decision, {})), writes_left):
            return decided
        failed: list[Action] = []
        of_groups = (step for group in decided.groups for step in group.steps)
        for step in (decided.revisions, decided.budgets, *of_groups, decided.expired):
            before = list(failed)
            for action in step:
                group = group_of(action)
                if any(group_of(one) in (None, group) and depends_on(action, one) for one in before):
                    failed.append(action)
                elif (failure := refuse(action)) is not None:
                    failed.append(action)
                    failures.setdefault(group, failure)
                elif not self._write(lambda action=action: self.carry_out(action), writes_left):  # type: ignore[misc]
                    return decided
        self.failures = failures
        self._write(lambda: self._store(status_of(decision, failures)), writes_left)
        return decided

    @staticmethod
    def _write(write: Callable[[], None], writes_left: list[int]) -> bool:
        if writes_left[0] <= 0:
            return False
        writes_left[0] -= 1
        write()
        return True

    def _store(self, status: ModelInferStatus) -> None:
        if not self.is_deleted and status != self.status:
            self.status_writes += 1
            self.status = status

    def carry_out(self, action: Action) -> None:  # noqa: C901 # one case for each action
        match action:
            case CreateRevision(revision):
                assert revision.name not in self.revisions, f"revision {revision.name} exists"
                assert ("ControllerRevision", revision.name) not in self.name_conflicts
                body = manifests.revision_body(self.identity, revision)
                self.revisions[revision.name] = self._born(decode(ControllerRevision, body))
            case RenumberRevision(name, uid, number):
                assert self.revisions[name].metadata.uid == uid
                self.revisions[name] = msgspec.structs.replace(self.revisions[name], revision=number)
            case DeleteRevision(name, uid):
                assert self.revisions.pop(name).metadata.uid == uid
            case CreateDisruptionBudget(name, body):
                assert name not in self.budgets
                self.budgets[name] = self._born(decode(PodDisruptionBudget, body))
            case PatchDisruptionBudget(name, uid, patch):
                budget = self.budgets[name]
                assert budget.metadata.uid == uid
                changed = decode(PodDisruptionBudget, merge_patch(msgspec.to_builtins(budget), patch))
                assert changed != budget, f"patch of {name} changes nothing: {patch}"
                self.budgets[name] = changed
            case DeleteDisruptionBudget(name, uid):
                assert self.budgets.pop(name).metadata.uid == uid
            case CreatePodGroup(_, key, body):
                assert key not in self.pod_groups, f"PodGroup {key} exists"
                assert self.gang_support.serves(key.scheduler)
                assert body["apiVersion"] == API_VERSIONS[key.scheduler]
                self.pod_groups[key] = self._born(decode(PodGroup, body))
            case PatchPodGroup(_, key, uid, patch):
                stored_group = self.pod_groups[key]
                assert stored_group.metadata.uid == uid
                spec = merge_patch(stored_group.spec, patch["spec"])
                assert spec != stored_group.spec, f"patch of {key} changes nothing: {patch}"
                self.pod_groups[key] = msgspec.structs.replace(stored_group, spec=spec)
            case DeletePodGroup(_, key, uid):
                self._delete_pod_group(key, uid)
            case CreateService(_, name, body):
                assert name not in self.services, f"Service {name} exists"
                assert ("Service", name) not in self.name_conflicts
                self.services[name] = self._born(decode(Service, body))
            case PatchService(_, name, uid, patch):
                service = self.services[name]
                assert service.metadata.uid == uid
                patched = decode(Service, msgspec.json.encode(merge_patch(msgspec.to_builtins(service), patch)))
                assert patched != service, f"patch of {name} changes nothing: {patch}"
                self.services[name] = patched
            case DeleteService(_, name, uid):
                assert self.services.pop(name).metadata.uid == uid
            case CreatePod(identity, name, revision, incarnation, serving):
                body = manifests.pod_body(self.identity, revision, identity, incarnation, is_serving=serving)
                self._create_pod(identity, name, body)
                assert revision.name in self.revisions, f"{name} is of revision {revision.name}, which is not stored"
            case PatchPodMetadata(_, name, uid, own_labels, annotations):
                pod = self.pods[name]
                assert pod.metadata.uid == uid
                metadata = msgspec.structs.replace(
                    pod.metadata,
                    labels=merge_patch(pod.metadata.labels, own_labels),
                    annotations=merge_patch(pod.metadata.annotations, annotations),
                )
                assert metadata != pod.metadata, f"patch of {name} changes nothing"
                self.pods[name] = msgspec.structs.replace(pod, metadata=metadata)
            case DeletePod(_, name, uid, reason):
                assert reason
                pod = self.pods[name]
                assert pod.metadata.uid == uid, f"{name} is another pod by now"
                assert not pod.metadata.is_terminating, f"{name} is going away already"
                self.delete_pod(name)

    @property
    def identity(self) -> manifests.OwnerIdentity:
        return manifests.OwnerIdentity(NAMESPACE, NAME, UID)

    def _create_pod(self, identity: PodIdentity, name: str, body: bytes) -> None:
        assert name not in self.pods, f"pod {name} exists"
        assert ("Pod", name) not in self.name_conflicts, f"the name {name} is another's"
        assert parse_pod_name(NAME, name) == identity
        raw = msgspec.json.decode(body)
        self._check_gang(raw)
        pod: Pod = self._born(decode(Pod, body))
        self.images[name] = raw["spec"]["containers"][0]["image"]
        self.pods[name] = msgspec.structs.replace(pod, status=PodStatus(phase="Pending"))

    def _check_gang(self, pod: Mapping[str, Any]) -> None:
        """A PodGroup of a kind that is served is there before the pods that it gates."""
        for scheduler, group in (
            (GangScheduler.KUBERNETES, pod["spec"].get("schedulingGroup", {}).get("podGroupName")),
            (GangScheduler.VOLCANO, pod["metadata"]["annotations"].get(well_known.VOLCANO_GROUP_NAME)),
        ):
            if group is not None and self.gang_support.serves(scheduler):
                stored = self.pod_groups.get(PodGroupKey(scheduler, group))
                assert stored is not None, f"PodGroup {group} is not there before its pods"
                if stored.metadata.is_terminating:
                    assert any(not p.metadata.is_terminating for p in self.pods_of_group(group)), f"{group} is going"

    def _delete_pod_group(self, key: PodGroupKey, uid: str) -> None:
        """Kubernetes' own has a finalizer that waits for the pods of the group."""
        stored = self.pod_groups[key]
        assert stored.metadata.uid == uid
        if key.scheduler is GangScheduler.KUBERNETES and self.pods_of_group(key.name):
            metadata = msgspec.structs.replace(stored.metadata, deletion_timestamp=self.now)
            self.pod_groups[key] = msgspec.structs.replace(stored, metadata=metadata)
        else:
            del self.pod_groups[key]

    def delete_pod_group(self, key: PodGroupKey) -> None:
        self._delete_pod_group(key, self.pod_groups[key].metadata.uid)

    def pods_of_group(self, group_name: str) -> list[Pod]:
        return [pod for pod in self.pods.values() if pod.metadata.labels.get(well_known.GROUP_NAME) == group_name]

    def _born(self, obj: Any) -> Any:
        self._uids += 1
        metadata = msgspec.structs.replace(obj.metadata, uid=f"u{self._uids}", creation_timestamp=self.now)
        return msgspec.structs.replace(obj, metadata=metadata)

    # -- what happens to pods --------------------------------------------------------------------------------------

    def delete_pod(self, name: str) -> None:
        """First phase: it is going away; nobody is ready who is."""
        pod = self.pods[name]
        if not pod.metadata.is_terminating:
            metadata = msgspec.structs.replace(pod.metadata, deletion_timestamp=self.now)
            self.pods[name] = msgspec.structs.replace(pod, metadata=metadata)

    def vanish(self, name: str) -> None:
        """Second phase, or a deletion that nobody saw."""
        del self.pods[name]
        for key, stored in list(self.pod_groups.items()):
            if stored.metadata.is_terminating and not self.pods_of_group(key.name):
                del self.pod_groups[key]

    def set_status(self, name: str, status: PodStatus, node: str = "") -> None:
        pod = self.pods[name]
        bound = node or pod.spec.node_name or self.place()
        self.pods[name] = msgspec.structs.replace(pod, status=status, spec=PodSpec(node_name=bound))

    def place(self) -> str:
        """The schedulable node with the fewest pods; one called node where the test has none, "" where none will do."""
        counts = {name: 0 for name, node in self.nodes.items() if not (node.spec.unschedulable or node.spec.taints)}
        for pod in self.pods.values():
            if pod.spec.node_name in counts:
                counts[pod.spec.node_name] += 1
        if not self.nodes:
            return "node"
        return min(counts, key=lambda name: (counts[name], name), default="")

    def start(self, name: str) -> None:
        """Running and ready, unless its image is bad. Restarts that it had stay counted."""
        pod = self.pods[name]
        if pod.metadata.is_terminating or pod.is_ready or pod.status.phase in ("Failed", "Succeeded"):
            return
        if not pod.spec.node_name and not self.place():
            return  # it stays without a node
        if self.images[name] in self.bad_images:
            waiting = ContainerState(waiting=ContainerStateWaiting(reason="ImagePullBackOff", message="no such image"))
            self.set_status(
                name, PodStatus(phase="Pending", container_statuses=(ContainerStatus(name="main", state=waiting),))
            )
            return
        containers = tuple(msgspec.structs.replace(c, ready=True, state=ContainerState()) for c in _containers(pod))
        ready = Condition(type="Ready", status="True", last_transition_time=self.now)
        self.set_status(name, PodStatus(phase="Running", conditions=(ready,), container_statuses=containers))

    def unready(self, name: str) -> None:
        pod = self.pods[name]
        ready = Condition(type="Ready", status="False", last_transition_time=self.now)
        self.set_status(name, msgspec.structs.replace(pod.status, conditions=(ready,)))

    def restart(self, name: str) -> None:
        """Its container exits and is started again; it is not ready."""
        pod = self.pods[name]
        ended = ContainerState(terminated=ContainerStateTerminated(exit_code=1, reason="Error", finished_at=self.now))
        containers = tuple(
            msgspec.structs.replace(c, ready=False, restart_count=c.restart_count + 1, last_state=ended)
            for c in _containers(pod)
        )
        ready = Condition(type="Ready", status="False", last_transition_time=self.now)
        self.set_status(name, PodStatus(phase="Running", conditions=(ready,), container_statuses=containers))

    def finish(self, name: str, phase: str = "Failed", reason: str = "Evicted", *, timed: bool = True) -> None:
        pod = self.pods[name]
        conditions = (Condition(type="Ready", status="False", last_transition_time=self.now),) if timed else ()
        status = PodStatus(phase=phase, reason=reason, conditions=conditions, container_statuses=_containers(pod))
        self.set_status(name, status)

    def kubelet(self) -> bool:
        """Everything that is on its way gets there: terminating pods are gone, others ready. Whether anything moved."""
        before = dict(self.pods)
        for name, pod in before.items():
            if pod.metadata.is_terminating:
                self.vanish(name)
            else:
                self.start(name)
        return before != self.pods

    # -- nodes ------------------------------------------------------------------------------------------------------

    def add_nodes(self, *names: str) -> None:
        self.nodes |= {name: Node(metadata=ObjectMeta(name=name)) for name in names}

    def cordon(self, *names: str) -> None:
        self._set_node(names, NodeSpec(unschedulable=True))

    def uncordon(self, *names: str) -> None:
        self._set_node(names, NodeSpec())

    def taint(self, name: str, key: str) -> None:
        self._set_node((name,), NodeSpec(taints=(Taint(key=key, effect="NoSchedule"),)))

    def _set_node(self, names: Iterable[str], spec: NodeSpec) -> None:
        for name in names:
            self.nodes[name] = msgspec.structs.replace(self.nodes[name], spec=spec)

    def pods_on(self, node: str) -> list[str]:
        return [n for n, pod in sorted(self.pods.items()) if pod.spec.node_name == node]

    # -- a test's moves --------------------------------------------------------------------------------------------

    def edit(self, change: Callable[[Spec], None] | None = None, **values: Any) -> None:  # noqa: C901 # one case for each field
        """Change the spec: by a function of it, or top-level fields; the rolling update's by their snake_case names."""
        before = copy.deepcopy(self.spec)
        update = self.spec["rolloutStrategy"]["rollingUpdateConfiguration"]
        for word, value in values.items():
            match word:
                case "max_unavailable":
                    update["maxUnavailable"] = value
                case "max_surge":
                    update["maxSurge"] = value
                case "partition":
                    update["partition"] = value
                case "image":
                    for role in self.spec["template"]["roles"]:
                        _set_image(role, value)
                case "roles":
                    self.spec["template"]["roles"] = value
                case "grace":
                    self.spec["template"]["restartGracePeriodSeconds"] = value
                case "gang":
                    self.spec["template"].pop("gangSchedule", None)
                    if value is not None:
                        self.spec["template"]["gangSchedule"] = value
                case _:
                    self.spec[word] = value
        if change is not None:
            change(self.spec)
        self.generation += self.spec != before

    def pass_time(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)

    def settle(self, limit: int = 150, *, wait: bool = True) -> None:
        """Reconcile and let pods move until nothing is left to do; where only time helps, let it pass."""
        for _ in range(limit):
            writes = self.status_writes
            decided = self.reconcile()
            moved = self.kubelet()
            if decided.actions or moved or self.status_writes > writes:  # each of these calls the controller again
                self.now += timedelta(seconds=1)
            elif decided.wake_at is not None and wait:
                assert decided.wake_at > self.now, "asks to be called again at a time that is over"
                self.now = decided.wake_at
            else:
                return
        raise AssertionError(f"still not settled after {limit} reconciles: {decided.actions[:5]}")

    # -- what a user would look at ---------------------------------------------------------------------------------

    def condition(self, type_: str) -> Condition:
        return next(condition for condition in self.status.conditions if condition.type == type_)

    def pod_names(self) -> list[str]:
        return sorted(self.pods)

    def groups(self) -> dict[int, set[str]]:
        """Ordinal -> images of its pods that are not going away; ordinals by number."""
        found: dict[int, set[str]] = {}
        for name, pod in self.pods.items():
            identity = parse_pod_name(NAME, name)
            if identity is not None and not pod.metadata.is_terminating:
                found.setdefault(identity.group, set()).add(self.images[name])
        return dict(sorted(found.items()))

    def uids(self) -> dict[str, str]:
        return {name: pod.metadata.uid for name, pod in sorted(self.pods.items())}


def _containers(pod: Pod) -> tuple[ContainerStatus, ...]:
    return pod.status.container_statuses or (ContainerStatus(name="main"),)


def _set_image(role: Spec, image: str) -> None:
    for template in ("entryTemplate", "workerTemplate"):
        if template in role:
            role[template]["spec"]["containers"][0]["image"] = image


def check_one_writer(decided: Plan) -> None:
    """No object is written twice in one plan, and none is both made and deleted."""
    touched = [_object(action) for action in decided.actions]
    assert len(touched) == len(set(touched)), f"written twice in one plan: {sorted(map(str, touched))}"


def _object(action: Action) -> tuple[str, str]:
    match action:
        case CreateRevision(revision):
            return "ControllerRevision", revision.name
        case RenumberRevision() | DeleteRevision():
            return "ControllerRevision", action.name
        case CreatePodGroup() | PatchPodGroup() | DeletePodGroup():
            return f"PodGroup {action.key.scheduler}", action.key.name
        case CreateService() | PatchService() | DeleteService():
            return "Service", action.name
        case CreateDisruptionBudget() | PatchDisruptionBudget() | DeleteDisruptionBudget():
            return "PodDisruptionBudget", action.name
        case CreatePod() | PatchPodMetadata() | DeletePod():
            return "Pod", action.name


def pod_name(group: int, role: str = "decode", instance: int = 0, index: int = 0) -> str:
    return names.pod_name(NAME, group, role, instance, index)
