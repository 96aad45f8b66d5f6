"""Carry out a plan: each group in its own order, side by side with the others, with every outcome accounted for."""

import asyncio
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Protocol

import structlog

from modelinfer_controller.api.reasons import Reason
from modelinfer_controller.api.status import ApiFailure
from modelinfer_controller.controller.pacing import PassPacing
from modelinfer_controller.controller.writes import NameConflict, Writes
from modelinfer_controller.kube.errors import (
    ApiError,
    Forbidden,
    InternalError,
    Unauthorized,
    UndecodableResponse,
    is_transient,
)
from modelinfer_controller.kube.tasks import CancelledFromWithin, is_cancelled_from_outside
from modelinfer_controller.kube.transport import TransportError
from modelinfer_controller.planning.actions import (
    Action,
    CreatePod,
    CreatePodGroup,
    CreateRevision,
    CreateService,
    GroupPlan,
    Plan,
    depends_on,
    describe,
    group_of,
)
from modelinfer_controller.planning.manifests import OwnerIdentity

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)

MAX_MESSAGE = 400
CREATIONS = (CreatePod, CreateService, CreatePodGroup, CreateRevision)


class ActionObserver(Protocol):
    """Hears of each action that was carried out."""

    def __call__(self, action: Action, error: Exception | None) -> None:
        """Called with each action that was carried out, with its error if it failed. Must not block or raise."""


def ignore_action(action: Action, error: Exception | None) -> None:
    """The observer of who does not observe."""


class Abandoned(Exception):
    """The plan was not wanted any more when the action's turn came."""


class InFlight(Protocol):
    """Bounds the requests under way, and lets flows take turns."""

    def slot(self, flow: tuple[str, str]) -> AbstractAsyncContextManager[object]:
        """A slot for one request of a flow; flows take turns."""


@dataclass
class Execution:
    """What came of a plan. errors: what the operator should know of; a refusal of a tenant's object is none.

    has_written: whether any request succeeded. is_abandoned: the plan was not wanted any more before its end.
    """

    errors: list[Exception] = field(default_factory=list)
    has_written: bool = False
    is_abandoned: bool = False


class Executor:
    """Writes are noted as expectations the moment they are confirmed, even if the reconcile is cancelled after."""

    def __init__(self, writes: Writes, in_flight: InFlight, *, observe: ActionObserver = ignore_action) -> None:
        self._writes = writes
        self._in_flight = in_flight
        self._observe = observe
        self._successes: Counter[tuple[str, type[Action]]] = (
            Counter()
        )  # since the last failure: these need no slow start

    async def execute(
        self, plan: Plan, owner: OwnerIdentity, pacing: PassPacing, is_wanted: Callable[[], bool] = lambda: True
    ) -> Execution:
        """Never raises an action's error. No action begins once the plan is not wanted any more.

        First revisions, then the groups side by side, each step by step, then what is left over. Writes start one at a
        time, and one more runs at once for each that succeeds: a kind that worked in this namespace need not start
        slowly.
        """
        kinds = {type(action) for action in plan.actions}
        first = 1 + min((self._successes[owner.namespace, kind] for kind in kinds), default=0)
        run = _Run(self._attempt, owner, pacing, is_wanted, first)
        for groups in ((_alone(plan.revisions),), (_alone(plan.budgets),), plan.groups, (_alone(plan.expired),)):
            await run.carry_out(groups)
        pacing.end()
        return run.execution

    async def _attempt(self, action: Action, owner: OwnerIdentity, is_wanted: Callable[[], bool]) -> Exception | None:
        """The action's error, or None."""
        kind = (owner.namespace, type(action))
        try:
            async with self._in_flight.slot((owner.namespace, owner.name)):
                if not is_wanted():  # it may have waited for long
                    return Abandoned()
                await self._writes.perform(action, owner)
        except Exception as error:  # noqa: BLE001 # every outcome is accounted for
            self._observe(action, error)
            self._successes.pop(kind, None)
            return error
        except asyncio.CancelledError as error:
            if is_cancelled_from_outside():
                raise
            stray = CancelledFromWithin("the action was cancelled from within")
            stray.__cause__ = error
            return stray
        self._observe(action, None)
        self._successes[kind] += 1
        return None


def _alone(actions: tuple[Action, ...]) -> GroupPlan:
    """Actions of no group, as a plan: nothing bounds them, they are few."""
    return GroupPlan(-1, (actions,) if actions else (), is_recreating=True)


@dataclass(eq=False)
class _Chain:
    """A group's steps. left: actions of the present step that are not through; failed: others may build on them."""

    plan: GroupPlan
    steps: Iterator[tuple[Action, ...]]
    left: int = 0
    failed: list[Action] = field(default_factory=list)


class _Run:
    """One execution: a queue of actions that may run now, and the groups that have not begun."""

    def __init__(
        self,
        attempt: Callable[[Action, OwnerIdentity, Callable[[], bool]], Awaitable[Exception | None]],
        owner: OwnerIdentity,
        pacing: PassPacing,
        is_wanted: Callable[[], bool],
        first: int,
    ) -> None:
        self.execution = Execution()
        self._attempt = attempt
        self._owner = owner
        self._pacing = pacing
        self._is_wanted = is_wanted
        self._allowed = first  # how many run at once
        self._active = 0
        self._ready: deque[tuple[_Chain, Action]] = deque()
        self._pending: Iterator[GroupPlan] = iter(())
        self._failed: list[Action] = []  # of no group
        self._tasks: asyncio.TaskGroup | None = None

    async def carry_out(self, plans: Iterable[GroupPlan]) -> None:
        self._pending = iter(plans)
        async with asyncio.TaskGroup() as self._tasks:
            self._grow()

    def _grow(self) -> None:
        """Start as many workers as may run and have something to do."""
        assert self._tasks is not None
        while self._active < self._allowed and (found := self._next()) is not None:
            self._active += 1
            self._tasks.create_task(self._work(*found), name="write")

    async def _work(self, chain: _Chain, action: Action) -> None:
        found: tuple[_Chain, Action] | None = (chain, action)
        try:
            while found is not None:
                error = await self._attempt(found[1], self._owner, self._is_wanted)
                self._settle(*found, error)
                self._grow()
                found = self._next()
        finally:
            self._active -= 1

    def _next(self) -> tuple[_Chain, Action] | None:
        while self._is_wanted():
            while self._ready:
                chain, action = self._ready.popleft()
                if self._may_run(chain, action):
                    return chain, action
                self._through(chain)
            plan = next(self._pending, None)
            if plan is None:
                return None
            self._advance(_Chain(plan, iter(plan.steps)))
        self.execution.is_abandoned |= bool(self._ready) or next(self._pending, None) is not None
        return None

    def _advance(self, chain: _Chain) -> None:
        """Begin the group's next step. Groups that have begun go on before others begin."""
        for step in chain.steps:
            if step:
                chain.left = len(step)
                self._ready.extendleft((chain, action) for action in reversed(step))
                return

    def _through(self, chain: _Chain) -> None:
        chain.left -= 1
        if not chain.left:
            self._advance(chain)

    def _may_run(self, chain: _Chain, action: Action) -> bool:
        is_blocked = any(depends_on(action, failed) for failed in (*self._failed, *chain.failed))
        if is_blocked or self._waits(chain, action):
            self._fail(chain, action)
            return False
        return True

    def _waits(self, chain: _Chain, action: Action) -> bool:
        """For its time to be tried again. A group that can get no pod needs no Service and no PodGroup yet."""
        if isinstance(action, CREATIONS) and not self._pacing.may_create:
            return True
        if self._pacing.refusal_of(action, chain.plan) is not None:
            return True
        return isinstance(action, CreateService | CreatePodGroup) and self._waits_for_pods(chain)

    def _waits_for_pods(self, chain: _Chain) -> bool:
        creations = [action for action in chain.plan.actions if isinstance(action, CreatePod)]
        return bool(creations) and all(self._pacing.refusal_of(one, chain.plan) is not None for one in creations)

    def _fail(self, chain: _Chain, action: Action) -> None:
        (self._failed if group_of(action) is None else chain.failed).append(action)

    def _settle(self, chain: _Chain, action: Action, error: Exception | None) -> None:
        if isinstance(error, Abandoned):
            self.execution.is_abandoned = True
            return
        if error is None:
            self._pacing.succeeded(action)
            self.execution.has_written = True
            self._allowed += 1
        else:
            self._fail(chain, action)
            self._refused(chain, action, error)
        self._through(chain)

    def _refused(self, chain: _Chain, action: Action, error: Exception) -> None:
        if isinstance(error, Forbidden) and error.is_namespace_terminating:
            if self._pacing.namespace_ends():
                log.info("Namespace is being deleted: nothing is created in it", namespace=self._owner.namespace)
            return
        failure = failure_of(action, error, self._pacing)
        if is_operators(error):
            self.execution.errors.append(error)
        if self._pacing.refused(action, chain.plan, failure) and not is_operators(error):
            log.info("Refused", action=failure.action, reason=failure.reason, message=failure.message)


def is_operators(error: Exception) -> bool:
    """Whether the operator should look: the server or we are in trouble. What it refuses a tenant is the tenant's."""
    match error:
        case NameConflict():
            return False
        case Forbidden():
            return error.is_rbac
        case InternalError() if "failed calling webhook" in error.message:
            return False
        case ApiError():
            return is_transient(error) or isinstance(error, Unauthorized | UndecodableResponse)
        case _:
            return True


def failure_of(action: Action, error: Exception, pacing: PassPacing) -> ApiFailure:
    reason, message = _reason_and_message(error)
    short = message if len(message) <= MAX_MESSAGE else f"{message[: MAX_MESSAGE - 1]}…"
    return ApiFailure(reason, short, describe(action), group_of(action), pacing.time())


def _reason_and_message(error: Exception) -> tuple[str, str]:
    match error:
        case NameConflict():
            return Reason.NAME_COLLISION, str(error)
        case Forbidden() if error.is_quota:
            return Reason.QUOTA_EXCEEDED, str(error)
        case ApiError():
            return error.reason or type(error).__name__, str(error)
        case TransportError():
            return Reason.API_SERVER_UNREACHABLE, str(error)
        case _:
            return type(error).__name__, str(error)
