"""What no other controller reports: the state of each ModelInfer's groups, and what its users wait for.

The series of a ModelInfer go when it goes. At most `max_objects` have any; how many do without says
modelinfer_objects_without_metrics.
"""

import asyncio
from collections.abc import Iterator, Mapping
from datetime import datetime

from prometheus_client import Gauge

from modelinfer_controller.api import well_known
from modelinfer_controller.api.core import Pod, PodGroup
from modelinfer_controller.api.names import ObjectName
from modelinfer_controller.api.status import ModelInfer, ModelInferStatus
from modelinfer_controller.app.metrics.availability import AvailabilityTimer
from modelinfer_controller.app.metrics.histograms import ModelInferHistograms
from modelinfer_controller.app.metrics.pod_startup import startup_phases
from modelinfer_controller.app.metrics.registry import Metrics
from modelinfer_controller.app.metrics.scope import HistogramScope
from modelinfer_controller.app.metrics.series import ModelInferCollector
from modelinfer_controller.app.metrics.tracked import Conclusion, Tracked
from modelinfer_controller.kube.cache.handlers import DeletedFinalStateUnknown, last_state
from modelinfer_controller.planning.cause import Failures
from modelinfer_controller.planning.decide import Decision
from modelinfer_controller.planning.group import Group
from modelinfer_controller.planning.pod_view import PodView

SPARE = 16  # PodGroups that are gone, before they are looked for


class ModelInferMetrics:
    """Implements `reporter.StatusObserver`, and is a handler of the informer of ModelInfers."""

    def __init__(self, metrics: Metrics, *, max_objects: int, histograms: HistogramScope) -> None:
        self._max_objects = max_objects
        self._tracked: dict[ObjectName, Tracked] = {}
        self._untracked: set[ObjectName] = set()
        self._histograms = ModelInferHistograms(metrics.registry, histograms)
        self._without = Gauge(
            "modelinfer_objects_without_metrics",
            "ModelInfers beyond the limit of those with series",
            registry=metrics.registry,
        )
        self._collector = ModelInferCollector()
        metrics.registry.register(self._collector)
        metrics.refresh_by(self._refresh)

    def __call__(self, decision: Decision, status: ModelInferStatus, failures: Failures) -> None:
        owner = decision.owner
        key, conclusion = ObjectName(owner.namespace, owner.name), Conclusion(decision, status, failures)
        tracked = self._tracked.get(key)
        if tracked is None or tracked.uid != owner.metadata.uid:
            tracked = self._begin(key, conclusion)
            if tracked is None:
                return
        else:
            tracked.timer.advance(tracked.latest.facts, _now())
            tracked.latest = conclusion
            self._time_startups(key, tracked)
            self._time_gangs(key, tracked)
        tracked.count_recreations()
        tracked.replacements.follow(decision)
        seconds = tracked.rollouts.follow(owner.status, status, decision.now)
        if seconds is not None:
            self._histograms.rollout_duration.observe(key, seconds)

    def pod_became_ready(self, pod: Pod) -> None:
        """Counts pods of ModelInfers alone: anybody may make one with our labels, whose role would be a new series."""
        key = ObjectName(pod.metadata.namespace, pod.metadata.labels.get(well_known.NAME, ""))
        tracked = self._tracked.get(key)
        role = tracked.role_of(pod) if tracked is not None else None
        if role is None:
            return
        for phase, seconds in startup_phases(pod).items():
            self._histograms.pod_startup.observe(key, seconds, {"role": role, "phase": phase})

    def _begin(self, key: ObjectName, conclusion: Conclusion) -> Tracked | None:
        """The first look: how groups became available by then was counted by whoever saw it."""
        self._forget(key)
        if len(self._tracked) >= self._max_objects:
            self._untracked.add(key)
            self._without.set(len(self._untracked))
            return None
        decision = conclusion.decision
        available = _available(decision)
        self._tracked[key] = tracked = Tracked(
            uid=decision.owner.metadata.uid,
            latest=conclusion,
            timer=AvailabilityTimer(counted_until=_now()),
            available=available,
            pods_by_group={ordinal: _uids(decision.groups[ordinal]) for ordinal in available},
            placed=set(_placed(decision, at_rest=True)),
        )
        tracked.replacements.begin(decision)
        return tracked

    def _refresh(self) -> None:
        if self._tracked:
            now = _now()
            self._collector.read((key, tracked.points(now)) for key, tracked in self._tracked.items())
        else:
            self._collector.read(())

    def _time_startups(self, key: ObjectName, tracked: Tracked) -> None:
        """Each time a group becomes available with pods that it did not have when it last did."""
        decision = tracked.latest.decision
        for ordinal, group in decision.active.items():
            if not group.is_available:
                tracked.available.discard(ordinal)
            elif ordinal not in tracked.available:
                tracked.available.add(ordinal)
                before = tracked.pods_by_group.get(ordinal, frozenset())
                fresh = [pod for pod in group.live_pods if pod.uid not in before]
                if fresh:
                    tracked.pods_by_group[ordinal] = _uids(group)
                    self._observe_startup(key, group, fresh)
        if len(tracked.pods_by_group) > len(decision.active) + len(decision.at_rest):
            for ordinal in [o for o in tracked.pods_by_group if decision.existing(o) is None]:
                del tracked.pods_by_group[ordinal]
                tracked.available.discard(ordinal)

    def _observe_startup(self, key: ObjectName, group: Group, fresh: list[PodView]) -> None:
        if (seconds := _startup_seconds(fresh)) is not None:
            self._histograms.group_startup.observe(key, seconds)
        by_instance: dict[tuple[str, int], list[PodView]] = {}
        for pod in fresh:
            by_instance.setdefault(pod.instance, []).append(pod)
        for (role, _), pods in by_instance.items():
            if all(pod.is_ready for pod in pods) and (seconds := _startup_seconds(pods)) is not None:
                shown = group.shape.roles[role].name if role in group.shape.roles else role
                self._histograms.role_startup.observe(key, seconds, {"role": shown})

    def _time_gangs(self, key: ObjectName, tracked: Tracked) -> None:
        decision = tracked.latest.decision
        for uid, created in _placed(decision).items():
            if uid not in tracked.placed and created is not None:
                self._histograms.gang_wait.observe(key, max(0.0, (decision.now - created).total_seconds()))
            tracked.placed.add(uid)
        if len(tracked.placed) > 2 * len(decision.observed.children) + SPARE:
            tracked.placed &= {one.metadata.uid for _, one in _pod_groups(decision, decision.groups)}

    def _forget(self, key: ObjectName) -> None:
        self._untracked.discard(key)
        self._without.set(len(self._untracked))
        if self._tracked.pop(key, None) is None:
            return
        self._histograms.remove(key)

    # ResourceEventHandler of ModelInfers: the series go with the object.

    def on_add(self, obj: ModelInfer, is_in_initial_list: bool) -> None: ...

    def on_update(self, old: ModelInfer, new: ModelInfer) -> None: ...

    def on_delete(self, obj: ModelInfer | DeletedFinalStateUnknown[ModelInfer]) -> None:
        self._forget(last_state(obj).metadata.object_name)


def _now() -> float:
    return asyncio.get_running_loop().time()


def _available(decision: Decision) -> set[int]:
    return {ordinal for ordinal, group in decision.groups.items() if group.is_available}


def _placed(decision: Decision, *, at_rest: bool = False) -> dict[str, datetime | None]:
    """PodGroups of groups that have all their pods, and all pods nodes: when each was created, by its UID.

    at_rest: also of groups that are at rest, of which nothing has changed since the last decision.
    """
    groups = decision.groups if at_rest else decision.active
    return {
        one.metadata.uid: one.metadata.creation_timestamp
        for group, one in _pod_groups(decision, groups)
        if len(group.live_pods) >= group.shape.pod_count and all(pod.is_scheduled for pod in group.live_pods)
    }


def _pod_groups(decision: Decision, groups: Mapping[int, Group]) -> Iterator[tuple[Group, PodGroup]]:
    for ordinal, group in groups.items():
        for _, stored in decision.observed.pod_groups_of(ordinal):
            yield group, stored


def _uids(group: Group) -> frozenset[str]:
    return frozenset(pod.uid for pod in group.live_pods)


def _startup_seconds(pods: list[PodView]) -> float | None:
    ready = [pod.ready_since for pod in pods if pod.ready_since is not None]
    if not ready:
        return None
    return max(0.0, (max(ready) - min(pod.created_at for pod in pods)).total_seconds())
