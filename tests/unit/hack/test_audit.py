"""The audit log is read as tests count it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from controlplane.audit import AuditEvent, read_events


def record(name: str, **more: Any) -> str:
    return json.dumps(
        {
            "kind": "Event",
            "stage": "ResponseComplete",
            "verb": "patch",
            "user": {"username": "system:serviceaccount:ns:controller"},
            "userAgent": "modelinfer-controller/0.1",
            "objectRef": {"resource": "pods", "subresource": "status", "namespace": "ns", "name": name},
            "responseStatus": {"code": 200},
            "requestReceivedTimestamp": "2026-01-01T00:00:00.000000Z",
            **more,
        }
    )


def test_events_are_parsed(tmp_path: Path) -> None:
    log = tmp_path / "audit.jsonl"
    log.write_text(record("a") + "\n")
    assert read_events(log) == [
        AuditEvent(
            verb="patch",
            user="system:serviceaccount:ns:controller",
            user_agent="modelinfer-controller/0.1",
            resource="pods",
            subresource="status",
            namespace="ns",
            name="a",
            code=200,
            time="2026-01-01T00:00:00.000000Z",
        )
    ]


def test_only_what_came_after_a_position_is_read(tmp_path: Path) -> None:
    log = tmp_path / "audit.jsonl"
    log.write_text(record("before") + "\n")
    position = log.stat().st_size
    with log.open("a") as file:
        file.write(record("after") + "\n" + record("half")[:40])
    assert [event.name for event in read_events(log, position)] == ["after"]


def test_a_request_without_a_resource(tmp_path: Path) -> None:
    log = tmp_path / "audit.jsonl"
    bare = {key: value for key, value in json.loads(record("a")).items() if key not in {"objectRef", "userAgent"}}
    log.write_text(json.dumps(bare) + "\n")
    (event,) = read_events(log)
    assert (event.resource, event.name, event.user_agent) == ("", "", "")
