"""The verb `explain`."""

import os

from modelinfer_controller.kube.clock import SystemClock
from modelinfer_controller.kubectl.model.access import connected, namespace_of
from modelinfer_controller.kubectl.model.diagnostics import read_diagnostics
from modelinfer_controller.kubectl.model.explanation import explain
from modelinfer_controller.kubectl.model.kubeconfig import ClusterFlags
from modelinfer_controller.kubectl.model.snapshot import read_snapshot
from modelinfer_controller.kubectl.render.explain import explanation_lines
from modelinfer_controller.kubectl.render.output import show


async def show_explanation(flags: ClusterFlags, name: str, group: int | None, output: str | None) -> None:
    namespace = namespace_of(flags, os.environ)
    async with connected(flags, os.environ) as client:
        snapshot = await read_snapshot(client, namespace, name, SystemClock().now())
        diagnostics = await read_diagnostics(client, snapshot)
    told = explain(snapshot, diagnostics, group)
    show("Explanation", told, output, lambda terminal: explanation_lines(told, terminal))
