"""The metrics that users of client-go and controller-runtime already have dashboards and alerts for, by their names."""

from collections.abc import Mapping

from prometheus_client import Counter, Gauge, Histogram

from modelinfer_controller.api.names import ObjectName
from modelinfer_controller.app.metrics.registry import Metrics
from modelinfer_controller.kube.controller import ResultLabel
from modelinfer_controller.kube.workqueue import WorkQueue

QUEUE_BUCKETS = tuple(10.0**exponent for exponent in range(-8, 4))  # client-go's
REQUEST_BUCKETS = (0.005, 0.025, 0.1, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0, 60.0)  # client-go's
RECONCILE_BUCKETS = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)

_METHODS: Mapping[str, str] = {"create": "POST", "update": "PUT", "patch": "PATCH", "delete": "DELETE"}
NO_ANSWER = "<error>"  # client-go's word


class QueueMetrics:
    """Implements `workqueue.metrics.WorkQueueMetrics` for the queue of that name."""

    def __init__(self, metrics: Metrics, name: str) -> None:
        registry, labels = metrics.registry, ("name",)
        self._depth = Gauge("workqueue_depth", "Current depth of workqueue", labels, registry=registry).labels(name)
        self._adds = Counter("workqueue_adds", "Adds handled by workqueue", labels, registry=registry).labels(name)
        self._queued = Histogram(
            "workqueue_queue_duration_seconds",
            "How long an item stays in workqueue before being requested",
            labels,
            registry=registry,
            buckets=QUEUE_BUCKETS,
        ).labels(name)
        self._worked = Histogram(
            "workqueue_work_duration_seconds",
            "How long processing an item from workqueue takes",
            labels,
            registry=registry,
            buckets=QUEUE_BUCKETS,
        ).labels(name)
        self._retries = Counter("workqueue_retries", "Retries handled by workqueue", labels, registry=registry).labels(
            name
        )
        self._unfinished = Gauge(
            "workqueue_unfinished_work_seconds",
            "Seconds of work in progress that work_duration has not observed; large values mean stuck workers",
            labels,
            registry=registry,
        ).labels(name)
        self._longest = Gauge(
            "workqueue_longest_running_processor_seconds",
            "How many seconds the longest running processor has been running",
            labels,
            registry=registry,
        ).labels(name)
        self._metrics = metrics

    def watch(self, queue: WorkQueue[ObjectName]) -> None:
        """Read from this queue what is a matter of the moment."""

        def refresh() -> None:
            self._unfinished.set(queue.unfinished_work_seconds())
            self._longest.set(queue.longest_running_seconds())

        self._metrics.refresh_by(refresh)

    def depth(self, items: int) -> None:
        self._depth.set(items)

    def add(self) -> None:
        self._adds.inc()

    def queue_duration(self, seconds: float) -> None:
        self._queued.observe(seconds)

    def work_duration(self, seconds: float) -> None:
        self._worked.observe(seconds)

    def retry(self) -> None:
        self._retries.inc()


class RestClientMetrics:
    """Implements `client.RequestObserver`; host is the API server's, with its port."""

    def __init__(self, metrics: Metrics, host: str) -> None:
        self._host = host
        self._requests = Counter(
            "rest_client_requests",
            "Number of HTTP requests, partitioned by status code, method, and host",
            ("code", "method", "host"),
            registry=metrics.registry,
        )
        self._seconds = Histogram(
            "rest_client_request_duration_seconds",
            "Request latency in seconds, by verb and host; of a watch, until it is open",
            ("verb", "host"),
            registry=metrics.registry,
            buckets=REQUEST_BUCKETS,
        )

    def __call__(self, verb: str, resource: str, status_code: int, seconds: float) -> None:
        code, method = str(status_code) if status_code else NO_ANSWER, _METHODS.get(verb, "GET")
        self._requests.labels(code, method, self._host).inc()
        self._seconds.labels(verb, self._host).observe(seconds)


class LeadershipMetric:
    """Implements `leaderelection.LeadershipObserver`."""

    def __init__(self, metrics: Metrics, lease: str) -> None:
        self._status = Gauge(
            "leader_election_master_status",
            "Whether this process holds the lease (1) or not (0)",
            ("name",),
            registry=metrics.registry,
        ).labels(lease)

    def __call__(self, is_leader: bool) -> None:
        self._status.set(is_leader)


class ReconcileMetrics:
    """Implements `controller.ReconcileObserver`."""

    def __init__(self, metrics: Metrics, controller: str, workers: int) -> None:
        registry = metrics.registry
        self._controller = controller
        self._total = Counter(
            "controller_runtime_reconcile", "Reconciles, by result", ("controller", "result"), registry=registry
        )
        for label in ResultLabel:
            self._total.labels(controller, label)
        self._errors = Counter(
            "controller_runtime_reconcile_errors", "Reconciles that failed", ("controller",), registry=registry
        ).labels(controller)
        self._seconds = Histogram(
            "controller_runtime_reconcile_time_seconds",
            "Length of time per reconcile",
            ("controller",),
            registry=registry,
            buckets=RECONCILE_BUCKETS,
        ).labels(controller)
        self._outcomes = Counter(
            "modelinfer_reconcile_outcomes",
            "Reconciles that ended in a state of the object that is no error of the controller, by outcome",
            ("outcome",),
            registry=registry,
        )
        Gauge(
            "controller_runtime_max_concurrent_reconciles",
            "Reconciles that may run at the same time",
            ("controller",),
            registry=registry,
        ).labels(controller).set(workers)

    def __call__(self, label: ResultLabel, seconds: float, outcome: str) -> None:
        self._total.labels(self._controller, label).inc()
        self._seconds.observe(seconds)
        if label in (ResultLabel.ERROR, ResultLabel.TERMINAL_ERROR):
            self._errors.inc()
        if outcome:
            self._outcomes.labels(outcome).inc()
