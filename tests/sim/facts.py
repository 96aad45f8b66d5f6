"""What the store holds of one ModelInfer, read with nothing of the controller's own code but label and taint keys."""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from support.update_rules import rules_of

from modelinfer_controller.api import well_known
from modelinfer_controller.planning.nodes import LEAVING_TAINTS
from modelinfer_controller.simulator.apiserver.kinds import KindKey
from modelinfer_controller.simulator.apiserver.store import Store, Stored

Object = dict[str, Any]

NAMESPACE = "default"
NAME = "m"
PODS: KindKey = ("", "pods")
NODES: KindKey = ("", "nodes")
SERVICES: KindKey = ("", "services")
REVISIONS: KindKey = ("apps", "controllerrevisions")
MODEL_INFERS: KindKey = ("workload.volcano.sh", "modelinfers")
VOLCANO: KindKey = ("scheduling.volcano.sh", "podgroups")
NATIVE: KindKey = ("scheduling.k8s.io", "podgroups")
BUDGETS: KindKey = ("policy", "poddisruptionbudgets")
CHILD_KINDS = (PODS, SERVICES, REVISIONS, VOLCANO, NATIVE)

_POD_NAME = re.compile(rf"{NAME}-(\d+)-(.+)-(\d+)-(\d+)")


@dataclass(frozen=True)
class Pod:
    """A pod of the ModelInfer as the store has it; role is as in the name, in lower case."""

    name: str
    uid: str
    group: int
    role: str
    instance: int
    index: int
    revision: str
    is_terminating: bool
    is_ready: bool
    phase: str
    restarts: int
    incarnation: int
    image: str
    drain_deadline: str
    ready_since: str
    object: Object

    @property
    def is_draining(self) -> bool:
        return bool(self.drain_deadline)

    @property
    def node(self) -> str:
        """ "" while it has none."""
        return str(self.object["spec"].get("nodeName", ""))

    @property
    def has_failed(self) -> bool:
        return self.restarts > 0 or self.phase in ("Failed", "Succeeded")


def metadata(obj: Mapping[str, Any]) -> Any:
    return obj["metadata"]


def controllers(obj: Mapping[str, Any]) -> list[Object]:
    return [one for one in metadata(obj).get("ownerReferences") or [] if one.get("controller")]


def is_controlled_by(obj: Mapping[str, Any], uid: str) -> bool:
    return [one["uid"] for one in controllers(obj)] == [uid]


def parse_pod(obj: Object) -> Pod | None:
    """None where the name is none that the ModelInfer gives."""
    meta, status = obj["metadata"], obj.get("status") or {}
    match = _POD_NAME.fullmatch(meta["name"])
    if match is None:
        return None
    statuses = [*(status.get("containerStatuses") or ()), *(status.get("initContainerStatuses") or ())]
    conditions = {one["type"]: one for one in status.get("conditions") or ()}
    ready, annotations = conditions.get("Ready") or {}, meta.get("annotations") or {}
    is_terminating, phase = "deletionTimestamp" in meta, status.get("phase", "")
    return Pod(
        name=meta["name"],
        uid=meta["uid"],
        group=int(match[1]),
        role=match[2],
        instance=int(match[3]),
        index=int(match[4]),
        revision=(meta.get("labels") or {}).get(well_known.REVISION, ""),
        is_terminating=is_terminating,
        is_ready=not is_terminating and phase == "Running" and ready.get("status") == "True",
        phase=phase,
        restarts=sum(one.get("restartCount", 0) for one in statuses),
        incarnation=int(annotations.get(well_known.INCARNATION, "0")),
        image=obj["spec"]["containers"][0]["image"],
        drain_deadline=annotations.get(well_known.DRAIN_DEADLINE, ""),
        ready_since=ready.get("lastTransitionTime", ""),
        object=obj,
    )


class Facts:
    """The present state of the store, for one ModelInfer `m` at a time."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._parsed: dict[int, Pod | None] = {}

    def objects(self, kind: KindKey) -> Iterator[Object]:
        for (namespace, _), stored in self._store.collection(kind).objects.items():
            if namespace == NAMESPACE:
                yield stored.object

    def find(self, kind: KindKey, name: str) -> Object | None:
        stored = self._store.get(kind, (NAMESPACE, name))
        return None if stored is None else stored.object

    @property
    def model(self) -> Object | None:
        return self.find(MODEL_INFERS, NAME)

    @property
    def uid(self) -> str:
        """Of the ModelInfer, "" if there is none."""
        model = self.model
        return model["metadata"]["uid"] if model is not None else ""

    @property
    def is_deleted(self) -> bool:
        """Whether the ModelInfer only waits for its dependents."""
        return "deletionTimestamp" in ((self.model or {}).get("metadata") or {})

    @property
    def spec(self) -> Object:
        model = self.model
        return model["spec"] if model is not None else {"replicas": 0, "template": {"roles": []}}

    @property
    def status(self) -> Object:
        return (self.model or {}).get("status") or {}

    def node(self, name: str) -> Object | None:
        stored = self._store.get(NODES, ("", name))
        return None if stored is None else stored.object

    def owned(self, kind: KindKey) -> list[Object]:
        uid = self.uid
        return [obj for obj in self.objects(kind) if is_controlled_by(obj, uid)]

    def pods(self) -> list[Pod]:
        """Those that the ModelInfer controls, terminating ones among them."""
        uid, found = self.uid, []
        for (namespace, _), stored in self._store.collection(PODS).objects.items():
            if namespace == NAMESPACE and (pod := self.parse(stored)) and is_controlled_by(pod.object, uid):
                found.append(pod)
        return found

    def pods_by_group(self) -> dict[int, list[Pod]]:
        groups: dict[int, list[Pod]] = {}
        for pod in self.pods():
            groups.setdefault(pod.group, []).append(pod)
        return groups

    def parse(self, stored: Stored) -> Pod | None:
        if stored.revision not in self._parsed:
            self._parsed[stored.revision] = parse_pod(stored.object)
        return self._parsed[stored.revision]

    def update_revision(self) -> str:
        """The newest revision by its number."""
        revisions = self.owned(REVISIONS)
        return metadata(max(revisions, key=lambda one: one["revision"]))["name"] if revisions else ""

    def goal_revision(self) -> str:
        """Where an update moves groups to: the update revision, or if it has failed the one that it started from."""
        update, status = self.update_revision(), self.status
        return str(status["currentRevision"]) if status.get("failedRevision") == update else update

    @property
    def is_halted(self) -> bool:
        """Whether the status says of this very spec that its update has failed and goes no further."""
        model = self.model or {}
        found = condition(model, "Stalled")
        is_current = found.get("observedGeneration") == (model.get("metadata") or {}).get("generation")
        return is_current and found.get("reason") == "ProgressDeadlineExceeded"

    @property
    def has_memory(self) -> bool:
        """Whether the status holds what passes with time: recreations, refused requests, an update's clock."""
        status = self.status
        records = (status.get("groups") or {}).values()
        if status.get("updateProgress") or status.get("apiFailures"):
            return True
        return any(one.get("rebuilds") for one in records)

    def revision_data(self, name: str) -> Object:
        """What it says; {} if it is not stored."""
        stored = self.find(REVISIONS, name)
        return stored["data"] if stored is not None else {}


def is_leaving(node: Object) -> bool:
    """Whether it is cordoned, or has a taint that says that it goes."""
    spec = node.get("spec") or {}
    return bool(spec.get("unschedulable")) or any(one["key"] in LEAVING_TAINTS for one in spec.get("taints") or ())


def hands_over(spec: Object) -> bool:
    return spec.get("nodeDrainPolicy") == "HandOver"


def condition(model: Mapping[str, Any], type_: str) -> Object:
    """{} where it has none of that type."""
    conditions: list[Object] = (model.get("status") or {}).get("conditions") or []
    return next((one for one in conditions if one["type"] == type_), {})


def wanted_groups(spec: Object) -> int:
    """How many groups there are to be: none while it is suspended."""
    return 0 if spec.get("suspend") else int(spec["replicas"])


def complete_instances(pods: Iterable[Pod], worker_count_by_role: Mapping[str, int]) -> dict[str, set[int]]:
    """Of each role (lower-case), the instances all of whose pods are ready."""
    ready: dict[tuple[str, int], set[int]] = {}
    for pod in pods:
        if pod.is_ready:
            ready.setdefault((pod.role, pod.instance), set()).add(pod.index)
    complete: dict[str, set[int]] = {role: set() for role in worker_count_by_role}
    for (role, instance), indexes in ready.items():
        if role in worker_count_by_role and indexes >= set(range(worker_count_by_role[role] + 1)):
            complete[role].add(instance)
    return complete


def resolve_budget(spec: Object) -> tuple[int, int, int]:
    """(maxUnavailable, maxSurge, partition) in numbers of groups, from the spec's JSON."""
    rules = rules_of(spec)
    return rules.max_unavailable, rules.max_surge, rules.partition
