"""Leader election as the settings ask for it."""

import os
import socket
import sys
import uuid
from pathlib import Path
from random import Random
from typing import NoReturn

import structlog

from modelinfer_controller.api.names import ObjectName
from modelinfer_controller.app.settings import Settings
from modelinfer_controller.exits import Exit, ExitCode
from modelinfer_controller.kube.client import Client
from modelinfer_controller.kube.clock import Clock
from modelinfer_controller.kube.config import SERVICE_ACCOUNT_FOLDER
from modelinfer_controller.kube.leaderelection import LeaderElector, LeadershipObserver, LeaseTiming

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)

MAX_OVERDUE = 5.0  # seconds that the work may outlast its lease before the health check fails


def lease_name(settings: Settings, own_namespace: Path = SERVICE_ACCOUNT_FOLDER / "namespace") -> ObjectName | None:
    """None without leader election. own_namespace: the file that holds a pod's namespace. Raises Exit."""
    if not settings.leader_elect:
        return None
    namespace = settings.leader_elect_namespace
    if namespace is None:
        try:
            namespace = own_namespace.read_text(encoding="utf-8").strip()
        except OSError as error:
            raise Exit(ExitCode.USAGE, "--leader-elect outside a pod needs --leader-elect-namespace") from error
    return ObjectName(namespace, settings.leader_elect_resource_name)


def make_elector(
    client: Client, lease: ObjectName, settings: Settings, *, clock: Clock, on_change: LeadershipObserver
) -> LeaderElector:
    """A candidate of its own: no two processes, nor one and its predecessor, share an identity."""
    timing = LeaseTiming(
        lease_duration=settings.leader_elect_lease_duration.total_seconds(),
        renew_deadline=settings.leader_elect_renew_deadline.total_seconds(),
        retry_period=settings.leader_elect_retry_period.total_seconds(),
    )
    identity = f"{socket.gethostname()}_{uuid.uuid4()}"
    return LeaderElector(client, lease, identity, clock=clock, random=Random(), timing=timing, on_change=on_change)


def leave_at_once(error: Exception) -> NoReturn:
    """Another may be leading by now: no clean-up, which might write or hang."""
    log.error("Leadership lost, leaving at once", error=str(error))
    print(f"modelinfer-controller: leadership lost: {error}", file=sys.stderr, flush=True)
    os._exit(ExitCode.LEADERSHIP_LOST)
