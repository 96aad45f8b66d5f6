"""The verb `plan`."""

import json
import os
from collections.abc import Mapping
from typing import Any

from modelinfer_controller.api.status import ModelInfer
from modelinfer_controller.controller.resources import MODEL_INFERS
from modelinfer_controller.kube.client import Client
from modelinfer_controller.kube.clock import SystemClock
from modelinfer_controller.kube.errors import NotFound
from modelinfer_controller.kubectl.model.access import ClusterFlags, allowed_to, connected, failure, namespace_of
from modelinfer_controller.kubectl.model.forecast import Forecast, forecast
from modelinfer_controller.kubectl.model.manifest import Manifest, proposed, read_manifest, read_spec_schema
from modelinfer_controller.kubectl.model.snapshot import (
    Listed,
    Snapshot,
    read_children,
    read_model_infer,
    snapshot_of,
)
from modelinfer_controller.kubectl.model.spec_diff import spec_changes
from modelinfer_controller.kubectl.render.output import render, say
from modelinfer_controller.kubectl.render.plan import forecast_lines
from modelinfer_controller.kubectl.render.terminal import terminal_of

SOMETHING_RESTARTS = 2


async def show_plan(flags: ClusterFlags, name: str | None, path: str | None, output: str | None) -> int:
    """The exit code: 0 where nothing restarts, SOMETHING_RESTARTS where something does."""
    manifest = read_manifest(path, name) if path else None
    if manifest is not None and flags.namespace is None and manifest.namespace:
        flags = ClusterFlags(flags.kubeconfig, flags.context, manifest.namespace)
    namespace = namespace_of(flags, os.environ)
    async with connected(flags, os.environ) as client:
        told = await _forecast(client, namespace, name, manifest)
    say(render("Plan", told, output) if output else "\n".join(forecast_lines(told, terminal_of())) + "\n")
    return SOMETHING_RESTARTS if told.restarts else 0


async def _forecast(client: Client, namespace: str, name: str | None, manifest: Manifest | None) -> Forecast:
    if manifest is None:
        if name is None:
            raise failure("name a ModelInfer, or a manifest by --filename")
        stored = await read_model_infer(client, namespace, name)
        listed = await read_children(client, namespace)
        return _compared(stored, stored, listed)
    stored_or_none = await _stored(client, namespace, manifest.name)
    schema = await read_spec_schema(client)
    listed = await read_children(client, namespace)
    return _compared(stored_or_none, proposed(stored_or_none, manifest, namespace, schema), listed)


async def _stored(client: Client, namespace: str, name: str) -> ModelInfer | None:
    with allowed_to("get", MODEL_INFERS, namespace):
        try:
            return await client.get(MODEL_INFERS, namespace, name)
        except NotFound:
            return None


def _compared(stored: ModelInfer | None, changed: ModelInfer, listed: Listed) -> Forecast:
    now = SystemClock().now()
    after = snapshot_of(changed, listed, {}, now)
    before = snapshot_of(stored, listed, {}, now) if stored is not None else after
    _require_valid(after)
    changes = spec_changes(_spec(stored), _spec(changed)) if stored is not None else ()
    return forecast(after.observed, before.assessment, changes)


def _require_valid(snapshot: Snapshot) -> None:
    if snapshot.violations:
        raise failure(f"the spec would be refused: {'; '.join(map(str, snapshot.violations))}")


def _spec(stored: ModelInfer) -> Mapping[str, Any]:
    spec: Mapping[str, Any] = json.loads(bytes(stored.spec))
    return spec
