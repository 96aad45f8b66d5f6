"""What a reconcile reports: the status, Events for the user, and what metrics hear."""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Protocol

from modelinfer_controller.api.names import ObjectName
from modelinfer_controller.api.reasons import Reason
from modelinfer_controller.api.status import ApiFailure, ModelInfer, ModelInferStatus
from modelinfer_controller.api.validation import InvalidSpec
from modelinfer_controller.controller.caches import Caches
from modelinfer_controller.controller.event_recorder import OnceEventRecorder
from modelinfer_controller.controller.execute import Execution
from modelinfer_controller.controller.status_writer import StatusWriter
from modelinfer_controller.kube.clock import Clock
from modelinfer_controller.kube.errors import ApiError
from modelinfer_controller.kube.transport import TransportError
from modelinfer_controller.planning.actions import Event, Plan
from modelinfer_controller.planning.cause import Failures, failure_text
from modelinfer_controller.planning.decide import Decision
from modelinfer_controller.planning.events import events_of
from modelinfer_controller.planning.status import invalid_status, status_of


class StatusObserver(Protocol):
    """Hears of what each reconcile came to."""

    def __call__(self, decision: Decision, status: ModelInferStatus, failures: Failures) -> None:
        """Called with what each reconcile came to, for metrics; decision.owner.status is the status before it.

        Not for a ModelInfer that went meanwhile. Must not block or raise.
        """


class Reporter:
    """has_pending(key): whether another reconcile of the key follows at once, whatever this one comes to."""

    def __init__(  # to whom it reports
        self,
        caches: Caches,
        status_writer: StatusWriter,
        events: OnceEventRecorder,
        clock: Clock,
        *,
        has_pending: Callable[[ObjectName], bool] = lambda key: False,
        on_status: StatusObserver = lambda decision, status, failures: None,
    ) -> None:
        self._caches = caches
        self._status = status_writer
        self._events = events
        self._clock = clock
        self._has_pending = has_pending
        self._on_status = on_status

    def with_pending_status(self, stored: ModelInfer) -> ModelInfer:
        """It, with the status that was decided last, written or not."""
        return self._status.with_pending_status(stored)

    async def record(
        self, stored: ModelInfer, decision: Decision, failures: Failures
    ) -> tuple[Plan, tuple[Exception, ...]]:
        """The plan, once its records are in the cluster; where that fails, without the groups that need one."""
        plan = decision.plan
        if not plan.needs_record:
            return plan, ()
        try:
            await self._status.write(stored, status_of(decision, failures))
        except (ApiError, TransportError) as error:
            return replace(plan, groups=tuple(group for group in plan.groups if not group.needs_record)), (error,)
        return plan, ()

    def reporting_new_spec(self, stored: ModelInfer, decision: Decision) -> AbstractContextManager[None]:
        """While the plan is carried out, however long: that the spec was seen is in the status all the same."""
        return self._status.reporting_new_spec(stored, lambda: status_of(decision, {}))

    def report(self, stored: ModelInfer, decision: Decision, failures: Failures, execution: Execution) -> None:
        key = stored.metadata.object_name
        # What was done comes back as watch events, and they lead to a pass that has more to report.
        has_more = not execution.errors and (execution.has_written or self._has_pending(key))
        status = status_of(decision, failures)
        if self._caches.has(stored):
            self._on_status(decision, status, failures)
        self._status.enqueue(stored, status, is_superseded=has_more)
        events, now = events_of(decision, status, failures, self._events.before(key))
        self._events.record(stored, (*events, *_failure_events(failures)), now)

    def report_invalid(self, stored: ModelInfer, spec: InvalidSpec) -> None:
        self._status.enqueue(stored, invalid_status(stored, spec.violations, self._clock.now()))
        text = "; ".join(str(violation) for violation in spec.violations)
        self._events.record(stored, (Event("Warning", Reason.INVALID_SPEC, text),))

    def forget(self, key: ObjectName) -> None:
        """The ModelInfer is gone."""
        self._status.forget(key)
        self._events.forget(key)


def _failure_events(failures: Mapping[int | None, ApiFailure]) -> list[Event]:
    said = dict.fromkeys((failure.reason, failure_text(failure)) for failure in failures.values())
    return [Event("Warning", reason, message) for reason, message in said]
