"""The verb `plan`."""

import asyncio
import json
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from modelinfer_controller.api.core import Node
from modelinfer_controller.api.modelinfer import NodeDrainPolicy
from modelinfer_controller.api.status import ModelInfer
from modelinfer_controller.controller.resources import MODEL_INFERS
from modelinfer_controller.kube.client import Client
from modelinfer_controller.kube.clock import SystemClock
from modelinfer_controller.kube.errors import NotFound
from modelinfer_controller.kubectl.model.access import allowed_to, connected, namespace_of
from modelinfer_controller.kubectl.model.forecast import Forecast, Forecasts, forecast
from modelinfer_controller.kubectl.model.image_change import with_images
from modelinfer_controller.kubectl.model.kubeconfig import ClusterFlags, failure
from modelinfer_controller.kubectl.model.manifest import (
    Manifest,
    proposed,
    read_manifests,
    read_spec_schema,
    with_spec,
)
from modelinfer_controller.kubectl.model.snapshot import (
    Listed,
    Snapshot,
    list_model_infers,
    read_children,
    read_model_infer,
    read_nodes,
    snapshot_of,
    with_leaving,
    without_node,
)
from modelinfer_controller.kubectl.model.spec_diff import spec_changes
from modelinfer_controller.kubectl.render.output import show
from modelinfer_controller.kubectl.render.plan import forecast_lines
from modelinfer_controller.kubectl.render.terminal import Terminal

SOMETHING_RESTARTS = 2


@dataclass(frozen=True)
class Proposal:
    """What is to be planned: the ModelInfer `name` as it is, with other images, after a drain, or manifests."""

    name: str | None = None
    paths: Sequence[str] = ()
    kustomization: str | None = None
    images: Sequence[str] = ()
    drained_nodes: Sequence[str] = ()


async def show_plan(flags: ClusterFlags, proposal: Proposal, output: str | None) -> int:
    """The exit code: 0 where nothing restarts, SOMETHING_RESTARTS where something does, 1 where it would not end."""
    manifests = _chosen(proposal)
    async with connected(flags, os.environ) as client:
        if manifests:
            forecasts = [await plan_of_manifest(client, flags, manifest) for manifest in manifests]
        else:
            forecasts = [await _of_stored(client, namespace_of(flags, os.environ), proposal)]
    if len(forecasts) == 1:
        show("Plan", forecasts[0], output, lambda terminal: forecast_lines(forecasts[0], terminal))
    else:
        show("PlanList", Forecasts(tuple(forecasts)), output, lambda terminal: _all_lines(forecasts, terminal))
    return exit_code(forecasts)


def exit_code(forecasts: Sequence[Forecast]) -> int:
    """2 where something restarts, which pipelines ask for; else 1 where it would come to no end, and 0."""
    if any(each.restarts for each in forecasts):
        return SOMETHING_RESTARTS
    return 1 if any(each.obstacle for each in forecasts) else 0


def _all_lines(forecasts: Sequence[Forecast], terminal: Terminal) -> list[str]:
    lines: list[str] = []
    for each in forecasts:
        lines += [*([""] if lines else []), *forecast_lines(each, terminal)]
    return lines


def _chosen(proposal: Proposal) -> list[Manifest]:
    if not proposal.paths and proposal.kustomization is None:
        return []
    if proposal.images or proposal.drained_nodes:
        raise failure("--image and --drain ask about what the cluster has: they cannot go with files")
    found = read_manifests(proposal.paths, proposal.kustomization)
    chosen = [one for one in found if proposal.name in (None, one.name)]
    if not chosen:
        raise failure(f"no ModelInfer {proposal.name!r} in the files; there are: {', '.join(m.name for m in found)}")
    return chosen


async def _of_stored(client: Client, namespace: str, proposal: Proposal) -> Forecast:
    if proposal.name is None:
        raise failure("name a ModelInfer, or a manifest by --filename")
    stored = await read_model_infer(client, namespace, proposal.name)
    listed, nodes = await asyncio.gather(read_children(client, namespace), read_nodes(client))
    changed, after = stored, nodes
    if proposal.images:
        spec = with_images(_spec(stored), proposal.images)
        changed = with_spec(stored, spec, stored.metadata.name, namespace, {})
    if proposal.drained_nodes and _hands_over(changed):
        after = with_leaving(nodes, listed.pods, proposal.drained_nodes)
    else:
        for node in proposal.drained_nodes:
            listed = without_node(listed, node)
    return _compared(stored, changed, listed, nodes, after)


def _hands_over(stored: ModelInfer) -> bool:
    return bool(_spec(stored).get("nodeDrainPolicy") == NodeDrainPolicy.HAND_OVER)


async def plan_of_manifest(client: Client, flags: ClusterFlags, manifest: Manifest) -> Forecast:
    """Raises Exit for a manifest that would be refused."""
    if flags.namespace and manifest.namespace and flags.namespace != manifest.namespace:
        raise failure(
            f"{manifest.source}: ModelInfer {manifest.name} is of the namespace {manifest.namespace}, "
            f"and --namespace says {flags.namespace}"
        )
    namespace = namespace_of(replace(flags, namespace=flags.namespace or manifest.namespace), os.environ)
    stored = await _stored(client, namespace, manifest.name)
    schema = await read_spec_schema(client)
    listed, nodes = await asyncio.gather(read_children(client, namespace), read_nodes(client))
    return _compared(stored, proposed(stored, manifest, namespace, schema), listed, nodes, nodes)


async def _stored(client: Client, namespace: str, name: str) -> ModelInfer | None:
    """None where there is none yet. Raises Exit where there is no such kind."""
    with allowed_to("get", MODEL_INFERS, namespace), suppress(NotFound):
        return await client.get(MODEL_INFERS, namespace, name)
    await list_model_infers(client, namespace)
    return None


def _compared(
    stored: ModelInfer | None,
    changed: ModelInfer,
    listed: Listed,
    nodes: Mapping[str, Node],
    nodes_after: Mapping[str, Node],
) -> Forecast:
    now = SystemClock().now()
    after = snapshot_of(changed, listed, nodes_after, now)
    before = snapshot_of(stored, listed, nodes, now) if stored is not None else after
    _require_valid(after)
    changes = spec_changes(_spec(stored), _spec(changed)) if stored is not None else ()
    return forecast(after.observed, before.decision, changes)


def _require_valid(snapshot: Snapshot) -> None:
    if snapshot.violations:
        raise failure(f"the spec would be refused: {'; '.join(map(str, snapshot.violations))}")


def _spec(stored: ModelInfer) -> Mapping[str, Any]:
    spec: Mapping[str, Any] = json.loads(bytes(stored.spec))
    return spec
