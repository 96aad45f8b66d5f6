"""The bare loops: what can be had from the API server by a program that decides nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

from bench.progress import Progress
from bench.workload import Child, children_of
from modelinfer_controller.api.status import ModelInfer
from modelinfer_controller.controller.resources import MODEL_INFERS
from modelinfer_controller.kube.client import Client
from modelinfer_controller.kube.resource import PODS

IN_FLIGHT = 64  # the fastest of 32, 48, 64 and 96: the limit is the server's

T = TypeVar("T")
R = TypeVar("R")


async def in_flight(work: Callable[[T], Awaitable[R]], items: Iterable[T]) -> list[R]:
    """Work on every item, IN_FLIGHT at a time, begun in their order; the results are in the order of their ends."""
    pending = iter(items)
    results: list[R] = []

    async def take() -> None:
        for item in pending:
            results.append(await work(item))

    async with asyncio.TaskGroup() as group:
        for _ in range(IN_FLIGHT):
            group.create_task(take())
    return results


async def create_all(client: Client, namespace: str, model_infers: Sequence[Mapping[str, Any]]) -> list[ModelInfer]:
    async def create(body: Mapping[str, Any]) -> ModelInfer:
        return await client.create(MODEL_INFERS, namespace, body)

    return await in_flight(create, model_infers)


async def post_all(client: Client, namespace: str, children: Iterable[Child]) -> None:
    async def post(child: Child) -> None:
        await client.create(child.resource, namespace, child.body)

    await in_flight(post, children)


async def apply_and_post(client: Client, namespace: str, model_infers: Sequence[Mapping[str, Any]]) -> None:
    """Create the ModelInfers and, once all are there, everything that they become."""
    stored = await create_all(client, namespace, model_infers)
    await post_all(client, namespace, (child for model in stored for child in children_of(model)))


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
