"""Tables: what `kubectl get` prints."""

import re
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from modelinfer_controller.kube.transport import Request
from modelinfer_controller.simulator.apiserver.kinds import PODS, Column, Kind
from modelinfer_controller.simulator.apiserver.store import Stored
from modelinfer_controller.simulator.objects import Object, decode, field, moment

_NAME = {"name": "Name", "type": "string", "format": "name", "priority": 0, "description": "Name of the object"}
_POD_COLUMNS = (
    Column("Ready", "string", ""),
    Column("Status", "string", ""),
    Column("Restarts", "string", ""),
    Column("Age", "string", ""),
    Column("IP", "string", "", 1),
    Column("Node", "string", "", 1),
)
_AGE = (Column("Age", "date", ".metadata.creationTimestamp"),)


def wants_table(request: Request) -> bool:
    return "as=Table" in request.headers.get("accept", "")


def table_of(kind: Kind, items: Iterable[Stored], now: datetime, metadata: Object) -> Object:
    """A meta.k8s.io/v1 Table with a row for each object."""
    columns = _columns(kind)
    definitions = [_NAME, *(_definition(column) for column in columns)]
    rows = [_row(kind, columns, stored, now) for stored in items]
    head = {"kind": "Table", "apiVersion": "meta.k8s.io/v1", "metadata": metadata}
    return {**head, "columnDefinitions": definitions, "rows": rows}


def _columns(kind: Kind) -> tuple[Column, ...]:
    if kind.key == PODS.key:
        return _POD_COLUMNS
    return (kind.custom.columns if kind.custom is not None else ()) or _AGE


def _definition(column: Column) -> Object:
    about = {"priority": column.priority, "description": column.description}
    return {"name": column.name, "type": column.type, "format": "", **about}


def _row(kind: Kind, columns: tuple[Column, ...], stored: Stored, now: datetime) -> Object:
    obj = stored.object
    cells = _pod_cells(obj, now) if kind.key == PODS.key else [_cell(column, obj, now) for column in columns]
    partial = {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": obj["metadata"]}
    return {"cells": [obj["metadata"]["name"], *cells], "object": partial}


def _cell(column: Column, obj: Object, now: datetime) -> Any:
    value = at_json_path(obj, column.json_path)
    if value is None:
        return None
    return age(moment(value), now) if column.type == "date" else value


def age(since: datetime, now: datetime) -> str:
    """As kubectl shows it: 45s, 3m10s, 5h, 2d."""
    seconds = max(int((now - since).total_seconds()), 0)
    if seconds < 120:
        return f"{seconds}s"
    if seconds < 600:
        return f"{seconds // 60}m{seconds % 60}s" if seconds % 60 else f"{seconds // 60}m"
    if seconds < 3 * 3600:
        return f"{seconds // 60}m"
    return f"{seconds // 3600}h" if seconds < 2 * 86400 else f"{seconds // 86400}d"


_STEP = re.compile(r"\.(?P<name>[A-Za-z0-9_-]+)|\[(?P<index>\d+)\]|\[\?\((?P<filter>@\.[^)]*)\)\]")
_FILTER = re.compile(r"@\.(?P<name>[\w.]+)\s*==\s*(?P<value>.+)")


def at_json_path(obj: Object, path: str) -> Any:
    """The value at a JSONPath of names, indices and equality filters; the first where a filter finds several."""
    value: Any = obj
    for step in _STEP.finditer(path.replace("\\.", ".")):
        if step["name"] is not None:
            value = value.get(step["name"]) if isinstance(value, dict) else None
        elif not isinstance(value, list):
            return None
        elif step["index"] is not None:
            value = value[int(step["index"])] if int(step["index"]) < len(value) else None
        else:
            value = _first_match(value, step["filter"])
    return value


def _first_match(items: list[Any], text: str) -> Any:
    found = _FILTER.fullmatch(text)
    if found is None:
        return None
    wanted = decode(found["value"].strip().replace("'", '"'))
    return next((one for one in items if field(one, *found["name"].split(".")) == wanted), None)


def _pod_cells(pod: Object, now: datetime) -> list[Any]:
    statuses: list[Object] = field(pod, "status", "containerStatuses") or []
    ready = sum(bool(one.get("ready")) for one in statuses)
    restarts = sum(one.get("restartCount", 0) for one in statuses)
    created = moment(pod["metadata"]["creationTimestamp"])
    address, node = field(pod, "status", "podIP"), pod["spec"].get("nodeName")
    total = len(pod["spec"]["containers"])
    return [
        f"{ready}/{total}",
        pod_reason(pod),
        str(restarts),
        age(created, now),
        address or "<none>",
        node or "<none>",
    ]


def pod_reason(pod: Object) -> str:
    """The STATUS column: the most telling of the pod's reasons."""
    if "deletionTimestamp" in pod["metadata"]:
        return "Terminating"
    status: Object = pod.get("status") or {}
    for one in [*(status.get("initContainerStatuses") or []), *(status.get("containerStatuses") or [])]:
        waiting, terminated = field(one, "state", "waiting"), field(one, "state", "terminated")
        if waiting and waiting.get("reason"):
            return str(waiting["reason"])
        if terminated and terminated.get("exitCode"):
            return str(terminated.get("reason") or f"ExitCode:{terminated['exitCode']}")
    return str(status.get("reason") or status.get("phase", "Unknown"))
