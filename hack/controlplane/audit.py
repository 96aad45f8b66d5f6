"""The audit log, as counted by tests: one event for each request that kube-apiserver has answered."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class AuditEvent:
    """One answered request.

    `user` is the name that authenticated, such as kube-scheduler, kwok, cluster-admin or
    system:serviceaccount:NAMESPACE:NAME; `resource` is plural and `subresource` is "" where there is none; `name` is ""
    where the request has none (list, create with generateName); `api_group` is "" for the core group; `code` is the
    HTTP status; `time` is RFC 3339, of the request.
    """

    verb: str
    user: str
    user_agent: str
    resource: str
    subresource: str
    namespace: str
    name: str
    code: int
    time: str
    api_group: str = ""


def audit_event(record: dict[str, Any]) -> AuditEvent:
    """Parse one line of the log (audit.k8s.io/v1 Event)."""
    target = record.get("objectRef", {})
    return AuditEvent(
        verb=record["verb"],
        user=record["user"].get("username", ""),
        user_agent=record.get("userAgent", ""),
        resource=target.get("resource", ""),
        subresource=target.get("subresource", ""),
        namespace=target.get("namespace", ""),
        name=target.get("name", ""),
        code=record.get("responseStatus", {}).get("code", 0),
        time=record["requestReceivedTimestamp"],
        api_group=target.get("apiGroup", ""),
    )


def read_events(log: Path, since: int = 0) -> list[AuditEvent]:
    """The events after the byte `since` of the log, oldest first. A line still being written is left out."""
    with log.open("rb") as file:
        file.seek(since)
        lines = file.read().split(b"\n")[:-1]
    return [audit_event(json.loads(line)) for line in lines]
