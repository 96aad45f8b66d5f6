"""What users of ModelInfers wait for, as histograms: over all ModelInfers, for each of them, or not at all."""

from collections.abc import Mapping, Sequence

from prometheus_client import CollectorRegistry, Histogram

from modelinfer_controller.api.names import ObjectName
from modelinfer_controller.app.metrics.scope import HistogramScope

STARTUP_BUCKETS = (1.0, 5.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0)  # large models load for minutes
ROLLOUT_BUCKETS = (10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0, 7200.0, 21600.0)


class ScopedHistogram:
    """A histogram that has the labels of its ModelInfer, or none of them, or is not there, as the scope says.

    labels: of bounded values; they are there in every scope. own_labels: users' words, such as the name of a role.
    """

    def __init__(
        self,
        registry: CollectorRegistry,
        scope: HistogramScope,
        name: str,
        description: str,
        *,
        buckets: Sequence[float],
        labels: Sequence[str] = (),
        own_labels: Sequence[str] = (),
    ) -> None:
        self._is_per_object = scope is HistogramScope.PER_OBJECT
        self._names = (*(("namespace", "name", *own_labels) if self._is_per_object else ()), *labels)
        self._histogram = (
            Histogram(name, description, self._names, registry=registry, buckets=buckets)
            if scope is not HistogramScope.OFF
            else None
        )

    def observe(self, key: ObjectName, seconds: float, labels: Mapping[str, str] | None = None) -> None:
        if self._histogram is None:
            return
        values = {"namespace": key.namespace, "name": key.name, **(labels or {})}
        child = self._histogram.labels(*(values[name] for name in self._names)) if self._names else self._histogram
        child.observe(seconds)

    def remove(self, key: ObjectName) -> None:
        """The series of that ModelInfer; what is counted over all of them stays."""
        if self._histogram is not None and self._is_per_object:
            self._histogram.remove_by_labels({"namespace": key.namespace, "name": key.name})


class ModelInferHistograms:
    """All of them."""

    def __init__(self, registry: CollectorRegistry, scope: HistogramScope) -> None:
        self.group_startup = ScopedHistogram(
            registry,
            scope,
            "modelinfer_group_startup_seconds",
            "From the creation of a group's first new pod to the group being available",
            buckets=STARTUP_BUCKETS,
        )
        self.role_startup = ScopedHistogram(
            registry,
            scope,
            "modelinfer_role_startup_seconds",
            "From the creation of a role instance's first new pod to its last being ready",
            buckets=STARTUP_BUCKETS,
            own_labels=("role",),
        )
        self.pod_startup = ScopedHistogram(
            registry,
            scope,
            "modelinfer_pod_startup_seconds",
            "The start of a pod by phase: scheduling, pulling (images, volumes, init containers), starting",
            buckets=STARTUP_BUCKETS,
            labels=("phase",),
            own_labels=("role",),
        )
        self.gang_wait = ScopedHistogram(
            registry,
            scope,
            "modelinfer_gang_wait_seconds",
            "From the creation of a group's PodGroup to every pod of the group having its node",
            buckets=STARTUP_BUCKETS,
        )
        self.rollout_duration = ScopedHistogram(
            registry,
            scope,
            "modelinfer_rollout_duration_seconds",
            "From the start of an update to its last group being available",
            buckets=ROLLOUT_BUCKETS,
        )

    def remove(self, key: ObjectName) -> None:
        for one in (self.group_startup, self.role_startup, self.pod_startup, self.gang_wait, self.rollout_duration):
            one.remove(key)
