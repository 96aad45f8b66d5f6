"""Writes the status: one patch, of what differs, and none where nothing does.

While it is on its way, or waits for its time, the next reconcile decides already, from the status that will be written.

A JSON patch, because it can test the UID: on the status subresource of a custom resource the server pays no heed to a
UID in a merge patch's metadata, and a namesake made meanwhile would inherit what its predecessor remembered.
"""

import asyncio
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
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


class _Writing:
    """A write that goes on: of `wanted`, and again if that changes meanwhile. Its task ends with the error, or None."""

    def __init__(self, name: ObjectName, wanted: ModelInferStatus) -> None:
        self.name = name
        self.wanted = wanted
        self.task: asyncio.Task[Exception | None]

    @property
    def is_over(self) -> bool:
        return self.task.done()


@dataclass(frozen=True, slots=True)
class _Owed:
    """The status of that UID was put off, first at that time."""

    uid: str
    status: ModelInferStatus
    since: datetime


class StatusWriter:
    """One write at a time of each ModelInfer. due_again(key): a future, done once another reconcile is to follow."""

    def __init__(
        self, client: Client, caches: Caches, clock: Clock, due_again: Callable[[ObjectName], "asyncio.Future[None]"]
    ) -> None:
        self._client = client
        self._caches = caches
        self._clock = clock
        self._due_again = due_again
        self._writing: dict[str, _Writing] = {}  # by UID
        self._owed: dict[ObjectName, _Owed] = {}
        self._told_at: dict[ObjectName, datetime] = {}

    def presumed(self, stored: ModelInfer) -> ModelInfer:
        """It, with the status that was decided last, written or not: what the next reconcile goes by."""
        owed = self._owed.get(stored.metadata.object_name)
        if owed is not None and owed.uid == stored.metadata.uid:
            return msgspec.structs.replace(stored, status=owed.status)
        return self._told(stored)

    def _told(self, stored: ModelInfer) -> ModelInfer:
        """It, with the status that is being written."""
        writing = self._writing.get(stored.metadata.uid)
        if writing is None or writing.is_over:
            return stored
        return msgspec.structs.replace(stored, status=writing.wanted)

    def put_off(self, stored: ModelInfer, status: ModelInferStatus, *, is_superseded: bool) -> timedelta | None:
        """How long telling this may wait, or None if it is to be told now.

        is_superseded: a reconcile that has more to tell follows at once. Counts, messages and what was complete wait
        for it; and without it they follow one another by a second at least. What a restart could not find out again
        and what people wait for never waits; but a first status may, all of which is read off the spec and the pods.
        """
        before = self._told(self._latest(stored)).status
        is_first = before.observed_generation == 0
        if before == status or (not is_first and _essence(before) != _essence(status)):
            return None
        name, uid, now = stored.metadata.object_name, stored.metadata.uid, self._clock.now()
        owed = self._owed.get(name)
        owed_since = owed.since if owed is not None and owed.uid == uid else now
        begins = owed_since if is_superseded else self._told_at.get(name)
        left = begins + MAX_STALENESS - now if begins is not None else timedelta(0)
        if left <= timedelta(0):
            return None
        self._owed[name] = _Owed(uid, status, owed_since)
        return left

    @contextmanager
    def telling_of_new_spec(self, stored: ModelInfer, status: Callable[[], ModelInferStatus]) -> Iterator[None]:
        """What goes on for longer than MAX_STALENESS does not keep the status from saying that the spec was seen."""

        def tell_meanwhile() -> None:
            writing = self._writing.get(stored.metadata.uid)
            if writing is None or not writing.is_over:  # what a write came to is for the next `tell` to raise
                self._begin(stored, status())

        if self._told(stored).status.observed_generation == stored.metadata.generation:
            yield
            return
        timer = asyncio.get_running_loop().call_later(MAX_STALENESS.total_seconds(), tell_meanwhile)
        try:
            yield
        finally:
            timer.cancel()

    async def write(self, stored: ModelInfer, status: ModelInferStatus) -> None:
        """Patches the status of exactly that ModelInfer, and waits for the answer.

        Raises what the server or the connection had against it.
        """
        if writing := self._begin(stored, status):
            await asyncio.wait((writing.task,))
            self._end(stored.metadata.uid)

    async def tell(self, stored: ModelInfer, status: ModelInferStatus) -> None:
        """`write`, but returns as soon as another reconcile of the key is due: no decision waits for the telling.

        What goes wrong after that is raised by the next call for the same ModelInfer.
        """
        if writing := self._begin(stored, status):
            due_again = self._due_again(stored.metadata.object_name)
            await asyncio.wait((writing.task, due_again), return_when=asyncio.FIRST_COMPLETED)
            if writing.is_over:
                self._end(stored.metadata.uid)

    def forget(self, key: ObjectName) -> None:
        """The ModelInfer is gone."""
        self._owed.pop(key, None)
        self._told_at.pop(key, None)
        self._writing = {u: w for u, w in self._writing.items() if w.name != key or not w.is_over}

    async def close(self) -> None:
        """Breaks off what is still being written: nothing, once the queue is drained."""
        tasks = [writing.task for writing in self._writing.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._writing.clear()

    def _begin(self, stored: ModelInfer, status: ModelInferStatus) -> _Writing | None:
        """Hands the status to the write that goes on, or begins one; None where nothing differs."""
        name, uid = stored.metadata.object_name, stored.metadata.uid
        self._owed.pop(name, None)
        if uid in self._writing and self._writing[uid].is_over:
            self._end(uid)
        if writing := self._writing.get(uid):
            writing.wanted = status
            return writing
        latest = self._latest(stored)
        if not status_patch(latest.status, status):
            return None
        self._told_at[name] = self._clock.now()
        begun = self._writing[uid] = _Writing(name, status)
        begun.task = asyncio.create_task(self._carry_out(latest, begun), name=f"status of {name}")
        return begun

    def _end(self, uid: str) -> None:
        """Raises what the write that is over came to."""
        if (error := self._writing.pop(uid).task.result()) is not None:
            raise error

    async def _carry_out(self, stored: ModelInfer, writing: _Writing) -> Exception | None:
        written: ModelInferStatus | None = None
        try:
            while written is not writing.wanted:
                written = writing.wanted
                stored = await self._patch(stored, written)
        except NotFound:
            return None
        except Invalid as error:
            return error if self._is_there(stored) else None
        except Exception as error:
            return error
        return None

    async def _patch(self, stored: ModelInfer, status: ModelInferStatus) -> ModelInfer:
        if not (patch := status_patch(stored.status, status)):
            return stored
        name, uid = stored.metadata.object_name, stored.metadata.uid
        body = [{"op": "test", "path": "/metadata/uid", "value": uid}, *_operations(patch, stored.status, status)]
        written = await self._client.patch(
            MODEL_INFERS, *name, msgspec.json.encode(body), content_type=JSON_PATCH, subresource="status"
        )
        self._caches.own_model_infers.written(written)
        return written

    def _latest(self, stored: ModelInfer) -> ModelInfer:
        """As cache and own writes show it now, which may be later than the reconcile began."""
        latest = self._caches.model_infer(stored.metadata.object_name)
        return latest if latest is not None and latest.metadata.uid == stored.metadata.uid else stored

    def _is_there(self, stored: ModelInfer) -> bool:
        """Whether that very ModelInfer still bears its name, so far as the cache knows; the retry knows better."""
        cached = self._caches.model_infers.lister.get(stored.metadata.object_name)
        return cached is not None and cached.metadata.uid == stored.metadata.uid


def _essence(status: ModelInferStatus) -> tuple[object, ...]:
    """What the pods do not show, and what `kubectl wait` waits for."""
    verdicts = tuple((condition.type, condition.status) for condition in status.conditions)
    groups = {ordinal: (record.revision, record.rebuilds) for ordinal, record in status.groups.items()}
    return status.observed_generation, groups, status.current_revision, status.update_revision, verdicts


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
