"""What the shell offers to complete: asked of the cluster, with a short patience and without a word where it fails."""

import asyncio
import os
from collections.abc import Callable, Coroutine
from typing import Any

from modelinfer_controller.controller.resources import MODEL_INFERS
from modelinfer_controller.exits import Exit
from modelinfer_controller.kube.client import Client
from modelinfer_controller.kube.errors import ApiError
from modelinfer_controller.kube.resource import CONTROLLER_REVISIONS, NAMESPACES, Resource
from modelinfer_controller.kubectl.model.access import connected, namespace_of
from modelinfer_controller.kubectl.model.kubeconfig import ClusterFlags

PATIENCE = 3.0  # seconds


def model_infer_names(flags: ClusterFlags) -> list[str]:
    return _asked(flags, lambda client: _names(client, flags, MODEL_INFERS))


def namespace_names(flags: ClusterFlags) -> list[str]:
    return _asked(flags, lambda client: _names(client, flags, NAMESPACES))


def revision_numbers(flags: ClusterFlags, name: str) -> list[str]:
    """Of the ModelInfer of that name, newest first."""

    async def numbers(client: Client) -> list[str]:
        found = await client.list_all(CONTROLLER_REVISIONS, namespace_of(flags, os.environ))
        own = [one for one in found.items if any(owner.name == name for owner in one.metadata.owner_references)]
        return [str(number) for number in sorted({one.revision for one in own}, reverse=True)]

    return _asked(flags, numbers)


def group_ordinals(flags: ClusterFlags, name: str) -> list[str]:
    async def ordinals(client: Client) -> list[str]:
        import json

        stored = await client.get(MODEL_INFERS, namespace_of(flags, os.environ), name)
        return [str(ordinal) for ordinal in range(min(json.loads(bytes(stored.spec)).get("replicas", 1), 1000))]

    return _asked(flags, ordinals)


def _asked(flags: ClusterFlags, question: Callable[[Client], Coroutine[Any, Any, list[str]]]) -> list[str]:
    async def answer() -> list[str]:
        async with asyncio.timeout(PATIENCE), connected(flags, os.environ) as client:
            return await question(client)

    try:
        return asyncio.run(answer())
    except (Exit, ApiError, TimeoutError):
        return []


async def _names(client: Client, flags: ClusterFlags, resource: Resource[Any]) -> list[str]:
    found = await client.list_all(resource, namespace_of(flags, os.environ) if resource.namespaced else None)
    return sorted(one.metadata.name for one in found.items)
