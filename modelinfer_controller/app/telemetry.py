"""Every metric of the process, and where each gets what it counts."""

from urllib.parse import urlsplit

from prometheus_client import Gauge

from modelinfer_controller.app.metrics.actions import ActionMetrics
from modelinfer_controller.app.metrics.informers import InformerMetrics
from modelinfer_controller.app.metrics.machinery import QueueMetrics, ReconcileMetrics, RestClientMetrics
from modelinfer_controller.app.metrics.model_infers import ModelInferMetrics
from modelinfer_controller.app.metrics.pod_startup import PodStartupHandler
from modelinfer_controller.app.metrics.registry import Metrics
from modelinfer_controller.app.metrics.scope import HistogramScope
from modelinfer_controller.controller.wiring import Components, Observers
from modelinfer_controller.kube.events import EventRecorder

CONTROLLER = "modelinfer"  # the value of the labels that name queue and controller


class Telemetry:
    """Make it first, pass `observers` and `requests` on, then let it watch what was assembled with them."""

    MAX_OBJECTS = 1000  # ModelInfers with series of their own

    def __init__(self, *, server: str, workers: int, histograms: HistogramScope = HistogramScope.AGGREGATED) -> None:
        self.metrics = Metrics()
        self.requests = RestClientMetrics(self.metrics, urlsplit(server).netloc)
        self._queue = QueueMetrics(self.metrics, CONTROLLER)
        self._reconciles = ReconcileMetrics(self.metrics, CONTROLLER, workers)
        self._actions = ActionMetrics(self.metrics)
        self._model_infers = ModelInferMetrics(self.metrics, max_objects=self.MAX_OBJECTS, histograms=histograms)

    @property
    def observers(self) -> Observers:
        return Observers(
            on_action=self._actions,
            on_reconcile=self._reconciles,
            on_status=self._model_infers,
            queue=self._queue,
        )

    def watch_events(self, recorder: EventRecorder) -> None:
        dropped = Gauge(
            "modelinfer_events_dropped",
            "Kubernetes Events that were not sent since the start: too many of one object, or refused",
            registry=self.metrics.registry,
        )
        self.metrics.refresh_by(lambda: dropped.set(recorder.dropped_count))

    def watch(self, components: Components) -> None:
        """Before the caches run."""
        caches = components.caches
        self._queue.watch(components.queue)
        InformerMetrics(self.metrics, caches)
        caches.model_infers.add_event_handler(self._model_infers)
        caches.pods.informer.add_event_handler(PodStartupHandler(self._model_infers.pod_became_ready))
