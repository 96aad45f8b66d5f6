"""The verb `bundle`."""

import os
from collections.abc import Iterable

from modelinfer_controller import __version__
from modelinfer_controller.kube.clock import SystemClock
from modelinfer_controller.kubectl.model.access import connected, namespace_of
from modelinfer_controller.kubectl.model.bundle import archive, read_bundle, redacted_text
from modelinfer_controller.kubectl.model.diagnostics import Diagnostics, read_diagnostics
from modelinfer_controller.kubectl.model.explanation import explain
from modelinfer_controller.kubectl.model.kubeconfig import ClusterFlags
from modelinfer_controller.kubectl.model.rollout_history import history_of
from modelinfer_controller.kubectl.model.rollout_status import rollout_status
from modelinfer_controller.kubectl.model.snapshot import Snapshot, read_snapshot
from modelinfer_controller.kubectl.model.tree import tree_of
from modelinfer_controller.kubectl.render.explain import explanation_lines
from modelinfer_controller.kubectl.render.history import history_lines
from modelinfer_controller.kubectl.render.output import render, say, write_file
from modelinfer_controller.kubectl.render.rollout_status import progress_lines
from modelinfer_controller.kubectl.render.terminal import Terminal
from modelinfer_controller.kubectl.render.tree import tree_lines

PAPER = Terminal(width=None)


async def write_bundle(flags: ClusterFlags, name: str, path: str | None) -> None:
    """path: the file to write; by default NAME-bundle.tar.gz in the current folder."""
    namespace, now = namespace_of(flags, os.environ), SystemClock().now()
    async with connected(flags, os.environ) as client:
        snapshot = await read_snapshot(client, namespace, name, now)
        files = await read_bundle(client, snapshot)
        files |= screens(snapshot, await read_diagnostics(client, snapshot))
    files["README.txt"] = f"{namespace}/{name} at {now.isoformat()}, by kubectl-modelinfer {__version__}\n"
    file = path or f"{name}-bundle.tar.gz"
    write_file(file, archive(files, f"{name}-bundle", now))
    say(
        f"wrote {len(files)} files into {file}; Secrets are not read, and values that look like secrets are left out: "
        "look through it before you hand it on\n"
    )


def screens(snapshot: Snapshot, diagnostics: Diagnostics) -> dict[str, str]:
    """What the verbs say, as text and as documents."""
    told, tree, history = explain(snapshot, diagnostics), tree_of(snapshot), history_of(snapshot)
    lines: dict[str, Iterable[str]] = {
        "explain.txt": explanation_lines(told, PAPER),
        "tree.txt": tree_lines(tree, PAPER),
        "history.txt": history_lines(history, PAPER),
        "rollout-status.txt": progress_lines(rollout_status(snapshot), PAPER),
    }
    texts = {file: "".join(f"{line}\n" for line in each) for file, each in lines.items()}
    texts["explain.json"] = render("Explanation", told, "json")
    return {file: redacted_text(text) for file, text in texts.items()}
