"""Leader election on a Lease: of several replicas, at most one does the work."""

import asyncio
import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import NoReturn, Protocol

import structlog

from modelinfer_controller.api.names import ObjectName
from modelinfer_controller.kube.backoff import Random
from modelinfer_controller.kube.clock import Clock
from modelinfer_controller.kube.errors import ApiError
from modelinfer_controller.kube.lease import LeaseApi, LeaseLock
from modelinfer_controller.kube.tasks import CancelledFromWithin, result_of, stray_cancellation_as_error
from modelinfer_controller.kube.transport import TransportError

RETRY_JITTER = 1.2  # the share of the retry period that a renewal may come late

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


class LeadershipLost(Exception):
    """The lease could not be renewed in time, or another holds it. The work was stopped; the process should end."""


class LeadershipObserver(Protocol):
    """Hears of the beginning and the end of leadership."""

    def __call__(self, is_leader: bool) -> None:
        """Called when leadership begins and ends. Must not block or raise."""


def ignore_leadership(is_leader: bool) -> None:
    """The observer of who does not observe."""


@dataclass(frozen=True, slots=True)
class LeaseTiming:
    """In seconds. A holder that has not renewed for renew_deadline stops; others wait lease_duration for it.

    What lies between is the time that its work has to end. Raises ValueError when the order is wrong.
    """

    lease_duration: float = 15.0
    renew_deadline: float = 10.0
    retry_period: float = 2.0

    def __post_init__(self) -> None:
        if self.lease_duration < 1:
            raise ValueError(f"lease duration {self.lease_duration:g} s: must be 1 s or more")
        if self.lease_duration <= self.renew_deadline:
            raise ValueError(
                f"lease duration {self.lease_duration:g} s: must be longer than the renew deadline "
                f"of {self.renew_deadline:g} s"
            )
        if self.retry_period <= 0:
            raise ValueError(f"retry period {self.retry_period:g} s: must be more than 0")
        if self.renew_deadline <= RETRY_JITTER * self.retry_period:
            raise ValueError(
                f"renew deadline {self.renew_deadline:g} s: must be longer than {RETRY_JITTER:g} times the retry "
                f"period of {self.retry_period:g} s"
            )

    @property
    def attempt_timeout(self) -> float:
        """One request that hangs leaves time for another before the deadline."""
        return self.renew_deadline / 2


class LeaderElector:
    """Runs work while, and only while, this process holds the lease. For one `run`.

    All deadlines count on the loop's monotonic clock, from before the successful request was sent: others count from
    after it was stored, thus later. identity must be this process's alone, not shared with its predecessor.
    """

    def __init__(
        self,
        api: LeaseApi,
        name: ObjectName,
        identity: str,
        *,
        clock: Clock,
        random: Random,
        timing: LeaseTiming = LeaseTiming(),
        on_change: LeadershipObserver = ignore_leadership,
    ) -> None:
        self._lock = LeaseLock(api, name, identity, seconds=timing.lease_duration, clock=clock)
        self._identity = identity
        self._random = random
        self._timing = timing
        self._on_change = on_change
        self._renewed_at = -math.inf
        self._is_leader = False
        self._is_working = False  # a leader's work may outlast its leadership for a moment
        self._known_holder: str | None = None
        self._log = log.bind(lease=str(name), identity=identity)

    @property
    def holder(self) -> str:
        """Identity that held the lease when it was last seen; "" for nobody."""
        return self._lock.holder

    def is_leading(self) -> bool:
        """Whether a write is allowed now.

        The clock says so: after a stall it is False at once, before any task has had a chance to notice.
        """
        return self._is_leader and _time() < self._renewed_at + self._timing.renew_deadline

    def is_healthy(self, max_tolerable_expired: float = 0.0) -> bool:
        """False while the work goes on although the lease expired more than that many seconds ago."""
        return not self._is_working or _time() <= self._renewed_at + self._timing.lease_duration + max_tolerable_expired

    async def run(self, lead: Callable[[], Awaitable[None]]) -> None:
        """Waits for the lease, then runs `lead()`, renewing the lease until it has ended; then releases the lease.

        When lead ends or raises so does this. When this is cancelled, so is lead, and the lease is renewed until it
        has ended. Raises LeadershipLost when the lease is lost: lead is cancelled at once, and what of it has not
        ended when the lease expires is left behind.
        """
        await self._acquire()
        self._set_leader(True)
        try:
            await self._work(lead)
        finally:
            self._set_leader(False)

    async def _acquire(self) -> None:
        self._log.info("Waiting for leadership")
        try:
            while True:
                if await self._claim(until=math.inf):
                    return
                # Within the retry period, or the lease of a holder that left would lie idle longer than that.
                await asyncio.sleep(self._timing.retry_period * (0.5 + 0.4 * self._random.random()))
        except asyncio.CancelledError:
            await self._release()
            raise

    async def _work(self, lead: Callable[[], Awaitable[None]]) -> None:
        work = asyncio.create_task(self._lead(lead), name="leader's work")
        renewal = asyncio.create_task(self._renew(), name="lease renewal")
        is_cancelled = False
        while not work.done() and not renewal.done():
            try:
                await asyncio.wait((work, renewal), return_when=asyncio.FIRST_COMPLETED)
            except asyncio.CancelledError:
                is_cancelled = True
                work.cancel()
        if renewal.done():
            await self._abandon(work)
            result_of(renewal)
        await _end(renewal)
        self._set_leader(False)
        await self._release()
        if not is_cancelled:
            result_of(work)
        elif not work.cancelled():
            work.result()
        if is_cancelled:
            raise asyncio.CancelledError

    async def _lead(self, lead: Callable[[], Awaitable[None]]) -> None:
        self._is_working = True
        try:
            await lead()
        finally:
            self._is_working = False

    async def _renew(self) -> NoReturn:
        while True:
            deadline = self._renewed_at + self._timing.renew_deadline
            await asyncio.sleep(min(self._timing.retry_period, deadline - _time()))
            if _time() >= deadline:
                raise LeadershipLost(f"the lease was not renewed for {_time() - self._renewed_at:.1f} s")
            if not await self._claim(until=deadline) and self._lock.holder not in ("", self._identity):
                raise LeadershipLost(f"the lease is held by {self._lock.holder}")

    async def _claim(self, until: float) -> bool:
        """One attempt, bounded; whether the lease is held for sure, and for a while."""
        sent_at = _time()
        try:
            with stray_cancellation_as_error("the lease attempt"):
                async with asyncio.timeout(min(self._timing.attempt_timeout, until - sent_at)):
                    is_held = await self._lock.claim()
        except (ApiError, TransportError, TimeoutError, CancelledFromWithin) as error:
            self._log.warning("Lease attempt failed", error=repr(error))
            return False
        self._note_holder()
        if is_held:
            self._renewed_at = sent_at
        is_fresh = _time() < sent_at + self._timing.renew_deadline  # the process may have been stopped meanwhile
        return is_held and is_fresh

    async def _release(self) -> None:
        try:
            with stray_cancellation_as_error("the lease's release"):
                async with asyncio.timeout(self._timing.attempt_timeout):
                    await self._lock.release()
        except (ApiError, TransportError, TimeoutError, CancelledFromWithin) as error:
            self._log.warning("Lease not released; it will expire", error=repr(error))

    async def _abandon(self, work: "asyncio.Task[None]") -> None:
        self._log.error("Leadership lost, stopping the work")
        self._set_leader(False)
        work.cancel()
        left = self._renewed_at + self._timing.lease_duration - _time()
        await asyncio.wait((work,), timeout=max(0.0, left))
        if not work.done():
            self._log.error("The work did not stop before the lease expired")
        elif not work.cancelled() and (error := work.exception()) is not None:
            self._log.error("The work failed while it was stopped", exc_info=error)

    def _set_leader(self, is_leader: bool) -> None:
        if is_leader != self._is_leader:
            self._is_leader = is_leader
            self._on_change(is_leader)

    def _note_holder(self) -> None:
        if self._lock.holder != self._known_holder:
            self._known_holder = self._lock.holder
            self._log.info("The lease has a new holder", holder=self._lock.holder)


async def _end(task: "asyncio.Task[NoReturn]") -> None:
    task.cancel()
    await asyncio.wait((task,))


def _time() -> float:
    return asyncio.get_running_loop().time()
