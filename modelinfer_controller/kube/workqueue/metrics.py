"""What a work queue reports of itself, each named for the client-go metric that it feeds."""

from typing import Protocol


class WorkQueueMetrics(Protocol):
    """What the queue reports. Must not block or raise.

    Two more client-go metrics are read from the queue itself when they are scraped: workqueue_unfinished_work_seconds
    and workqueue_longest_running_processor_seconds.
    """

    def depth(self, items: int) -> None:
        """workqueue_depth: items queued now; those being worked on do not count."""

    def add(self) -> None:
        """workqueue_adds_total: an item became due. An add of an item already due is not one."""

    def queue_duration(self, seconds: float) -> None:
        """workqueue_queue_duration_seconds: how long an item was due before a worker got it."""

    def work_duration(self, seconds: float) -> None:
        """workqueue_work_duration_seconds: how long a worker had an item."""

    def retry(self) -> None:
        """workqueue_retries_total: an item came back through the rate limiter."""


class NoMetrics:
    """For a queue that nobody measures."""

    def depth(self, items: int) -> None: ...

    def add(self) -> None: ...

    def queue_duration(self, seconds: float) -> None: ...

    def work_duration(self, seconds: float) -> None: ...

    def retry(self) -> None: ...
