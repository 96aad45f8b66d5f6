"""The queue between event handlers and workers: what to reconcile next, once each, retries with back-off."""

from modelinfer_controller.kube.workqueue.metrics import NoMetrics, WorkQueueMetrics
from modelinfer_controller.kube.workqueue.queue import QueueShutDown, WorkQueue
from modelinfer_controller.kube.workqueue.rate_limiter import ItemExponentialBackoff, RateLimiter

__all__ = [
    "ItemExponentialBackoff",
    "NoMetrics",
    "QueueShutDown",
    "RateLimiter",
    "WorkQueue",
    "WorkQueueMetrics",
]
