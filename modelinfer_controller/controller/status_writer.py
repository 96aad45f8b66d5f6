"""Writes the status: one patch, of what differs, and none where nothing does.

A JSON patch, because it can test the UID: on the status subresource of a custom resource the server pays no heed to a
UID in a merge patch's metadata, and a namesake made meanwhile would inherit what its predecessor remembered.
"""

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any

import msgspec

from modelinfer_controller.api.names import ObjectName
from modelinfer_controller.api.status import ModelInfer, ModelInferStatus
from modelinfer_controller.controller.caches import Caches
from modelinfer_controller.controller.kinds import MODEL_INFERS
from modelinfer_controller.kube.client import JSON_PATCH, Client
from modelinfer_controller.kube.clock import Clock
from modelinfer_controller.kube.errors import Invalid, NotFound

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
        body = [{"op": "test", "path": "/metadata/uid", "value": uid}, *_operations(patch, stored.status, status)]
        try:
            written = await self._client.patch(
                MODEL_INFERS, *name, msgspec.json.encode(body), content_type=JSON_PATCH, subresource="status"
            )
        except NotFound:
            return stored
        except Invalid:
            if self._is_there(stored):
                raise
            return stored
        self._caches.own_model_infers.written(written)
        self._written_at[name] = self._clock.now()
        return written

    def _is_there(self, stored: ModelInfer) -> bool:
        """Whether that very ModelInfer still bears its name, so far as the cache knows; the retry knows better."""
        cached = self._caches.model_infers.lister.get(stored.metadata.object_name)
        return cached is not None and cached.metadata.uid == stored.metadata.uid

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


def _operations(
    patch: Mapping[str, Any], before: ModelInferStatus, after: ModelInferStatus
) -> Iterator[dict[str, Any]]:
    """The merge patch from one status to the other as a JSON patch: whole fields, and whole records of groups."""
    if before.observed_generation == 0:
        yield {"op": "add", "path": "/status", "value": dict(patch)}
        return
    wanted = msgspec.to_builtins(after)
    # Where no groups are known there may be no map to add one to: somebody may have edited the status.
    whole = [key for key in patch if key != "groups" or not before.groups]
    for key in whole:
        yield {"op": "add", "path": f"/status/{key}", "value": wanted[key]}
    for ordinal in patch.get("groups", {}) if before.groups else ():
        path = f"/status/groups/{ordinal}"
        kept = wanted["groups"].get(ordinal)
        yield {"op": "remove", "path": path} if kept is None else {"op": "add", "path": path, "value": kept}


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
