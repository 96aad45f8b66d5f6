"""The verb `logs`."""

import asyncio
import os
from collections.abc import Sequence
from dataclasses import dataclass

from modelinfer_controller.api.core import Pod
from modelinfer_controller.kube.client import Client
from modelinfer_controller.kube.clock import SystemClock
from modelinfer_controller.kube.errors import ApiError, Forbidden
from modelinfer_controller.kubectl.model.access import connected, namespace_of
from modelinfer_controller.kubectl.model.kubeconfig import ClusterFlags, failure
from modelinfer_controller.kubectl.model.logs import LogQuery, chosen_pods, follow_log, prefix_of, read_log
from modelinfer_controller.kubectl.model.snapshot import read_snapshot
from modelinfer_controller.kubectl.render.output import say

MAX_FOLLOWED = 50  # streams at once


@dataclass(frozen=True)
class Wanted:
    """Which logs are asked for."""

    name: str
    group: int | None = None
    role: str | None = None
    follow: bool = False
    prefix: bool = True


async def show_logs(flags: ClusterFlags, wanted: Wanted, query: LogQuery) -> int:
    """The exit code: 1 where no log could be read."""
    namespace = namespace_of(flags, os.environ)
    async with connected(flags, os.environ, follows=wanted.follow) as client:
        snapshot = await read_snapshot(client, namespace, wanted.name, SystemClock().now())
        pods = chosen_pods(snapshot, wanted.group, wanted.role)
        if not pods:
            raise failure(f"{wanted.name} has no such pods: `kubectl modelinfer tree {wanted.name}` shows them")
        if wanted.follow and len(pods) > MAX_FOLLOWED:
            raise failure(
                f"{len(pods)} pods are too many to follow, at most {MAX_FOLLOWED}: choose by --group or --role"
            )
        return await _all(client, pods, wanted, query)


async def _all(client: Client, pods: Sequence[Pod], wanted: Wanted, query: LogQuery) -> int:
    if wanted.follow:
        await asyncio.gather(*(_followed(client, pod, wanted, query) for pod in pods))
        return 0
    found = await asyncio.gather(*(_read(client, pod, query) for pod in pods))
    for pod, answer in zip(pods, found, strict=True):
        for line in answer.splitlines() if isinstance(answer, str) else [f"(no log: {answer})"]:
            _tell(pod, line, wanted)
    return 0 if any(isinstance(answer, str) for answer in found) else 1


async def _read(client: Client, pod: Pod, query: LogQuery) -> str | ApiError:
    try:
        return await read_log(client, pod.metadata.namespace, pod.metadata.name, query)
    except Forbidden as error:
        raise failure(f"forbidden: you need the verb 'get' on 'pods/log'; the server says: {error}") from error
    except ApiError as error:
        return error


async def _followed(client: Client, pod: Pod, wanted: Wanted, query: LogQuery) -> None:
    try:
        async for line in follow_log(client, pod.metadata.namespace, pod.metadata.name, query):
            _tell(pod, line, wanted)
    except ApiError as error:
        _tell(pod, f"(no log: {error})", wanted)


def _tell(pod: Pod, line: str, wanted: Wanted) -> None:
    say(f"{prefix_of(pod)} {line}\n" if wanted.prefix else f"{line}\n")
