"""What the shell offers to complete: asked of the cluster, with a short patience and without a word where it fails."""

import asyncio
import os
from typing import Any

from modelinfer_controller.controller.resources import MODEL_INFERS
from modelinfer_controller.exits import Exit
from modelinfer_controller.kube.errors import ApiError
from modelinfer_controller.kube.resource import NAMESPACES, Resource
from modelinfer_controller.kubectl.model.access import ClusterFlags, connected, namespace_of

PATIENCE = 3.0  # seconds


def model_infer_names(flags: ClusterFlags) -> list[str]:
    return _names(flags, MODEL_INFERS)


def namespace_names(flags: ClusterFlags) -> list[str]:
    return _names(flags, NAMESPACES)


def _names(flags: ClusterFlags, resource: Resource[Any]) -> list[str]:
    try:
        return asyncio.run(_listed(flags, resource))
    except (Exit, ApiError, TimeoutError):
        return []


async def _listed(flags: ClusterFlags, resource: Resource[Any]) -> list[str]:
    async with asyncio.timeout(PATIENCE), connected(flags, os.environ) as client:
        found = await client.list_all(resource, namespace_of(flags, os.environ) if resource.namespaced else None)
        return sorted(one.metadata.name for one in found.items)
