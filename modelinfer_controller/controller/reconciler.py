"""One reconcile: observe, plan, execute, write the status."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from functools import lru_cache
from typing import Protocol

from modelinfer_controller.api import validation
from modelinfer_controller.api.names import ObjectName
from modelinfer_controller.api.status import ModelInfer
from modelinfer_controller.api.validation import InvalidSpec
from modelinfer_controller.controller.caches import Caches
from modelinfer_controller.controller.execute import Execution, Executor
from modelinfer_controller.controller.observe import Observer
from modelinfer_controller.controller.status_writer import StatusWriter
from modelinfer_controller.kube.clock import Clock
from modelinfer_controller.kube.controller import Result
from modelinfer_controller.planning.actions import Announcement, Plan, first_portion
from modelinfer_controller.planning.assess import Assessment, assess
from modelinfer_controller.planning.group import identity_of
from modelinfer_controller.planning.observed import Owner
from modelinfer_controller.planning.plan import plan
from modelinfer_controller.planning.status import invalid_status, status_of

# A large plan is carried out in portions: the status tells how far it is, and pods that fail meanwhile are heard.
ACTIONS_PER_PASS = 2048
# The cooldown of a ModelInfer is as many times the processor time of its last decision, less what costs nobody
# anything: a thousand pods that become ready one by one do not cost a thousand decisions, nor the loop all its time.
COOLDOWN_FACTOR = 2.0
COOLDOWN_THRESHOLD = 0.005  # seconds
COLLISION_RETRY = timedelta(seconds=30)  # a foreign object without our label tells nobody when it goes


_decode = lru_cache(maxsize=16384)(validation.decode)  # a spec changes far less often than its pods do


class Announcer(Protocol):
    def announce(self, stored: ModelInfer, announcements: tuple[Announcement, ...]) -> None:
        """Tell the user, once for each thing. Must not block or raise."""


class AssessmentObserver(Protocol):
    def __call__(self, assessment: Assessment) -> None:
        """Told of each assessment, for metrics. Must not block or raise."""


class Reconciler:
    """has_pending(key): whether another reconcile of the key follows at once, whatever this one comes to.

    processor_time: the seconds of processor time that this thread has used, of which only differences count.
    """

    def __init__(
        self,
        caches: Caches,
        observer: Observer,
        executor: Executor,
        status_writer: StatusWriter,
        announcer: Announcer,
        clock: Clock,
        *,
        has_pending: Callable[[ObjectName], bool] = lambda key: False,
        on_assessment: AssessmentObserver = lambda assessment: None,
        on_deleted: Callable[[ObjectName], None] = lambda key: None,
        processor_time: Callable[[], float] = lambda: 0.0,
    ) -> None:
        self._caches = caches
        self._observer = observer
        self._executor = executor
        self._status = status_writer
        self._announcer = announcer
        self._clock = clock
        self._has_pending = has_pending
        self._on_assessment = on_assessment
        self._on_deleted = on_deleted
        self._processor_time = processor_time

    async def reconcile(self, key: ObjectName) -> Result:
        """Raises what went wrong, after the status has told it; Result says when to look again."""
        stored = self._caches.model_infer(key)
        if stored is None or stored.metadata.is_terminating:
            self._status.forget(key)
            self._on_deleted(key)
            return Result()
        stored = self._status.with_pending_status(stored)
        spec_json = bytes(stored.spec)
        match _decode(spec_json, key.name):
            case InvalidSpec(violations=violations):
                return await self._report_invalid(stored, violations)
            case spec:
                return await self._reconcile_valid(stored, Owner(stored.metadata, spec, spec_json, stored.status))

    async def _report_invalid(self, stored: ModelInfer, violations: tuple[validation.Violation, ...]) -> Result:
        self._status.enqueue(stored, invalid_status(stored, violations, self._clock.now()))
        text = "; ".join(str(violation) for violation in violations)
        self._announcer.announce(stored, (Announcement("Warning", "InvalidSpec", text),))
        return Result()

    async def _reconcile_valid(self, stored: ModelInfer, owner: Owner) -> Result:
        began = self._processor_time()
        assessment = assess(self._observer.observe(owner), self._clock.now())
        planned = plan(assessment)
        self._on_assessment(assessment)
        now = asyncio.get_running_loop().time
        cool_at = now() + COOLDOWN_FACTOR * (self._processor_time() - began) - COOLDOWN_THRESHOLD
        try:
            result = await self._carry_out(stored, owner, assessment, planned)
        except Exception as error:
            result = Result(error=error)
        return replace(result, cooldown=timedelta(seconds=max(0.0, cool_at - now())))

    async def _carry_out(self, stored: ModelInfer, owner: Owner, assessment: Assessment, planned: Plan) -> Result:
        if planned.record_first:
            await self._status.write(stored, status_of(assessment, {}))
        portion = first_portion(planned, ACTIONS_PER_PASS)
        with self._status.reporting_new_spec(stored, lambda: status_of(assessment, {})):
            execution = await self._executor.execute(portion, identity_of(owner), lambda: self._is_wanted(stored))
        status = status_of(assessment, execution.failures)
        # What was done comes back as events, and they lead to a pass that has more to tell.
        is_superseded = not execution.failures and bool(
            portion.actions or self._has_pending(stored.metadata.object_name)
        )
        self._status.enqueue(stored, status, is_superseded=is_superseded)
        self._announcer.announce(stored, (*planned.announcements, *_failures(execution)))
        execution.raise_errors()
        if portion is not planned:
            return Result(requeue_after=timedelta(0))
        waits = [
            COLLISION_RETRY if execution.collisions else None,
            max(planned.requeue_at - self._clock.now(), timedelta(0)) if planned.requeue_at is not None else None,
        ]
        return Result(requeue_after=min((wait for wait in waits if wait is not None), default=None))

    def _is_wanted(self, stored: ModelInfer) -> bool:
        """Whether its spec is still the one that was planned from."""
        now = self._caches.model_infer(stored.metadata.object_name)
        if now is None or now.metadata.is_terminating:
            return False
        return (now.metadata.uid, now.metadata.generation) == (stored.metadata.uid, stored.metadata.generation)


def _failures(execution: Execution) -> list[Announcement]:
    told = dict.fromkeys((failure.reason, failure.message) for failure in execution.failures.values())
    return [Announcement("Warning", reason, message) for reason, message in told]
