"""How fresh the caches are, and what they cost."""

from collections.abc import Iterable, Mapping
from typing import Any

from prometheus_client import Gauge
from prometheus_client.core import CounterMetricFamily

from modelinfer_controller.app.metrics.registry import Metrics
from modelinfer_controller.controller.caches import Caches
from modelinfer_controller.kube.cache.discovered_informer import DiscoveredInformer
from modelinfer_controller.kube.cache.informer import SharedInformer
from modelinfer_controller.kube.cache.reflector import ReflectorCounters

# Metric and description, by the counter's name.
_COUNTERS: Mapping[str, tuple[str, str]] = {
    "list_count": ("modelinfer_informer_lists", "Lists begun"),
    "list_error_count": ("modelinfer_informer_list_errors", "Lists that failed"),
    "watch_count": ("modelinfer_informer_watches", "Watches begun"),
    "watch_error_count": ("modelinfer_informer_watch_errors", "Watches that failed or were closed at once"),
    "event_count": ("modelinfer_informer_events", "Events received"),
    "bookmark_count": ("modelinfer_informer_bookmarks", "Bookmarks received"),
}


class ReflectorCollector:
    """The counters that reflectors keep themselves, as they were at the last `read`."""

    def __init__(self) -> None:
        self._counters: dict[str, ReflectorCounters] = {}
        self._handler_errors: dict[str, int] = {}

    def read(self, resource: str, counters: ReflectorCounters, handler_error_count: int) -> None:
        self._counters[resource] = counters
        self._handler_errors[resource] = handler_error_count

    def collect(self) -> Iterable[CounterMetricFamily]:
        for counter, (metric, description) in _COUNTERS.items():
            family = CounterMetricFamily(metric, description, labels=("resource",))
            for resource, counters in tuple(self._counters.items()):
                family.add_metric((resource,), getattr(counters, counter))
            yield family
        errors = CounterMetricFamily(
            "modelinfer_informer_handler_errors", "Exceptions of event handlers: faults of ours", labels=("resource",)
        )
        for resource, count in tuple(self._handler_errors.items()):
            errors.add_metric((resource,), count)
        yield errors


class InformerMetrics:
    """One series for each resource; all of it is read when somebody asks."""

    def __init__(self, metrics: Metrics, caches: Caches) -> None:
        self._caches = caches
        labels, registry = ("resource",), metrics.registry
        self._staleness = Gauge(
            "modelinfer_informer_staleness_seconds",
            "Seconds since the API server last said anything about this resource: an event, a bookmark or a list",
            labels,
            registry=registry,
        )
        self._objects = Gauge("modelinfer_informer_objects", "Objects in the cache", labels, registry=registry)
        self._synced = Gauge(
            "modelinfer_informer_synced",
            "Whether the initial list is in the cache, or the resource is known not to be served",
            labels,
            registry=registry,
        )
        self._served = Gauge(
            "modelinfer_optional_resource_served",
            "Whether the API server serves this resource, which a cluster need not have",
            labels,
            registry=registry,
        )
        self._reflectors = ReflectorCollector()
        registry.register(self._reflectors)
        metrics.refresh_by(self.refresh)

    def refresh(self) -> None:
        for informer in self._caches.informers:
            self._synced.labels(informer.name).set(informer.has_synced)
            if isinstance(informer, DiscoveredInformer):
                self._served.labels(informer.name).set(informer.is_served)
                if not informer.is_served:
                    self._staleness.remove_by_labels({"resource": informer.name})
                    continue
                self._refresh(informer.informer)
            else:
                self._refresh(informer)

    def _refresh(self, informer: SharedInformer[Any]) -> None:
        staleness = informer.seconds_since_contact()
        if staleness is not None:
            self._staleness.labels(informer.name).set(staleness)
        self._objects.labels(informer.name).set(len(informer.store))
        self._reflectors.read(informer.name, informer.counters, informer.handler_error_count)
