"""The verb `explain`."""

import os

from modelinfer_controller.kube.clock import SystemClock
from modelinfer_controller.kubectl.access import Place, connected, namespace_of
from modelinfer_controller.kubectl.evidence import read_evidence
from modelinfer_controller.kubectl.explain import explain
from modelinfer_controller.kubectl.explain_text import explanation_lines
from modelinfer_controller.kubectl.options import say
from modelinfer_controller.kubectl.output import render
from modelinfer_controller.kubectl.snapshot import read_snapshot
from modelinfer_controller.kubectl.terminal import terminal_of


async def show_explanation(place: Place, name: str, group: int | None, output: str | None) -> None:
    namespace = namespace_of(place, os.environ)
    async with connected(place, os.environ) as client:
        snapshot = await read_snapshot(client, namespace, name, SystemClock().now())
        evidence = await read_evidence(client, snapshot)
    told = explain(snapshot, evidence, group)
    if output:
        say(render("Explanation", told, output))
    else:
        say("\n".join(explanation_lines(told, terminal_of())) + "\n")
