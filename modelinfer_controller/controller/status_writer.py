"""What is written of a ModelInfer's status, and when: one patch, of what differs, and none where nothing does.

While it is on its way, or waits for its time, the next reconcile decides already, from the status that will be written.

A JSON patch, because it can test the UID: on the status subresource of a custom resource the server pays no heed to a
UID in a merge patch's metadata, and a namesake made meanwhile would inherit what its predecessor remembered.
"""

import asyncio
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import msgspec

from modelinfer_controller.api.names import ObjectName
from modelinfer_controller.api.status import ModelInfer, ModelInferStatus
from modelinfer_controller.controller.caches import Caches
from modelinfer_controller.controller.resources import MODEL_INFERS
from modelinfer_controller.kube.client import JSON_PATCH, Client
from modelinfer_controller.kube.coalescing_writer import CoalescingWriter
from modelinfer_controller.kube.errors import Invalid, NotFound
from modelinfer_controller.kube.inflight import FairLimiter
from modelinfer_controller.planning.status import urgent_part

MAX_STALENESS = 1.0  # seconds
# Each costs the server more than a pod does: neither children nor schedulers and kubelets are to wait behind hundreds,
# and what waits in the queue takes in what there is to report meanwhile. So a busy server gets fewer.
MAX_IN_FLIGHT = 2
MAX_HANGING = 32  # beside them: those that a webhook does not answer


@dataclass(frozen=True, slots=True, eq=False)
class _Update:
    """A status, and the ModelInfer that it was decided for."""

    stored: ModelInfer
    status: ModelInferStatus

    def of(self, stored: ModelInfer) -> ModelInferStatus | None:
        """The status, if it is that very ModelInfer's."""
        return self.status if _is_same(self.stored, stored) else None


class StatusWriter:
    """The policy; how values are coalesced, spaced and tried again is `CoalescingWriter`'s."""

    def __init__(self, client: Client, caches: Caches) -> None:
        self._client = client
        self._caches = caches
        self._writer: CoalescingWriter[ObjectName, _Update] = CoalescingWriter(
            self._patch,
            FairLimiter(MAX_IN_FLIGHT, max_parked=MAX_HANGING),
            flow_of=lambda key: (key.namespace, key.name),
            interval=MAX_STALENESS,
            is_obsolete=self._is_obsolete,
        )

    def with_pending_status(self, stored: ModelInfer) -> ModelInfer:
        """It, with the status that was decided last, written or not: what the next reconcile goes by."""
        update = self._writer.pending(stored.metadata.object_name)
        status = update.of(stored) if update is not None else None
        return stored if status is None else msgspec.structs.replace(stored, status=status)

    def enqueue(self, stored: ModelInfer, status: ModelInferStatus, *, is_superseded: bool = False) -> None:
        """Sees to it that the status is written, soon.

        is_superseded: a reconcile that has more to report follows at once. Counts, messages and what was complete wait
        for it; and without it they follow one another by a second at least. What a restart could not find out again
        and what people wait for never waits; but a first status may, all of which is read off the spec and the pods.
        """
        key, latest = stored.metadata.object_name, self._latest(stored)
        update, committed = _Update(latest, status), self._writer.committed(key)
        before = (committed.of(stored) if committed is not None else None) or latest.status
        is_first = not before.is_written
        if before == status == self.with_pending_status(latest).status:
            return
        if not is_first and urgent_part(before) != urgent_part(status):
            self._writer.enqueue(key, update)
        elif is_superseded:
            self._writer.defer(key, update)
        else:
            self._writer.throttle(key, update)

    async def write(self, stored: ModelInfer, status: ModelInferStatus) -> None:
        """Patches the status of exactly that ModelInfer, before all that is queued, and waits for the answer.

        Raises what the server or the connection had against it.
        """
        await self._writer.write(stored.metadata.object_name, _Update(self._latest(stored), status))

    @contextmanager
    def reporting_new_spec(self, stored: ModelInfer, status: Callable[[], ModelInferStatus]) -> Iterator[None]:
        """What goes on for longer than MAX_STALENESS does not keep the status from saying that the spec was seen."""
        if self.with_pending_status(stored).status.observed_generation == stored.metadata.generation:
            yield
            return
        loop = asyncio.get_running_loop()
        timer = loop.call_later(MAX_STALENESS, lambda: self.enqueue(stored, status()))
        try:
            yield
        finally:
            timer.cancel()

    def forget(self, key: ObjectName) -> None:
        """The ModelInfer is gone."""
        self._writer.forget(key)

    async def drain(self) -> None:
        """Ends when everything is written, or has failed, which nobody hears any more."""
        await self._writer.drain()

    async def close(self) -> None:
        """Breaks off what is still being written: nothing, once it is drained."""
        await self._writer.close()

    async def _patch(self, key: ObjectName, update: _Update) -> None:
        stored = self._latest(update.stored)  # it may have waited for long
        if not (patch := status_patch(stored.status, update.status)):
            return
        uid = stored.metadata.uid
        body = [
            {"op": "test", "path": "/metadata/uid", "value": uid},
            *_operations(patch, stored.status, update.status),
        ]
        written = await self._client.patch(
            MODEL_INFERS, *key, msgspec.json.encode(body), content_type=JSON_PATCH, subresource="status"
        )
        self._caches.own_model_infers.written(written)

    def _is_obsolete(self, update: _Update, error: Exception) -> bool:
        return isinstance(error, NotFound) or (isinstance(error, Invalid) and not self._is_there(update.stored))

    def _latest(self, stored: ModelInfer) -> ModelInfer:
        """As cache and own writes show it now, which may be later than the reconcile began."""
        latest = self._caches.model_infer(stored.metadata.object_name)
        return latest if latest is not None and _is_same(latest, stored) else stored

    def _is_there(self, stored: ModelInfer) -> bool:
        """Whether that very ModelInfer still has its name, so far as the cache knows; the retry knows better."""
        cached = self._caches.model_infers.lister.get(stored.metadata.object_name)
        return cached is not None and _is_same(cached, stored)


def _is_same(one: ModelInfer, other: ModelInfer) -> bool:
    return one.metadata.uid == other.metadata.uid


def _operations(
    patch: Mapping[str, Any], before: ModelInferStatus, after: ModelInferStatus
) -> Iterator[dict[str, Any]]:
    """The merge patch from one status to the other as a JSON patch: whole fields, and whole records of groups."""
    if not before.is_written:
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
    if not before.is_written:
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
