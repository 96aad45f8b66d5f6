"""A Lease as one candidate for it sees it: who holds it, since when unchanged, and how to claim and release it."""

import asyncio
import math
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

import msgspec

from modelinfer_controller.api.core import KubeObject, WireStruct
from modelinfer_controller.api.names import ObjectName
from modelinfer_controller.kube.clock import Clock
from modelinfer_controller.kube.errors import AlreadyExists, Conflict, NotFound
from modelinfer_controller.kube.resource import Resource

MICROSECOND = timedelta(microseconds=1)
RELEASE_ATTEMPTS = 3


class LeaseSpec(WireStruct, frozen=True):
    """A Lease's spec."""

    holder_identity: str | None = None
    lease_duration_seconds: int | None = None
    acquire_time: datetime | None = None
    renew_time: datetime | None = None
    lease_transitions: int | None = None


class Lease(KubeObject, frozen=True):
    """The lock of leader election."""

    spec: LeaseSpec = LeaseSpec()

    @property
    def holder(self) -> str:
        """ "" when it was released."""
        return self.spec.holder_identity or ""


LEASES = Resource("coordination.k8s.io", "v1", "leases", "Lease", Lease)


class LeaseApi(Protocol):
    """What is needed of the client."""

    async def get(self, resource: Resource[Lease], namespace: str | None, name: str) -> Lease: ...

    async def create(self, resource: Resource[Lease], namespace: str | None, body: Mapping[str, Any]) -> Lease: ...

    async def update(
        self, resource: Resource[Lease], namespace: str | None, name: str, body: Mapping[str, Any]
    ) -> Lease: ...


class LeaseLock:
    """Claims one Lease for one identity, which must be this process's alone.

    Another's lease counts as expired once it has been *seen* unchanged for its duration on this process's own
    monotonic clock; the times written in it are for people. Every write carries the resource version that it is based
    on, thus of two claims at once one fails. Errors of the API pass through, with the write's outcome unknown.
    """

    def __init__(self, api: LeaseApi, name: ObjectName, identity: str, *, seconds: float, clock: Clock) -> None:
        self._api = api
        self._name = name
        self._identity = identity
        self._seconds = seconds
        self._clock = clock
        self._seen: Lease | None = None
        self._changed_at = -math.inf
        self._has_open_write = False

    @property
    def holder(self) -> str:
        """Who held the lease when it was last seen; "" for nobody."""
        return self._seen.holder if self._seen is not None else ""

    async def claim(self) -> bool:
        """Acquires or renews; whether the lease is held by this identity now."""
        if self._seen is not None and self._seen.holder == self._identity:
            try:
                return await self._take(self._seen)
            except (Conflict, NotFound):
                pass  # it has changed since: look again
        lease = await self._look()
        if not self._is_free(lease):
            return False
        try:
            return await (self._create() if lease is None else self._take(lease))
        except (AlreadyExists, Conflict, NotFound):
            return False

    async def release(self) -> None:
        """Leaves the lease to whoever comes next, if it is held; at once, without waiting for its expiry."""
        if self.holder != self._identity and not self._has_open_write:
            return
        for _ in range(RELEASE_ATTEMPTS):
            lease = await self._look()
            if lease is None or lease.holder != self._identity:
                return
            with suppress(Conflict):  # with a renewal that was given up, and arrived all the same
                await self._write(_body(self._name, self._released(lease.spec), lease), is_new=False)
                return

    def _is_free(self, lease: Lease | None) -> bool:
        if lease is None:
            return self._has_expired()  # deleted under a holder that does not know it yet
        return lease.holder in ("", self._identity) or self._has_expired()

    def _has_expired(self) -> bool:
        if self._seen is None or self._seen.holder in ("", self._identity):
            return True
        seconds = self._seen.spec.lease_duration_seconds or self._seconds
        return _time() >= self._changed_at + seconds

    async def _look(self) -> Lease | None:
        try:
            lease = await self._api.get(LEASES, self._name.namespace, self._name.name)
        except NotFound:
            return None
        self._observe(lease)
        return lease

    async def _create(self) -> bool:
        return await self._write(_body(self._name, self._claimed(LeaseSpec(), transitions=0), None), is_new=True)

    async def _take(self, lease: Lease) -> bool:
        is_renewal = lease.holder == self._identity
        transitions = (lease.spec.lease_transitions or 0) + (not is_renewal)
        base = lease.spec if is_renewal else LeaseSpec(renew_time=lease.spec.renew_time)
        return await self._write(_body(self._name, self._claimed(base, transitions), lease), is_new=False)

    async def _write(self, body: Mapping[str, Any], *, is_new: bool) -> bool:
        self._has_open_write = True
        try:
            if is_new:
                lease = await self._api.create(LEASES, self._name.namespace, body)
            else:
                lease = await self._api.update(LEASES, self._name.namespace, self._name.name, body)
        except (AlreadyExists, Conflict, NotFound):
            self._has_open_write = False
            raise
        self._has_open_write = False
        self._observe(lease)
        return lease.holder == self._identity

    def _observe(self, lease: Lease) -> None:
        seen = self._seen
        if seen is None or seen.metadata.resource_version != lease.metadata.resource_version:
            self._seen = lease
            self._changed_at = _time()

    def _claimed(self, spec: LeaseSpec, transitions: int) -> LeaseSpec:
        renew_time = self._renew_time(spec)
        return LeaseSpec(
            holder_identity=self._identity,
            lease_duration_seconds=math.ceil(self._seconds),
            acquire_time=spec.acquire_time or renew_time,
            renew_time=renew_time,
            lease_transitions=transitions,
        )

    def _released(self, spec: LeaseSpec) -> LeaseSpec:
        return LeaseSpec(
            holder_identity="",
            lease_duration_seconds=1,  # must not be 0, and helps candidates that do not know an empty holder
            acquire_time=spec.acquire_time,
            renew_time=self._renew_time(spec),
            lease_transitions=spec.lease_transitions,
        )

    def _renew_time(self, previous: LeaseSpec) -> datetime:
        """Never the same twice, however the wall clock stands.

        An update that changes nothing is not stored, and the others would see no renewal.
        """
        now = self._clock.now()
        if previous.renew_time is None:
            return now
        return max(now, previous.renew_time + MICROSECOND)


def _body(name: ObjectName, spec: LeaseSpec, lease: Lease | None) -> Mapping[str, Any]:
    """The whole object for an update based on `lease`, or for a creation."""
    metadata: dict[str, Any] = {"name": name.name, "namespace": name.namespace}
    if lease is not None:
        metadata = msgspec.to_builtins(lease.metadata)
    return {
        "apiVersion": LEASES.api_version,
        "kind": LEASES.kind,
        "metadata": metadata,
        "spec": {
            "holderIdentity": spec.holder_identity,
            "leaseDurationSeconds": spec.lease_duration_seconds,
            "acquireTime": _micro_time(spec.acquire_time),
            "renewTime": _micro_time(spec.renew_time),
            "leaseTransitions": spec.lease_transitions,
        },
    }


def _micro_time(time: datetime | None) -> str | None:
    """The API's MicroTime, which wants exactly six decimals."""
    return time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ") if time is not None else None


def _time() -> float:
    return asyncio.get_running_loop().time()
