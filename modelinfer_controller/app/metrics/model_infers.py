"""What no other controller tells: the state of each ModelInfer's groups, and what its users wait for.

The series of a ModelInfer go when it goes. At most `max_objects` have any; how many do without says
modelinfer_objects_without_metrics.
"""

from dataclasses import dataclass, field

from prometheus_client import Counter, Gauge, Histogram

from modelinfer_controller.api import well_known
from modelinfer_controller.api.core import Pod
from modelinfer_controller.api.names import ObjectName
from modelinfer_controller.api.status import ModelInfer
from modelinfer_controller.app.metrics.group_states import OWNER, GroupGauges
from modelinfer_controller.app.metrics.pod_startup import startup_phases
from modelinfer_controller.app.metrics.registry import Metrics
from modelinfer_controller.kube.cache.handlers import DeletedFinalStateUnknown, last_state
from modelinfer_controller.planning.decide import Decision
from modelinfer_controller.planning.group import Group
from modelinfer_controller.planning.pod_view import PodView

STARTUP_BUCKETS = (1.0, 5.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0)  # large models load for minutes


@dataclass
class Tracked:
    """What is remembered of one ModelInfer, to count each thing once. No decision hangs on it.

    pods_by_group: for groups that are or were available, the UIDs of the pods they had as they became it. recreations:
    (ordinal, scope) -> the incarnation counted last. placed: UIDs of PodGroups all of whose pods have nodes.
    """

    uid: str
    latest: Decision
    available: set[int] = field(default_factory=set)
    pods_by_group: dict[int, frozenset[str]] = field(default_factory=dict)
    recreations: dict[tuple[int, str], int] = field(default_factory=dict)
    placed: set[str] = field(default_factory=set)


class ModelInferMetrics:
    """Implements `reconciler.DecisionObserver`, and is a handler of the informer of ModelInfers."""

    def __init__(self, metrics: Metrics, *, max_objects: int) -> None:
        registry = metrics.registry
        self._max_objects = max_objects
        self._tracked: dict[ObjectName, Tracked] = {}
        self._untracked: set[ObjectName] = set()
        self._gauges = GroupGauges(registry)
        self._without = Gauge(
            "modelinfer_objects_without_metrics", "ModelInfers beyond the limit of those with series", registry=registry
        )
        self._rebuilds = Counter(
            "modelinfer_rebuilds",
            "Rebuilds by recovery policy and cause (deleted, failed, restarted)",
            (*OWNER, "policy", "cause"),
            registry=registry,
        )
        self._group_startup = Histogram(
            "modelinfer_group_startup_seconds",
            "From the creation of a group's first new pod to the group being available",
            OWNER,
            registry=registry,
            buckets=STARTUP_BUCKETS,
        )
        self._role_startup = Histogram(
            "modelinfer_role_startup_seconds",
            "From the creation of a role instance's first new pod to its last being ready",
            (*OWNER, "role"),
            registry=registry,
            buckets=STARTUP_BUCKETS,
        )
        self._gang_wait = Histogram(
            "modelinfer_gang_wait_seconds",
            "From the creation of a group's PodGroup to every pod of the group having its node",
            OWNER,
            registry=registry,
            buckets=STARTUP_BUCKETS,
        )
        self._pod_startup = Histogram(
            "modelinfer_pod_startup_seconds",
            "The start of a pod by phase: scheduling, pulling (images, volumes, init containers), starting",
            (*OWNER, "role", "phase"),
            registry=registry,
            buckets=STARTUP_BUCKETS,
        )
        metrics.refresh_by(self._refresh)

    def __call__(self, decision: Decision) -> None:
        owner = decision.owner
        key = ObjectName(owner.namespace, owner.name)
        tracked = self._tracked.get(key)
        if tracked is None or tracked.uid != owner.metadata.uid:
            self._begin(key, decision)
            return
        tracked.latest = decision
        self._count_rebuilds(key, tracked)
        self._time_startups(key, tracked)
        self._time_gangs(key, tracked)

    def pod_became_ready(self, pod: Pod) -> None:
        key = ObjectName(pod.metadata.namespace, pod.metadata.labels.get(well_known.NAME, ""))
        if key not in self._tracked:
            return
        role = pod.metadata.labels.get(well_known.ROLE, "")
        for phase, seconds in startup_phases(pod).items():
            self._pod_startup.labels(*key, role, phase).observe(seconds)

    def _begin(self, key: ObjectName, decision: Decision) -> None:
        """The first look: what has happened by then was counted by whoever saw it, except rebuilds decided now."""
        self._forget(key)
        if len(self._tracked) >= self._max_objects:
            self._untracked.add(key)
            self._without.set(len(self._untracked))
            return
        tracked = Tracked(decision.owner.metadata.uid, decision)
        tracked.available = _available(decision)
        tracked.pods_by_group = {ordinal: _uids(decision.groups[ordinal]) for ordinal in tracked.available}
        tracked.placed = _placed(decision)
        self._tracked[key] = tracked
        self._count_rebuilds(key, tracked)

    def _refresh(self) -> None:
        for key, tracked in self._tracked.items():
            self._gauges.set(key, tracked.latest)

    def _count_rebuilds(self, key: ObjectName, tracked: Tracked) -> None:
        policy = tracked.latest.owner.spec.recovery_policy
        for ordinal, group in tracked.latest.groups.items():
            for one in group.recovery.recreations:
                counted = tracked.recreations.get((ordinal, one.scope))
                if counted != one.record.incarnation:  # it is decided again where writing it down failed
                    tracked.recreations[ordinal, one.scope] = one.record.incarnation
                    self._rebuilds.labels(*key, policy, one.trigger.kind).inc()

    def _time_startups(self, key: ObjectName, tracked: Tracked) -> None:
        """Each time a group becomes available with pods that it did not have when it last did."""
        groups, available = tracked.latest.groups, _available(tracked.latest)
        for ordinal in available - tracked.available:
            before = tracked.pods_by_group.get(ordinal, frozenset())
            fresh = [pod for pod in groups[ordinal].live_pods if pod.uid not in before]
            if fresh:
                tracked.pods_by_group[ordinal] = _uids(groups[ordinal])
                self._observe_startup(key, groups[ordinal], fresh)
        tracked.available = available
        for ordinal in tracked.pods_by_group.keys() - groups.keys():
            del tracked.pods_by_group[ordinal]

    def _observe_startup(self, key: ObjectName, group: Group, fresh: list[PodView]) -> None:
        if (seconds := _startup_seconds(fresh)) is not None:
            self._group_startup.labels(*key).observe(seconds)
        by_instance: dict[tuple[str, int], list[PodView]] = {}
        for pod in fresh:
            by_instance.setdefault(pod.instance, []).append(pod)
        for (role, _), pods in by_instance.items():
            if all(pod.is_ready for pod in pods) and (seconds := _startup_seconds(pods)) is not None:
                self._role_startup.labels(
                    *key, group.shape.roles[role].name if role in group.shape.roles else role
                ).observe(seconds)

    def _time_gangs(self, key: ObjectName, tracked: Tracked) -> None:
        observed, now = tracked.latest.observed, tracked.latest.now
        if not observed.pod_groups:
            return
        placed = _placed(tracked.latest)
        created_at = {one.metadata.uid: one.metadata.creation_timestamp for one in observed.pod_groups.values()}
        for uid in placed - tracked.placed:
            if (created := created_at[uid]) is not None:
                self._gang_wait.labels(*key).observe(max(0.0, (now - created).total_seconds()))
        tracked.placed = (tracked.placed | placed) & created_at.keys()

    def _forget(self, key: ObjectName) -> None:
        self._untracked.discard(key)
        self._without.set(len(self._untracked))
        if self._tracked.pop(key, None) is None:
            return
        self._gauges.remove(key)
        for metric in (self._rebuilds, self._group_startup, self._role_startup, self._gang_wait, self._pod_startup):
            metric.remove_by_labels({"namespace": key.namespace, "name": key.name})

    # ResourceEventHandler of ModelInfers: the series go with the object.

    def on_add(self, obj: ModelInfer, is_in_initial_list: bool) -> None: ...

    def on_update(self, old: ModelInfer, new: ModelInfer) -> None: ...

    def on_delete(self, obj: ModelInfer | DeletedFinalStateUnknown[ModelInfer]) -> None:
        self._forget(last_state(obj).metadata.object_name)


def _available(decision: Decision) -> set[int]:
    return {ordinal for ordinal, group in decision.groups.items() if group.is_available}


def _placed(decision: Decision) -> set[str]:
    """UIDs of the PodGroups of groups that have all their pods, and all pods nodes."""
    if not decision.observed.pod_groups:
        return set()
    return {
        pod_group.metadata.uid
        for ordinal, group in decision.groups.items()
        for _, pod_group in decision.observed.pod_groups_of(ordinal)
        if len(group.live_pods) >= group.shape.pod_count and all(pod.is_scheduled for pod in group.live_pods)
    }


def _uids(group: Group) -> frozenset[str]:
    return frozenset(pod.uid for pod in group.live_pods)


def _startup_seconds(pods: list[PodView]) -> float | None:
    ready = [pod.ready_since for pod in pods if pod.ready_since is not None]
    if not ready:
        return None
    return max(0.0, (max(ready) - min(pod.created_at for pod in pods)).total_seconds())
