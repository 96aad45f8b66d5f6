"""The composition root: every part of the controller, put together over one client."""

import asyncio
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from operator import attrgetter

from modelinfer_controller.api.names import ObjectName
from modelinfer_controller.controller.caches import Caches, build_caches
from modelinfer_controller.controller.decider import Decider, DecisionObserver
from modelinfer_controller.controller.enqueue import add_event_handlers, enqueue_all, enqueue_owners_on
from modelinfer_controller.controller.event_recorder import EventSink, OnceEventRecorder
from modelinfer_controller.controller.execute import ActionObserver, Executor, ignore_action
from modelinfer_controller.controller.forget import ForgetDeleted, QuotaWatch
from modelinfer_controller.controller.node_watch import NodeWatch
from modelinfer_controller.controller.observe import Observer
from modelinfer_controller.controller.pacing import Pacing
from modelinfer_controller.controller.reconciler import Reconciler
from modelinfer_controller.controller.reporter import Reporter, StatusObserver
from modelinfer_controller.controller.status_writer import StatusWriter
from modelinfer_controller.controller.writes import Writes
from modelinfer_controller.kube.backoff import Random
from modelinfer_controller.kube.client import Client
from modelinfer_controller.kube.clock import Clock
from modelinfer_controller.kube.controller import Controller, ReconcileObserver, ignore_reconcile
from modelinfer_controller.kube.inflight import MAX_IN_FLIGHT, FairLimiter
from modelinfer_controller.kube.workqueue import WorkQueue
from modelinfer_controller.kube.workqueue.metrics import WorkQueueMetrics
from modelinfer_controller.kube.workqueue.rate_limiter import ItemExponentialBackoff
from modelinfer_controller.planning.nodes import LEAVING_TAINTS

MAX_RETRY_DELAY = 60.0  # seconds: how long a fixed quota or webhook goes unnoticed at most


@dataclass(frozen=True)
class Observers:
    """Who hears of what, for metrics; nobody by default."""

    on_action: ActionObserver = ignore_action
    on_reconcile: ReconcileObserver = ignore_reconcile
    on_decision: DecisionObserver = lambda decision: None
    on_status: StatusObserver = lambda decision, status, failures: None
    queue: WorkQueueMetrics | None = None


@dataclass(frozen=True)
class Components:
    """The running parts. `run_caches` goes on for ever; `run_workers` until the queue is shut down and empty."""

    caches: Caches
    queue: WorkQueue[ObjectName]
    controller: Controller[ObjectName]
    status_writer: StatusWriter

    async def run_caches(self) -> None:
        await self.caches.run()

    async def run_workers(self) -> None:
        try:
            await self.controller.run()
            await self.status_writer.drain()
        finally:
            await self.status_writer.close()


def wire(  # noqa: PLR0913 # what the composition root decides
    client: Client,
    events: EventSink,
    *,
    clock: Clock,
    random: Random,
    namespaces: Sequence[str] = (),
    workers: int = 256,
    max_in_flight: int = MAX_IN_FLIGHT,
    leaving_taints: Collection[str] = LEAVING_TAINTS,
    processor_time: Callable[[], float] = lambda: 0.0,
    observers: Observers = Observers(),
) -> Components:
    """Must be called inside the loop that everything is to run on. Nothing is sent before `run_caches`."""
    queue: WorkQueue[ObjectName] = WorkQueue(
        ItemExponentialBackoff(cap=MAX_RETRY_DELAY),
        observers.queue,
        flow_of=attrgetter("namespace"),
        max_in_work=workers,
    )
    caches = build_caches(
        client,
        namespaces,
        random=random,
        clock=clock,
        on_support_changed=lambda: enqueue_all(caches, queue),
    )
    nodes = NodeWatch(caches.nodes, leaving_taints, lambda node: enqueue_owners_on(node, caches, queue))
    observer, pacing = Observer(caches, lambda: nodes.nodes), Pacing(asyncio.get_running_loop().time, clock)
    add_event_handlers(caches, queue)
    writes = Writes(client, caches)
    caches.model_infers.add_event_handler(ForgetDeleted(observer.forget, pacing.forget, writes.forget))
    caches.pods.informer.add_event_handler(QuotaWatch(pacing.quota_freed))
    status_writer = StatusWriter(client, caches)
    reporter = Reporter(
        caches,
        status_writer,
        OnceEventRecorder(events),
        clock,
        has_pending=queue.has_pending,
        on_status=observers.on_status,
    )
    decider = Decider(observer, clock, on_decision=observers.on_decision, processor_time=processor_time)
    executor = Executor(writes, FairLimiter(max_in_flight), observe=observers.on_action)
    reconciler = Reconciler(caches, observer, decider, executor, pacing, reporter)
    controller = Controller("modelinfer", queue, reconciler.reconcile, workers=workers, observe=observers.on_reconcile)
    return Components(caches, queue, controller, status_writer)
