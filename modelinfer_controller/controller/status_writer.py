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
from modelinfer_controller.controller.resources import MODEL_INFERS
from modelinfer_controller.kube.client import JSON_PATCH, Client
from modelinfer_controller.kube.clock import Clock
from modelinfer_controller.kube.errors import Invalid, NotFound

MAX_STALENESS = timedelta(seconds=1)
# Each costs the server more than a pod does: neither children nor schedulers and kubelets are to wait behind hundreds,
# and what waits in the line takes in what there is to tell meanwhile. So a busy server gets fewer.
MAX_IN_FLIGHT = 2


class _Writing:
    """A write in the line or under way: of `wanted`, and again if that changes meanwhile."""

    def __init__(self, stored: ModelInfer, wanted: ModelInferStatus) -> None:
        self.stored = stored
        self.wanted = wanted
        self.task: asyncio.Task[None] | None = None
        self.error: Exception | None = None  # what it came to, once it is over
        self.is_awaited = False

    @property
    def name(self) -> ObjectName:
        return self.stored.metadata.object_name


@dataclass(frozen=True, slots=True)
class _Owed:
    """That status was put off, first at that time."""

    stored: ModelInfer
    status: ModelInferStatus
    since: datetime


class StatusWriter:
    """One write at a time of each ModelInfer, MAX_IN_FLIGHT of all that nobody waits for.

    on_failure(key): a write that nobody waited for came to nothing, and another reconcile is to follow.
    """

    def __init__(
        self, client: Client, caches: Caches, clock: Clock, on_failure: Callable[[ObjectName], None] = lambda key: None
    ) -> None:
        self._client = client
        self._caches = caches
        self._clock = clock
        self._on_failure = on_failure
        self._writing: dict[str, _Writing] = {}  # by UID, those in the line among them
        self._line: dict[str, _Writing] = {}
        self._failing: set[ObjectName] = set()  # the last write was in vain
        self._owed: dict[ObjectName, _Owed] = {}
        self._told_at: dict[ObjectName, datetime] = {}

    def presumed(self, stored: ModelInfer) -> ModelInfer:
        """It, with the status that was decided last, written or not: what the next reconcile goes by."""
        if owed := self._owed_to(stored):
            return msgspec.structs.replace(stored, status=owed.status)
        return self._told(stored)

    def _owed_to(self, stored: ModelInfer) -> _Owed | None:
        owed = self._owed.get(stored.metadata.object_name)
        return owed if owed is not None and _is_same(owed.stored, stored) else None

    def _told(self, stored: ModelInfer) -> ModelInfer:
        """It, with the status that is being written."""
        writing = self._writing.get(stored.metadata.uid)
        return stored if writing is None else msgspec.structs.replace(stored, status=writing.wanted)

    def put_off(self, stored: ModelInfer, status: ModelInferStatus, *, is_superseded: bool) -> timedelta | None:
        """How long telling this may wait, or None if it is to be told now.

        is_superseded: a reconcile that has more to tell follows at once. Counts, messages and what was complete wait
        for it; and without it they follow one another by a second at least. What a restart could not find out again
        and what people wait for never waits; but a first status may, all of which is read off the spec and the pods.
        """
        before = self._told(self._latest(stored)).status
        is_first = not before.is_written
        if before == status or (not is_first and _essence(before) != _essence(status)):
            return None
        if stored.metadata.uid in self._line:
            return None  # costs no further request
        name, now = stored.metadata.object_name, self._clock.now()
        owed = self._owed_to(stored)
        owed_since = owed.since if owed is not None else now
        begins = owed_since if is_superseded else self._told_at.get(name)
        left = begins + MAX_STALENESS - now if begins is not None else timedelta(0)
        if left <= timedelta(0):
            return None
        self._owed[name] = _Owed(stored, status, owed_since)
        return left

    @contextmanager
    def telling_of_new_spec(self, stored: ModelInfer, status: Callable[[], ModelInferStatus]) -> Iterator[None]:
        """What goes on for longer than MAX_STALENESS does not keep the status from saying that the spec was seen."""
        if self._told(stored).status.observed_generation == stored.metadata.generation:
            yield
            return
        seconds = MAX_STALENESS.total_seconds()
        timer = asyncio.get_running_loop().call_later(seconds, lambda: self._hand_in(stored, status()))
        try:
            yield
        finally:
            timer.cancel()

    async def write(self, stored: ModelInfer, status: ModelInferStatus) -> None:
        """Patches the status of exactly that ModelInfer, before all that is in the line, and waits for the answer.

        Raises what the server or the connection had against it.
        """
        if (writing := self._hand_in(stored, status)) is None:
            return
        writing.is_awaited = True
        if (task := writing.task) is None:
            task = self._start(writing)
        await asyncio.wait((task,))
        if writing.error is not None:
            raise writing.error

    async def tell(self, stored: ModelInfer, status: ModelInferStatus) -> None:
        """`write`, but in the line, and without waiting for the answer.

        Except after a failure: then it waits, and raises, so that the retries come at growing intervals.
        """
        if stored.metadata.object_name in self._failing:
            await self.write(stored, status)
        else:
            self._hand_in(stored, status)

    def forget(self, key: ObjectName) -> None:
        """The ModelInfer is gone."""
        self._owed.pop(key, None)
        self._told_at.pop(key, None)
        self._failing.discard(key)

    async def drain(self) -> None:
        """Ends when everything that was told, or put off, is written; or has failed, which nobody hears any more."""
        for owed in list(self._owed.values()):
            self._hand_in(owed.stored, owed.status)
        while under_way := self._under_way():
            await asyncio.wait(under_way)

    async def close(self) -> None:
        """Breaks off what is still being written: nothing, once it is drained."""
        self._line.clear()
        tasks = self._under_way()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._writing.clear()

    def _hand_in(self, stored: ModelInfer, status: ModelInferStatus) -> _Writing | None:
        """Hands the status to the write that goes on or waits, or to a new one; None where nothing differs."""
        name, uid = stored.metadata.object_name, stored.metadata.uid
        self._owed.pop(name, None)
        if writing := self._writing.get(uid):
            writing.wanted = status
            return writing
        latest = self._latest(stored)
        if not status_patch(latest.status, status):
            return None
        self._told_at[name] = self._clock.now()
        writing = self._writing[uid] = self._line[uid] = _Writing(latest, status)
        self._advance()
        return writing

    def _under_way(self) -> list[asyncio.Task[None]]:
        return [writing.task for writing in self._writing.values() if writing.task is not None]

    def _advance(self) -> None:
        while self._line and len(self._writing) - len(self._line) < MAX_IN_FLIGHT:
            self._start(next(iter(self._line.values())))

    def _start(self, writing: _Writing) -> asyncio.Task[None]:
        uid = writing.stored.metadata.uid
        self._line.pop(uid)
        writing.task = asyncio.create_task(self._carry_out(uid, writing), name=f"status of {writing.name}")
        return writing.task

    async def _carry_out(self, uid: str, writing: _Writing) -> None:
        written: ModelInferStatus | None = None
        writing.stored = self._latest(writing.stored)  # it may have waited for long
        try:
            while written is not writing.wanted:
                written = writing.wanted
                writing.stored = await self._patch(writing.stored, written)
            self._failing.discard(writing.name)
        except Exception as error:
            self._fail(writing, error)
        # Since what is wanted was looked at last nothing was awaited: what comes from now on begins a write of its own.
        del self._writing[uid]
        self._advance()

    def _fail(self, writing: _Writing, error: Exception) -> None:
        if isinstance(error, NotFound) or (isinstance(error, Invalid) and not self._is_there(writing.stored)):
            return
        self._failing.add(writing.name)
        if writing.is_awaited:
            writing.error = error
        else:
            self._on_failure(writing.name)

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
        return latest if latest is not None and _is_same(latest, stored) else stored

    def _is_there(self, stored: ModelInfer) -> bool:
        """Whether that very ModelInfer still bears its name, so far as the cache knows; the retry knows better."""
        cached = self._caches.model_infers.lister.get(stored.metadata.object_name)
        return cached is not None and _is_same(cached, stored)


def _is_same(one: ModelInfer, other: ModelInfer) -> bool:
    return one.metadata.uid == other.metadata.uid


def _essence(status: ModelInferStatus) -> tuple[object, ...]:
    """What the pods do not show, and what `kubectl wait` waits for."""
    verdicts = tuple((condition.type, condition.status) for condition in status.conditions)
    groups = {ordinal: (record.revision, record.rebuilds) for ordinal, record in status.groups.items()}
    return status.observed_generation, groups, status.current_revision, status.update_revision, verdicts


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
