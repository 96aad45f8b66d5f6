"""Writes the status: one merge patch, of what differs, and none where nothing does."""

from collections.abc import Mapping
from typing import Any

import msgspec

from modelinfer_controller.api.status import ModelInfer, ModelInferStatus
from modelinfer_controller.controller.caches import Caches
from modelinfer_controller.controller.execute import is_gone
from modelinfer_controller.controller.kinds import MODEL_INFERS
from modelinfer_controller.kube.client import Client
from modelinfer_controller.kube.errors import Conflict, NotFound


class StatusWriter:
    def __init__(self, client: Client, caches: Caches) -> None:
        self._client = client
        self._caches = caches

    async def write(self, stored: ModelInfer, status: ModelInferStatus) -> ModelInfer:
        """Patches the status of exactly that ModelInfer; returns it as it is then. Nothing is left if it is gone."""
        patch = status_patch(stored.status, status)
        if not patch:
            return stored
        name, uid = stored.metadata.object_name, stored.metadata.uid
        body = {"metadata": {"uid": uid}, "status": patch}
        try:
            written = await self._client.patch(MODEL_INFERS, name.namespace, name.name, body, subresource="status")
        except (NotFound, Conflict) as error:
            if not is_gone(error):
                raise
            return stored
        self._caches.own_model_infers.written(written)
        return written


def status_patch(before: ModelInferStatus, after: ModelInferStatus) -> dict[str, Any]:
    """A merge patch from one status to the other, {} if they are the same; the first status is written whole."""
    wanted: dict[str, Any] = msgspec.to_builtins(after)
    if before.observed_generation == 0:
        return wanted
    return _difference(msgspec.to_builtins(before), wanted)


def _difference(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, Any]:
    patch: dict[str, Any] = dict.fromkeys(before.keys() - after.keys())
    for key, value in after.items():
        known = before.get(key)
        if isinstance(value, dict) and isinstance(known, dict):
            if inner := _difference(known, value):
                patch[key] = inner
        elif value != known:
            patch[key] = value
    return patch
