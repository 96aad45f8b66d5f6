"""`bundle`: everything that a support case needs, with secrets left out."""

import io
import json
import re
import tarfile
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from modelinfer_controller.api import modelinfer, well_known
from modelinfer_controller.kube.client import Client
from modelinfer_controller.kube.errors import ApiError
from modelinfer_controller.kube.resource import CONTROLLER_REVISIONS, NODES, PODS, SERVICES
from modelinfer_controller.kubectl.model.diagnostics import EVENTS
from modelinfer_controller.kubectl.model.logs import LogQuery, read_log
from modelinfer_controller.kubectl.model.snapshot import Snapshot

REDACTED = "REDACTED"
SECRET_NAME = re.compile(r"TOKEN|SECRET|PASSWORD|PASSWD|CREDENTIAL|API_?KEY|ACCESS_?KEY|PRIVATE", re.IGNORECASE)
SECRET_VALUE = re.compile(r"\b(hf_|sk-|ghp_|AKIA)[A-Za-z0-9_-]{8,}|(?<=Bearer )\S+|(?<=://)[^/\s:@]+:[^/\s@]+(?=@)")
SECRET_FLAG = re.compile(r"(--?[\w-]*(?:token|secret|password|api-?key)[\w-]*[= ])\S+", re.IGNORECASE)
LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
LOG_LINES = 200
MAX_LOGS = 40  # pods, those that are not ready first


def redacted(value: Any) -> Any:
    """A JSON value without what looks like a secret, managedFields, and kubectl's copy of the manifest."""
    match value:
        case {"name": str() as name, "value": str()} if SECRET_NAME.search(name):
            return {**value, "value": REDACTED}
        case dict():
            return {
                key: REDACTED if SECRET_NAME.search(key) and isinstance(item, str) else redacted(item)
                for key, item in value.items()
                if key not in ("managedFields", LAST_APPLIED)
            }
        case list():
            return [redacted(item) for item in value]
        case str():
            return redacted_text(value)
        case _:
            return value


def redacted_text(text: str) -> str:
    return SECRET_FLAG.sub(rf"\g<1>{REDACTED}", SECRET_VALUE.sub(REDACTED, text))


async def read_bundle(client: Client, snapshot: Snapshot) -> dict[str, str]:
    """File name -> content. What may not be read is a line in `not-read.txt`."""
    namespace, name = snapshot.owner.namespace, snapshot.owner.name
    selector = {"labelSelector": f"{well_known.NAME}={name}"}
    path = f"/apis/{modelinfer.API_VERSION}/namespaces/{namespace}/modelinfers/{name}"
    paths: dict[str, tuple[str, Mapping[str, str]]] = {
        "modelinfer.json": (path, {}),
        "pods.json": (PODS.path(namespace), selector),
        "services.json": (SERVICES.path(namespace), selector),
        "revisions.json": (CONTROLLER_REVISIONS.path(namespace), selector),
        "events.json": (EVENTS.path(namespace), {}),
        "nodes.json": (NODES.path(), {}),
        "resourcequotas.json": (f"/api/v1/namespaces/{namespace}/resourcequotas", {}),
        "podgroups.json": (f"/apis/scheduling.volcano.sh/v1beta1/namespaces/{namespace}/podgroups", {}),
        "version.json": ("/version", {}),
    }
    files, missing = {}, []
    for file, (where, query) in paths.items():
        try:
            files[file] = json.dumps(redacted(json.loads(await client.raw_get(where, query))), indent=1) + "\n"
        except ApiError as error:
            missing.append(f"{file}: {error}")
    files |= await _logs(client, snapshot, missing)
    if missing:
        files["not-read.txt"] = "".join(f"{line}\n" for line in missing)
    return files


async def _logs(client: Client, snapshot: Snapshot, missing: list[str]) -> dict[str, str]:
    files = {}
    pods = sorted(snapshot.pods.values(), key=lambda pod: (pod.is_ready, pod.metadata.name))
    for pod in pods[:MAX_LOGS]:
        restarted = any(status.restart_count for status in pod.status.container_statuses)
        for is_previous in (False, True) if restarted else (False,):
            file = f"logs/{pod.metadata.name}{'-previous' if is_previous else ''}.log"
            try:
                text = await read_log(
                    client, pod.metadata.namespace, pod.metadata.name, LogQuery(previous=is_previous, tail=LOG_LINES)
                )
            except ApiError as error:
                missing.append(f"{file}: {error}")
                continue
            files[file] = redacted_text(text)
    return files


def archive(files: Mapping[str, str], folder: str, now: datetime) -> bytes:
    """A tar file, compressed, with all files below the folder."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name, text in sorted(files.items()):
            content = text.encode()
            info = tarfile.TarInfo(f"{folder}/{name}")
            info.size, info.mtime = len(content), int(now.timestamp())
            tar.addfile(info, io.BytesIO(content))
    return buffer.getvalue()
