"""One reconcile: observe, decide, execute, write the status."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Protocol

from modelinfer_controller.api import validation
from modelinfer_controller.api.modelinfer import ModelInferSpec
from modelinfer_controller.api.names import ObjectName
from modelinfer_controller.api.reasons import Reason
from modelinfer_controller.api.status import ApiFailure, ModelInfer, ModelInferStatus
from modelinfer_controller.api.validation import InvalidSpec
from modelinfer_controller.controller.caches import Caches
from modelinfer_controller.controller.execute import Execution, Executor
from modelinfer_controller.controller.observe import Observer
from modelinfer_controller.controller.pacing import Pacing, PassPacing
from modelinfer_controller.controller.status_writer import StatusWriter
from modelinfer_controller.kube.clock import Clock
from modelinfer_controller.kube.controller import Result
from modelinfer_controller.kube.errors import ApiError
from modelinfer_controller.kube.transport import TransportError
from modelinfer_controller.planning.actions import Event, Plan
from modelinfer_controller.planning.cause import Failures, failure_text
from modelinfer_controller.planning.decide import Decision, decide
from modelinfer_controller.planning.events import Before, events_of
from modelinfer_controller.planning.observed import Owner
from modelinfer_controller.planning.status import invalid_status, status_of

# After a pass its key is left alone for as many times as long as it took, less what costs nobody anything: a thousand
# pods that become ready one by one are not to cost a thousand looks at all of them, nor the loop all its time.
COOLDOWN_FACTOR = 2.0
COOLDOWN_THRESHOLD = 0.005  # seconds


class EventRecorder(Protocol):
    """Says to users what has happened, once for each thing."""

    def before(self, key: ObjectName) -> Before | None:
        """What `record` was given last."""

    def record(self, stored: ModelInfer, events: tuple[Event, ...], now: Before | None = None) -> None:
        """Say it to the user, once for each thing. Must not block or raise."""

    def forget(self, key: ObjectName) -> None:
        """The ModelInfer is gone."""


class DecisionObserver(Protocol):
    """Hears of each decision."""

    def __call__(self, decision: Decision) -> None:
        """Called with each decision, for metrics. Must not block or raise."""


class StatusObserver(Protocol):
    """Hears of what each reconcile came to."""

    def __call__(self, decision: Decision, status: ModelInferStatus, failures: Failures) -> None:
        """Called with what each reconcile came to, for metrics; decision.owner.status is the status before it.

        Not for a ModelInfer that went meanwhile. Must not block or raise.
        """


class Reconciler:
    """has_pending(key): whether another reconcile of the key follows at once, whatever this one comes to.

    processor_time: the seconds of processor time that this thread has used, of which only differences count.
    """

    def __init__(  # noqa: PLR0913 # its collaborators
        self,
        caches: Caches,
        observer: Observer,
        executor: Executor,
        pacing: Pacing,
        status_writer: StatusWriter,
        events: EventRecorder,
        clock: Clock,
        *,
        has_pending: Callable[[ObjectName], bool] = lambda key: False,
        on_decision: DecisionObserver = lambda decision: None,
        on_status: StatusObserver = lambda decision, status, failures: None,
        processor_time: Callable[[], float] = lambda: 0.0,
    ) -> None:
        self._caches = caches
        self._observer = observer
        self._executor = executor
        self._pacing = pacing
        self._status = status_writer
        self._events = events
        self._clock = clock
        self._has_pending = has_pending
        self._on_decision = on_decision
        self._on_status = on_status
        self._processor_time = processor_time
        self._decoded: dict[ObjectName, tuple[bytes, ModelInferSpec | InvalidSpec]] = {}

    async def reconcile(self, key: ObjectName) -> Result:
        """What the server refuses is an outcome, with a time to try again; errors are for the operator."""
        stored = self._caches.model_infer(key)
        if stored is None or stored.metadata.is_terminating:
            self._status.forget(key)
            self._events.forget(key)
            self._decoded.pop(key, None)
            return Result()
        stored = self._status.with_pending_status(stored)
        spec_json = bytes(stored.spec)
        match self._decode(spec_json, key):
            case InvalidSpec(violations=violations):
                return await self._report_invalid(stored, violations)
            case spec:
                return await self._reconcile_valid(stored, Owner(stored.metadata, spec, spec_json, stored.status))

    def _decode(self, spec_json: bytes, key: ObjectName) -> ModelInferSpec | InvalidSpec:
        """A spec changes far less often than its pods do."""
        known = self._decoded.get(key)
        if known is None or known[0] != spec_json:
            known = self._decoded[key] = (spec_json, validation.decode(spec_json, key.name))
        return known[1]

    async def _report_invalid(self, stored: ModelInfer, violations: tuple[validation.Violation, ...]) -> Result:
        self._status.enqueue(stored, invalid_status(stored, violations, self._clock.now()))
        text = "; ".join(str(violation) for violation in violations)
        self._events.record(stored, (Event("Warning", Reason.INVALID_SPEC, text),))
        return Result()

    async def _reconcile_valid(self, stored: ModelInfer, owner: Owner) -> Result:
        began, pacing = self._processor_time(), self._pacing.of(owner.metadata)
        observed = replace(
            self._observer.observe(owner),
            deferred_groups=self._pacing.deferred_groups(owner.metadata.uid),
            waits_for_quota=self._pacing.waits_for_quota(owner.namespace),
        )
        decision = decide(observed, self._clock.now())
        self._on_decision(decision)
        cooldown = COOLDOWN_FACTOR * (self._processor_time() - began) - COOLDOWN_THRESHOLD
        if decision.plan.is_whole:
            pacing.keep_only(decision.plan.actions)
        plan, errors = await self._recorded(stored, decision, pacing)
        with self._status.reporting_new_spec(stored, lambda: status_of(decision, {})):
            execution = await self._executor.execute(
                plan, decision.desired.identity, pacing, lambda: self._is_current(stored)
            )
        failures = pacing.failures()
        status = status_of(decision, failures)
        if self._is_there(stored):
            self._on_status(decision, status, failures)
        # What was done comes back as events, and they lead to a pass that has more to report.
        is_superseded = not execution.errors and (
            execution.has_written or self._has_pending(stored.metadata.object_name)
        )
        self._status.enqueue(stored, status, is_superseded=is_superseded)
        before = self._events.before(stored.metadata.object_name)
        events, now = events_of(decision, status, failures, before)
        self._events.record(stored, (*events, *_failure_events(failures)), now)
        first = next(iter(failures.values()), ApiFailure("", ""))
        return Result(
            requeue_after=self._wait(decision, execution, pacing),
            cooldown=timedelta(seconds=max(0.0, cooldown)),
            outcome=first.reason,
            message=failure_text(first),
            error=_together((*errors, *execution.errors)),
        )

    async def _recorded(
        self, stored: ModelInfer, decision: Decision, pacing: PassPacing
    ) -> tuple[Plan, list[Exception]]:
        """The plan, once its records are in the cluster; where that fails, without the groups that need one."""
        plan = decision.plan
        if not plan.needs_record:
            return plan, []
        try:
            await self._status.write(stored, status_of(decision, pacing.failures()))
        except (ApiError, TransportError) as error:
            return replace(plan, groups=tuple(group for group in plan.groups if not group.needs_record)), [error]
        return plan, []

    def _wait(self, decision: Decision, execution: Execution, pacing: PassPacing) -> timedelta | None:
        if not decision.plan.is_whole and execution.has_written:
            return timedelta(0)
        wake_at, retry = decision.plan.wake_at, pacing.wait()
        waits = [
            max(wake_at - self._clock.now(), timedelta(0)) if wake_at is not None else None,
            timedelta(seconds=retry) if retry is not None else None,
        ]
        return min((wait for wait in waits if wait is not None), default=None)

    def _is_current(self, stored: ModelInfer) -> bool:
        """Whether its spec is still the one that was decided from."""
        now = self._caches.model_infer(stored.metadata.object_name)
        if now is None or now.metadata.is_terminating:
            return False
        return (now.metadata.uid, now.metadata.generation) == (stored.metadata.uid, stored.metadata.generation)

    def _is_there(self, stored: ModelInfer) -> bool:
        now = self._caches.model_infer(stored.metadata.object_name)
        return now is not None and now.metadata.uid == stored.metadata.uid


def _together(errors: tuple[Exception, ...]) -> Exception | None:
    """One as it is, several as an ExceptionGroup."""
    if len(errors) > 1:
        return ExceptionGroup("requests failed", errors)
    return errors[0] if errors else None


def _failure_events(failures: dict[int | None, ApiFailure]) -> list[Event]:
    said = dict.fromkeys((failure.reason, failure_text(failure)) for failure in failures.values())
    return [Event("Warning", reason, message) for reason, message in said]
