"""Writes the status: one merge patch, of what differs, and none where nothing does."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

import msgspec

from modelinfer_controller.api.names import ObjectName
from modelinfer_controller.api.status import ModelInfer, ModelInferStatus
from modelinfer_controller.controller.caches import Caches
from modelinfer_controller.controller.execute import is_gone
from modelinfer_controller.controller.kinds import MODEL_INFERS
from modelinfer_controller.kube.client import Client
from modelinfer_controller.kube.clock import Clock
from modelinfer_controller.kube.errors import Conflict, NotFound

MAX_STALENESS = timedelta(seconds=1)


class StatusWriter:
    def __init__(self, client: Client, caches: Caches, clock: Clock) -> None:
        self._client = client
        self._caches = caches
        self._clock = clock
        self._written_at: dict[ObjectName, datetime] = {}

    async def write(self, stored: ModelInfer, status: ModelInferStatus, *, is_superseded: bool = False) -> ModelInfer:
        """Patches the status of exactly that ModelInfer; returns it as it is then.

        is_superseded: another reconcile follows at once. Counts and messages may then wait for its word, a second at
        most; what decisions are made from, and what people wait for, is always written.
        """
        patch = status_patch(stored.status, status)
        if not patch or (is_superseded and self._may_wait(stored, status)):
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
        self._written_at[name] = self._clock.now()
        return written

    def forget(self, key: ObjectName) -> None:
        self._written_at.pop(key, None)

    def _may_wait(self, stored: ModelInfer, status: ModelInferStatus) -> bool:
        written_at = self._written_at.get(stored.metadata.object_name)
        is_fresh = written_at is not None and self._clock.now() - written_at < MAX_STALENESS
        return is_fresh and _essence(stored.status) == _essence(status)


def _essence(status: ModelInferStatus) -> tuple[object, ...]:
    """What decisions are made from, and what `kubectl wait` waits for."""
    verdicts = tuple((condition.type, condition.status) for condition in status.conditions)
    return status.observed_generation, status.groups, status.current_revision, status.update_revision, verdicts


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
