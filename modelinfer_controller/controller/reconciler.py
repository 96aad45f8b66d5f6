"""One reconcile: observe, decide, execute, report."""

from datetime import timedelta

from modelinfer_controller.api.names import ObjectName
from modelinfer_controller.api.status import ApiFailure, ModelInfer
from modelinfer_controller.api.validation import InvalidSpec
from modelinfer_controller.controller.caches import Caches
from modelinfer_controller.controller.decider import Decider
from modelinfer_controller.controller.execute import Execution, Executor
from modelinfer_controller.controller.observe import Observer
from modelinfer_controller.controller.pacing import Pacing, PassPacing
from modelinfer_controller.controller.reporter import Reporter
from modelinfer_controller.kube.controller import Result
from modelinfer_controller.planning.actions import Plan
from modelinfer_controller.planning.cause import failure_text
from modelinfer_controller.planning.observed import Owner

NO_FAILURE = ApiFailure("", "")


class Reconciler:
    """Brings one ModelInfer nearer to its spec; keeps nothing between two calls."""

    def __init__(
        self,
        caches: Caches,
        observer: Observer,
        decider: Decider,
        executor: Executor,
        pacing: Pacing,
        reporter: Reporter,
    ) -> None:
        self._caches = caches
        self._observer = observer
        self._decider = decider
        self._executor = executor
        self._pacing = pacing
        self._reporter = reporter

    async def reconcile(self, key: ObjectName) -> Result:
        """What the server refuses is an outcome, with a time to try again; errors are for the operator."""
        stored = self._caches.model_infer(key)
        if stored is None or stored.metadata.is_terminating:
            self._reporter.forget(key)
            return Result()
        stored = self._reporter.with_pending_status(stored)
        match self._observer.owner_of(stored):
            case InvalidSpec() as spec:
                self._reporter.report_invalid(stored, spec)
                return Result()
            case owner:
                return await self._reconcile_valid(stored, owner)

    async def _reconcile_valid(self, stored: ModelInfer, owner: Owner) -> Result:
        pacing = self._pacing.of(owner.metadata)
        decision, cooldown = self._decider.decide(owner, pacing)
        if decision.plan.is_whole:
            pacing.keep_only(decision.plan.actions)
        plan, errors = await self._reporter.record(stored, decision, pacing.failures())
        with self._reporter.reporting_new_spec(stored, decision):
            execution = await self._executor.execute(
                plan, decision.desired.identity, pacing, lambda: self._caches.has_spec_of(stored)
            )
        failures = pacing.failures()
        self._reporter.report(stored, decision, failures, execution)
        first = next(iter(failures.values()), NO_FAILURE)
        return Result(
            requeue_after=_wait(decision.plan, execution, pacing),
            cooldown=cooldown,
            outcome=first.reason,
            message=failure_text(first),
            error=_together((*errors, *execution.errors)),
        )


def _wait(plan: Plan, execution: Execution, pacing: PassPacing) -> timedelta | None:
    if not plan.is_whole and execution.has_written:
        return timedelta(0)
    waits = (pacing.until(plan.wake_at), pacing.wait())
    return min((timedelta(seconds=one) for one in waits if one is not None), default=None)


def _together(errors: tuple[Exception, ...]) -> Exception | None:
    """One as it is, several as an ExceptionGroup."""
    if len(errors) > 1:
        return ExceptionGroup("requests failed", errors)
    return errors[0] if errors else None
