"""The bare loops: what can be had from the API server by a program that decides nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from bench.progress import Progress
from bench.workload import Child
from modelinfer_controller.kube.client import Client
from modelinfer_controller.kube.resource import PODS

IN_FLIGHT = 32


async def post_all(client: Client, namespace: str, children: Sequence[Child]) -> None:
    """Post every body, IN_FLIGHT at a time, in their order."""
    pending = iter(children)

    async def post() -> None:
        for child in pending:
            await client.create(child.resource, namespace, child.body)

    async with asyncio.TaskGroup() as group:
        for _ in range(IN_FLIGHT):
            group.create_task(post())


async def replace_group_by_group(
    client: Client, namespace: str, groups: Sequence[Sequence[Child]], progress: Progress
) -> None:
    """For each group: delete its pods, see them gone, create them, see them ready."""
    for pods in groups:
        await _replace_group(client, namespace, pods, progress)


async def _replace_group(client: Client, namespace: str, pods: Sequence[Child], progress: Progress) -> None:
    gone = progress.gone_count + len(pods)
    await asyncio.gather(*(client.delete(PODS, namespace, pod.name, uid=None) for pod in pods))
    await progress.until(lambda: progress.gone_count >= gone)
    await asyncio.gather(*(client.create(PODS, namespace, pod.body) for pod in pods))
    await progress.until(lambda: all(pod.name in progress.ready for pod in pods))
