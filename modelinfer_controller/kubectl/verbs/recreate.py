"""The verb `recreate`."""

import asyncio
import os

from modelinfer_controller.kube.client import Client
from modelinfer_controller.kube.clock import SystemClock
from modelinfer_controller.kube.errors import Conflict, NotFound
from modelinfer_controller.kube.resource import PODS
from modelinfer_controller.kubectl.model.access import allowed_to, connected, namespace_of
from modelinfer_controller.kubectl.model.kubeconfig import ClusterFlags
from modelinfer_controller.kubectl.model.recreation import living, recreation_of, recreation_text
from modelinfer_controller.kubectl.model.snapshot import Snapshot, read_snapshot
from modelinfer_controller.kubectl.render.output import TYPE, show


async def recreate(
    flags: ClusterFlags, name: str, group: int, output: str | None, *, force: bool, is_dry_run: bool
) -> None:
    """Deletes the group's pods, each only if it is still the one that was seen."""
    namespace = namespace_of(flags, os.environ)
    async with connected(flags, os.environ) as client:
        snapshot = await read_snapshot(client, namespace, name, SystemClock().now())
        recreation = recreation_of(snapshot, group, force=force)
        if not is_dry_run:
            await _delete(client, snapshot, group)
    text = recreation_text(recreation, "would be deleted (dry run)" if is_dry_run else "deleted")
    show("Recreation", recreation, output, lambda terminal: terminal.wrap(f"{TYPE}/{name} {text}"))


async def _delete(client: Client, snapshot: Snapshot, group: int) -> None:
    namespace = snapshot.owner.namespace

    async def one(name: str, uid: str) -> None:
        with allowed_to("delete", PODS, namespace):
            try:
                await client.delete(PODS, namespace, name, uid=uid)
            except (NotFound, Conflict):
                return  # it is gone already, which is what was asked for

    await asyncio.gather(*(one(pod.metadata.name, pod.metadata.uid) for pod in living(snapshot, group)))
