"""The process around the controller: the real clock, randomness and signals, and how each failure ends it."""

import asyncio
import os
import random
import signal
import socket
import time
from collections.abc import Coroutine, Mapping
from typing import Any

import structlog

from modelinfer_controller import __version__
from modelinfer_controller.app.events import RecordedEvents
from modelinfer_controller.app.leader_guard import LeaderOnlyTransport
from modelinfer_controller.app.leadership import MAX_OVERDUE, lease_name, leave_at_once, make_elector
from modelinfer_controller.app.manager import Manager
from modelinfer_controller.app.metrics.machinery import LeadershipMetric
from modelinfer_controller.app.preflight import check_cluster, crd_missing
from modelinfer_controller.app.probes import Probe
from modelinfer_controller.app.scrape_authorization import ScrapeAuthorizer
from modelinfer_controller.app.servers import NOWHERE, SecureMetrics, Servers
from modelinfer_controller.app.serving_certificate import context_of_files, self_signed_context
from modelinfer_controller.app.settings import Settings
from modelinfer_controller.app.telemetry import Telemetry
from modelinfer_controller.controller.wiring import Components, wire
from modelinfer_controller.exits import Exit, ExitCode
from modelinfer_controller.kube.aiohttp_transport import AiohttpTransport, connect
from modelinfer_controller.kube.cache.reflector import ResourceNotServed
from modelinfer_controller.kube.client import Client
from modelinfer_controller.kube.clock import SystemClock
from modelinfer_controller.kube.config import ConfigError, is_in_cluster
from modelinfer_controller.kube.events import EventRecorder
from modelinfer_controller.kube.flowcontrol import RateLimiter, TokenBucket, Unlimited
from modelinfer_controller.kube.leaderelection import LeaderElector
from modelinfer_controller.kube.tasks import result_of

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)

COMPONENT = "modelinfer-controller"
USER_AGENT = f"{COMPONENT}/{__version__}"


def run_process(settings: Settings, environ: Mapping[str, str]) -> None:
    """Until a signal to stop. Raises Exit for everything that people can do something about."""
    log.info("Starting", version=__version__, settings=settings.model_dump(mode="json", by_alias=True))
    asyncio.run(_run(settings, environ))
    log.info("Stopped")


async def _run(settings: Settings, environ: Mapping[str, str]) -> None:
    stop = asyncio.Event()
    _stop_on_signals(stop)
    transport = await _connect(settings, environ)
    try:
        await _run_with(transport, settings, stop)
    except ResourceNotServed as error:
        raise crd_missing() from error
    finally:
        await transport.close()


async def _connect(settings: Settings, environ: Mapping[str, str]) -> AiohttpTransport:
    is_named = settings.kubeconfig is not None or settings.context is not None or "KUBECONFIG" in environ
    try:
        return await connect(
            environ=environ,
            clock=SystemClock(),
            kubeconfig=settings.kubeconfig,
            context=settings.context,
            in_cluster=not is_named and is_in_cluster(environ),
            user_agent=USER_AGENT,
        )
    except ConfigError as error:
        text = str(error).removeprefix("no cluster: ")
        raise Exit(ExitCode.NO_CLUSTER, f"no cluster: {text}; name one by --kubeconfig or $KUBECONFIG") from error


async def _run_with(transport: AiohttpTransport, settings: Settings, stop: asyncio.Event) -> None:
    telemetry = Telemetry(server=transport.server, workers=settings.workers, histograms=settings.metrics_histograms)
    unguarded = Client(transport, on_request=telemetry.requests)
    lease = lease_name(settings)
    secure = _secure_metrics(settings, unguarded)
    check = check_cluster(unguarded, settings.namespace, lease=lease, authorizes_scrapes=secure is not None)
    if not await _unless_stopped(check, stop):
        return
    elector = None
    if lease is not None:
        observer = LeadershipMetric(telemetry.metrics, lease.name)
        elector = make_elector(unguarded, lease, settings, clock=SystemClock(), on_change=observer)
    guarded = transport if elector is None else LeaderOnlyTransport(transport, elector.is_leading)
    client = Client(guarded, rate_limiter=_rate_limiter(settings), on_request=telemetry.requests)
    recorder = EventRecorder(
        client, COMPONENT, instance=socket.gethostname(), clock=SystemClock(), random=random.Random()
    )
    components = wire(
        client,
        RecordedEvents(recorder),
        clock=SystemClock(),
        random=random.Random(),
        namespaces=settings.namespace,
        leaving_taints=settings.leaving_taint,
        workers=settings.workers,
        max_in_flight=settings.max_in_flight,
        processor_time=time.thread_time,
        observers=telemetry.observers,
    )
    telemetry.watch(components)
    telemetry.watch_events(recorder)
    servers = Servers(
        metrics_address=settings.metrics_bind_address,
        metrics=telemetry.metrics,
        probe_address=settings.health_probe_bind_address,
        probes=_probes(components, elector, stop),
        secure=secure,
    )
    manager = Manager(
        components,
        elector=elector,
        servers=servers,
        events=recorder,
        drain_timeout=settings.shutdown_timeout.total_seconds(),
        on_leadership_lost=leave_at_once,
    )
    await manager.run(stop)


def _secure_metrics(settings: Settings, client: Client) -> SecureMetrics | None:
    """Raises Exit where the certificate's files cannot be used."""
    address, certificate, key = (
        settings.metrics_secure_bind_address,
        settings.metrics_cert_file,
        settings.metrics_key_file,
    )
    if address == NOWHERE:
        return None
    try:
        tls = context_of_files(certificate, key) if certificate and key else self_signed_context()
    except OSError as error:
        raise Exit(ExitCode.USAGE, f"metrics-cert-file {certificate} with {key}: {error.strerror or error}") from error
    return SecureMetrics(address, tls, ScrapeAuthorizer(client))


def _probes(components: Components, elector: LeaderElector | None, stop: asyncio.Event) -> Mapping[str, Probe]:
    def election() -> str:
        is_well = elector is None or elector.is_healthy(MAX_OVERDUE)
        return "" if is_well else "the lease expired, and the work has not ended"

    def caches() -> str:
        waiting = [informer.name for informer in components.caches.informers if not informer.has_synced]
        return f"waiting for the initial lists of {', '.join(waiting)}" if waiting else ""

    def running() -> str:
        return "is stopping" if stop.is_set() else ""

    return {
        "/healthz": Probe({"leader-election": election}),
        "/readyz": Probe({"caches": caches, "process": running}),
    }


def _rate_limiter(settings: Settings) -> RateLimiter:
    return TokenBucket(settings.kube_api_qps, settings.burst) if settings.kube_api_qps else Unlimited()


async def _unless_stopped(step: Coroutine[Any, Any, None], stop: asyncio.Event) -> bool:
    """Whether the step was done; it is cancelled when the process is to stop meanwhile."""
    task = asyncio.create_task(step, name="step of the start")
    stopped = asyncio.create_task(stop.wait(), name="stop signal")
    try:
        await asyncio.wait((task, stopped), return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            result_of(task)
        return task.done()
    finally:
        for each in (task, stopped):
            each.cancel()
        await asyncio.gather(task, stopped, return_exceptions=True)


def _stop_on_signals(stop: asyncio.Event) -> None:
    """The first signal asks for a clean stop, the second insists."""

    def received(number: signal.Signals) -> None:
        if stop.is_set():
            os._exit(128 + number)
        log.info("Signal received", signal=number.name)
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, received, number)
