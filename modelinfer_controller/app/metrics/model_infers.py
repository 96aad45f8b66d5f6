"""What no other controller tells: the state of each ModelInfer's groups, and what its users wait for.

The series of a ModelInfer go when it goes. At most `max_objects` have any; how many do without says
modelinfer_objects_without_metrics.
"""

from collections import Counter as Tally
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from prometheus_client import Counter, Gauge, Histogram

from modelinfer_controller.api import labels
from modelinfer_controller.api.core import ContainerStatus, Pod
from modelinfer_controller.api.names import ObjectName
from modelinfer_controller.api.status import ModelInfer
from modelinfer_controller.app.metrics.registry import Metrics
from modelinfer_controller.kube.cache.handlers import DeletedFinalStateUnknown, last_state
from modelinfer_controller.planning.assess import Assessment
from modelinfer_controller.planning.group import Group
from modelinfer_controller.planning.observed import PodView
from modelinfer_controller.planning.recovery import Trigger

STARTUP_BUCKETS = (1.0, 5.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0)  # large models load for minutes
OWNER = ("namespace", "name")


class GroupStateName(StrEnum):
    """What a group is at, exactly one at a time."""

    AVAILABLE = "available"
    STARTING = "starting"  # every pod has its node
    PENDING = "pending"  # pods are to be made, or wait for a node
    REBUILDING = "rebuilding"  # after a failure
    BACKING_OFF = "backing_off"  # a rebuild waits for its time
    TERMINATING = "terminating"  # replaced, or not to be any more


@dataclass
class Tracked:
    """What is remembered of one ModelInfer, to count each thing once. No decision hangs on it.

    pods_by_group: for groups that are or were available, the UIDs of the pods they had as they became it.
    waits_known_of: UIDs of PodGroups.
    """

    uid: str
    available: set[int]
    pods_by_group: dict[int, frozenset[str]]
    rebuilds: set[tuple[int, str, int]] = field(default_factory=set)
    waits_known_of: set[str] = field(default_factory=set)


class ModelInferMetrics:
    """Implements `reconciler.AssessmentObserver`, and is a handler of the informer of ModelInfers."""

    def __init__(self, metrics: Metrics, *, max_objects: int) -> None:
        registry = metrics.registry
        self._max_objects = max_objects
        self._tracked: dict[ObjectName, Tracked] = {}
        self._untracked: set[ObjectName] = set()
        self._without = Gauge(
            "modelinfer_objects_without_metrics", "ModelInfers beyond the limit of those with series", registry=registry
        )
        self._groups = Gauge("modelinfer_groups", "Groups by state", (*OWNER, "state"), registry=registry)
        self._desired = Gauge("modelinfer_groups_desired", "spec.replicas", OWNER, registry=registry)
        self._updated = Gauge("modelinfer_groups_updated", "Groups at the update revision", OWNER, registry=registry)
        self._progress = Gauge(
            "modelinfer_rollout_progress_ratio",
            "Share of the desired groups that are available at the update revision; 1 when nothing is left to do",
            OWNER,
            registry=registry,
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

    def __call__(self, assessment: Assessment) -> None:
        owner = assessment.owner
        key = ObjectName(owner.namespace, owner.name)
        tracked = self._track(key, owner.metadata.uid, assessment)
        if tracked is None:
            return
        tally = Tally(state_of(group, assessment) for group in assessment.groups.values())
        for state in GroupStateName:
            self._groups.labels(*key, state).set(tally[state])
        self._set_progress(key, assessment)
        self._count_rebuilds(key, tracked, assessment)
        self._time_startups(key, tracked, assessment)
        self._time_gangs(key, tracked, assessment)

    def _track(self, key: ObjectName, uid: str, assessment: Assessment) -> Tracked | None:
        tracked = self._tracked.get(key)
        if tracked is not None and tracked.uid == uid:
            return tracked
        self._forget(key)
        if len(self._tracked) >= self._max_objects:
            self._untracked.add(key)
            self._without.set(len(self._untracked))
            return None
        # What is available at the first look became so before our time, and was counted by whoever saw it.
        known = {o: _uids(group) for o, group in assessment.groups.items() if _is_available(o, assessment)}
        return self._tracked.setdefault(key, Tracked(uid, set(known), known))

    def _set_progress(self, key: ObjectName, assessment: Assessment) -> None:
        wanted, update = assessment.budget.replicas, assessment.update.name
        states = [assessment.states[ordinal] for ordinal in range(wanted)]
        self._desired.labels(*key).set(wanted)
        self._updated.labels(*key).set(
            sum(group.revision.name == update for group in assessment.groups.values() if group.live_pods)
        )
        done = sum(state.is_available and state.revision == update for state in states)
        self._progress.labels(*key).set(done / wanted if wanted else 1.0)

    def _count_rebuilds(self, key: ObjectName, tracked: Tracked, assessment: Assessment) -> None:
        policy = assessment.owner.spec.recovery_policy
        for ordinal, plan in assessment.plans.items():
            for rebuild in plan.recovery.rebuilds:
                identity = (ordinal, rebuild.scope, rebuild.record.incarnation)
                if identity not in tracked.rebuilds:  # it is decided again where writing it down failed
                    tracked.rebuilds.add(identity)
                    self._rebuilds.labels(*key, policy, cause_of(rebuild.trigger)).inc()

    def _time_startups(self, key: ObjectName, tracked: Tracked, assessment: Assessment) -> None:
        """Each time a group becomes available with pods that it did not have when it last did."""
        available = {ordinal for ordinal in assessment.groups if _is_available(ordinal, assessment)}
        for ordinal in available - tracked.available:
            group, before = assessment.groups[ordinal], tracked.pods_by_group.get(ordinal, frozenset())
            fresh = [pod for pod in group.live_pods if pod.uid not in before]
            if fresh:
                tracked.pods_by_group[ordinal] = _uids(group)
                self._observe_startup(key, group, fresh)
        tracked.available = available
        for ordinal in tracked.pods_by_group.keys() - assessment.groups.keys():
            del tracked.pods_by_group[ordinal]

    def _observe_startup(self, key: ObjectName, group: Group, fresh: list[PodView]) -> None:
        if (seconds := _startup_seconds(fresh)) is not None:
            self._group_startup.labels(*key).observe(seconds)
        by_instance: dict[tuple[str, int], list[PodView]] = {}
        for pod in fresh:
            by_instance.setdefault(pod.instance, []).append(pod)
        for (role, _), pods in by_instance.items():
            if all(pod.is_ready for pod in pods) and (seconds := _startup_seconds(pods)) is not None:
                self._role_startup.labels(*key, group.shape.role_names.get(role, role)).observe(seconds)

    def _time_gangs(self, key: ObjectName, tracked: Tracked, assessment: Assessment) -> None:
        stored = assessment.observed.pod_groups
        if not stored:
            tracked.waits_known_of.clear()
            return
        tracked.waits_known_of &= {pod_group.metadata.uid for pod_group in stored.values()}
        for ordinal, group in assessment.groups.items():
            if not group.live_pods or not all(pod.is_scheduled for pod in group.live_pods):
                continue
            for _, pod_group in assessment.observed.pod_groups_of(ordinal):
                created, uid = pod_group.metadata.creation_timestamp, pod_group.metadata.uid
                if uid not in tracked.waits_known_of and created is not None:
                    tracked.waits_known_of.add(uid)
                    # Whole seconds are all that is known of the creation; a wait that went before us is not ours.
                    if any(pod.created_at >= created and not pod.is_ready for pod in group.live_pods):
                        self._gang_wait.labels(*key).observe(max(0.0, (assessment.now - created).total_seconds()))

    def pod_became_ready(self, pod: Pod) -> None:
        key = ObjectName(pod.metadata.namespace, pod.metadata.labels.get(labels.NAME, ""))
        if key not in self._tracked:
            return
        role = pod.metadata.labels.get(labels.ROLE, "")
        for phase, seconds in startup_phases(pod).items():
            self._pod_startup.labels(*key, role, phase).observe(seconds)

    def _forget(self, key: ObjectName) -> None:
        self._untracked.discard(key)
        self._without.set(len(self._untracked))
        if self._tracked.pop(key, None) is None:
            return
        of_it = {"namespace": key.namespace, "name": key.name}
        for metric in (
            self._groups,
            self._desired,
            self._updated,
            self._progress,
            self._rebuilds,
            self._group_startup,
            self._role_startup,
            self._gang_wait,
            self._pod_startup,
        ):
            metric.remove_by_labels(of_it)

    # ResourceEventHandler of ModelInfers: the series go with the object.

    def on_add(self, obj: ModelInfer, is_in_initial_list: bool) -> None: ...

    def on_update(self, old: ModelInfer, new: ModelInfer) -> None: ...

    def on_delete(self, obj: ModelInfer | DeletedFinalStateUnknown[ModelInfer]) -> None:
        self._forget(last_state(obj).metadata.object_name)


class PodStartupHandler:
    """A handler of the informer of pods: tells each pod's first readiness that happens before its eyes."""

    def __init__(self, metrics: ModelInferMetrics) -> None:
        self._metrics = metrics
        self._was_ready: set[str] = set()  # UIDs

    def on_add(self, obj: Pod, is_in_initial_list: bool) -> None:
        if obj.is_ready:
            self._was_ready.add(obj.metadata.uid)

    def on_update(self, old: Pod, new: Pod) -> None:
        if new.is_ready and new.metadata.uid not in self._was_ready:
            self._was_ready.add(new.metadata.uid)
            self._metrics.pod_became_ready(new)

    def on_delete(self, obj: Pod | DeletedFinalStateUnknown[Pod]) -> None:
        self._was_ready.discard(last_state(obj).metadata.uid)


def state_of(group: Group, assessment: Assessment) -> GroupStateName:
    ordinal = group.ordinal
    if ordinal not in assessment.plans or (group.pods and not group.live_pods and not group.record.rebuilds):
        return GroupStateName.TERMINATING
    if _is_available(ordinal, assessment):
        return GroupStateName.AVAILABLE
    recovery = assessment.plans[ordinal].recovery
    if recovery.rebuilds or any(not rebuild.complete for rebuild in recovery.record.rebuilds.values()):
        return GroupStateName.REBUILDING
    if any(postponed.is_backoff for postponed in recovery.postponed):
        return GroupStateName.BACKING_OFF
    if not group.live_pods or not all(pod.is_scheduled for pod in group.live_pods):
        return GroupStateName.PENDING
    return GroupStateName.STARTING


def _is_available(ordinal: int, assessment: Assessment) -> bool:
    return ordinal in assessment.states and assessment.states[ordinal].is_available


def _uids(group: Group) -> frozenset[str]:
    return frozenset(pod.uid for pod in group.live_pods)


def cause_of(trigger: Trigger) -> str:
    """In one word, of three."""
    if trigger.failed_at is None:
        return "deleted"
    return "failed" if trigger.why.startswith("has finished") else "restarted"


def startup_phases(pod: Pod) -> Mapping[str, float]:
    """Seconds of each phase of a ready pod's start, as far as its status tells; to the second, as it does."""
    times = [
        pod.metadata.creation_timestamp,
        _transition(pod, "PodScheduled"),
        _started_at(pod.status.container_statuses),
        _transition(pod, "Ready"),
    ]
    phases = zip(("scheduling", "pulling", "starting"), times, times[1:], strict=False)
    return {
        phase: max(0.0, (end - begin).total_seconds())
        for phase, begin, end in phases
        if begin is not None and end is not None
    }


def _transition(pod: Pod, type_: str) -> datetime | None:
    condition = pod.condition(type_)
    return condition.last_transition_time if condition is not None else None


def _started_at(statuses: Iterable[ContainerStatus]) -> datetime | None:
    started = [status.state.running.started_at for status in statuses if status.state.running is not None]
    return max((time for time in started if time is not None), default=None)


def _startup_seconds(pods: list[PodView]) -> float | None:
    ready = [pod.ready_since for pod in pods if pod.ready_since is not None]
    if not ready:
        return None
    return max(0.0, (max(ready) - min(pod.created_at for pod in pods)).total_seconds())
