"""What the shell offers to complete: asked of the cluster, with a short patience and without a word where it fails."""

import asyncio
import os
from typing import Any

from modelinfer_controller.controller.resources import MODEL_INFERS
from modelinfer_controller.exits import Exit
from modelinfer_controller.kube.errors import ApiError
from modelinfer_controller.kube.resource import NAMESPACES, Resource
from modelinfer_controller.kubectl.access import Place, connected, namespace_of

PATIENCE = 3.0  # seconds


def model_infer_names(place: Place) -> list[str]:
    return _names(place, MODEL_INFERS)


def namespace_names(place: Place) -> list[str]:
    return _names(place, NAMESPACES)


def _names(place: Place, resource: Resource[Any]) -> list[str]:
    try:
        return asyncio.run(_listed(place, resource))
    except (Exit, ApiError, TimeoutError):
        return []


async def _listed(place: Place, resource: Resource[Any]) -> list[str]:
    async with asyncio.timeout(PATIENCE), connected(place, os.environ) as client:
        found = await client.list_all(resource, namespace_of(place, os.environ) if resource.namespaced else None)
        return sorted(one.metadata.name for one in found.items)
