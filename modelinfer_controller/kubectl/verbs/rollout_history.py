"""The verbs `rollout history` and `rollout diff`."""

import os

from modelinfer_controller.kube.clock import SystemClock
from modelinfer_controller.kubectl.model.access import connected, namespace_of
from modelinfer_controller.kubectl.model.kubeconfig import ClusterFlags
from modelinfer_controller.kubectl.model.rollout_changes import earlier_revision, revision_of_number
from modelinfer_controller.kubectl.model.rollout_history import (
    RevisionDiff,
    changes_between,
    detail_of,
    history_of,
)
from modelinfer_controller.kubectl.model.snapshot import Snapshot, read_snapshot
from modelinfer_controller.kubectl.render.history import detail_lines, diff_lines, history_lines
from modelinfer_controller.kubectl.render.output import show


async def show_history(flags: ClusterFlags, name: str, number: int | None, output: str | None) -> None:
    """number: the one revision to show in full."""
    snapshot = await _read(flags, name)
    if number is None:
        history = history_of(snapshot)
        show("History", history, output, lambda terminal: history_lines(history, terminal))
        return
    detail = detail_of(snapshot, revision_of_number(snapshot.observed.revisions, number))
    show("Revision", detail, output, lambda terminal: detail_lines(detail, terminal))


async def show_diff(flags: ClusterFlags, name: str, number: int | None, output: str | None) -> None:
    """Between an earlier revision and the current one."""
    snapshot = await _read(flags, name)
    after = snapshot.update
    before = earlier_revision(snapshot.observed.revisions, after, number)
    owner = snapshot.owner
    diff = RevisionDiff(owner.namespace, owner.name, before.name, after.name, changes_between(before, after))
    show("Diff", diff, output, lambda terminal: diff_lines(diff, terminal))


async def _read(flags: ClusterFlags, name: str) -> Snapshot:
    async with connected(flags, os.environ) as client:
        return await read_snapshot(client, namespace_of(flags, os.environ), name, SystemClock().now())
