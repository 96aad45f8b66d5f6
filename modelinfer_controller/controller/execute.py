"""Carry out a plan: each stage in parallel, slowly at first, with every outcome accounted for."""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol, TypeVar, assert_never

import structlog

from modelinfer_controller.api.core import KubeObject
from modelinfer_controller.controller.caches import Caches, OwnedCache, controller_uid
from modelinfer_controller.controller.snapshot import describe_bearer
from modelinfer_controller.kube.client import Body, Client
from modelinfer_controller.kube.errors import AlreadyExists, ApiError, Conflict, Forbidden, Invalid, NotFound
from modelinfer_controller.kube.inflight import FairLimiter
from modelinfer_controller.kube.parallel import CancelledFromWithin, Failed, NotStarted, slow_start
from modelinfer_controller.kube.transport import TransportError
from modelinfer_controller.planning import actions, manifests
from modelinfer_controller.planning.actions import Action, Plan, group_of
from modelinfer_controller.planning.cause import Failure
from modelinfer_controller.planning.manifests import OwnerIdentity

T = TypeVar("T", bound=KubeObject)

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


Proven = tuple[str, type[Action]]  # a namespace and a kind of action: what quotas, webhooks and rights tell apart


class ActionObserver(Protocol):
    def __call__(self, action: Action, error: Exception | None) -> None:
        """Told of each action that was carried out, with its error if it failed. Must not block or raise."""


def ignore_action(action: Action, error: Exception | None) -> None:
    """The observer of who does not observe."""


@dataclass
class Execution:
    """What comes of a plan. failures: by group, or None for the ModelInfer's own, the first thing that went wrong.

    errors are worth an immediate, rate-limited retry; a collision is not, it waits for the name to be free.
    """

    is_wanted: Callable[[], bool]
    failures: dict[int | None, Failure] = field(default_factory=dict)
    errors: list[Exception] = field(default_factory=list)
    collisions: list[str] = field(default_factory=list)

    def raise_errors(self) -> None:
        """Raises the errors: one as it is, several as an ExceptionGroup."""
        if len(self.errors) == 1:
            raise self.errors[0]
        if self.errors:
            raise ExceptionGroup("actions failed", self.errors)


class Collision(Exception):
    """An object that is not ours bears the name."""


class Executor:
    """Writes are noted as expectations the moment they are confirmed, even if the reconcile is cancelled after."""

    def __init__(
        self,
        client: Client,
        caches: Caches,
        in_flight: FairLimiter,
        *,
        observe: ActionObserver = ignore_action,
    ) -> None:
        self._client = client
        self._caches = caches
        self._in_flight = in_flight
        self._observe = observe
        self._successes: Counter[Proven] = Counter()  # since the last failure: what has worked need not start slowly

    async def execute(
        self, plan: Plan, owner: OwnerIdentity, is_wanted: Callable[[], bool] = lambda: True
    ) -> Execution:
        """Never raises an action's error: see `Execution`. No action begins once the plan is not wanted any more.

        Stages follow one another in each group. While the last actions of a stage are under way the next one begins,
        with the groups that are through; only what is of no group is waited for by all, and waits for all.
        """
        execution, turns = Execution(is_wanted), Turns()
        async with asyncio.TaskGroup() as running:
            begun: list[asyncio.Task[None]] = []
            for stage in plan.stages:
                if any(group_of(action) is None for action in stage):
                    if begun:
                        await asyncio.wait(begun)
                    await self._run_stage(stage, owner, execution, turns)
                    continue
                all_run = asyncio.Event()
                begun.append(running.create_task(self._run_stage(stage, owner, execution, turns, all_run.set)))
                await all_run.wait()
        return execution

    async def _run_stage(
        self,
        stage: Sequence[Action],
        owner: OwnerIdentity,
        execution: Execution,
        turns: "Turns",
        when_all_run: Callable[[], None] = lambda: None,
    ) -> None:
        kinds = {(owner.namespace, type(action)) for action in stage}
        first = 1 + min((self._successes[kind] for kind in kinds), default=0)
        turn = turns.of_next_stage(map(group_of, stage))
        attempts = [partial(self._attempt, action, owner, execution, turn) for action in stage]
        outcomes = await slow_start(attempts, asyncio.Semaphore(len(stage) + 1), first=first, when_all_run=when_all_run)
        for action, outcome in zip(stage, outcomes, strict=True):
            match outcome:
                case Failed(error=CancelledFromWithin() as error):
                    self._fail(action, owner, error, execution)
                case NotStarted():
                    # What stopped the stage is why these groups wait, too.
                    blocked = Failure(*_reason_and_message(execution.errors[-1]))
                    execution.failures.setdefault(group_of(action), blocked)
        turn.end()

    async def _attempt(self, action: Action, owner: OwnerIdentity, execution: Execution, turn: "Turn") -> None:
        """A collision is an outcome and not an error: one foreign pod must not stop what is done for all others."""
        group = group_of(action)
        if not (await turn.has_come(group, execution.failures) and execution.is_wanted()):
            return
        try:
            async with self._in_flight.slot((owner.namespace, owner.name)):
                if not execution.is_wanted():
                    return
                await self._perform(action, owner)
        except Collision as collision:
            self._observe(action, collision)
            execution.collisions.append(str(collision))
            execution.failures.setdefault(group, Failure("NameCollision", str(collision)))
        except Exception as error:
            self._observe(action, error)
            self._fail(action, owner, error, execution)
            raise
        else:
            self._observe(action, None)
            self._successes[owner.namespace, type(action)] += 1
        turn.done(group)

    def _fail(self, action: Action, owner: OwnerIdentity, error: Exception, execution: Execution) -> None:
        self._successes.pop((owner.namespace, type(action)), None)
        execution.errors.append(error)
        execution.failures.setdefault(group_of(action), _failure(action, error))

    async def _perform(self, action: Action, owner: OwnerIdentity) -> None:
        caches = self._caches
        match action:
            case actions.CreateRevision(revision):
                await self._create(caches.revisions, owner, revision.name, manifests.revision_body(owner, revision))
            case actions.RenumberRevision(name, uid, number):
                await self._patch(caches.revisions, owner, name, uid, {"revision": number})
            case actions.DeleteRevision(name, uid):
                await self._delete(caches.revisions, owner, name, uid)
            case actions.CreatePodGroup(_, key, body):
                await self._create(caches.pod_groups[key.scheduler], owner, key.name, body)
            case actions.PatchPodGroup(_, key, uid, patch):
                await self._patch(caches.pod_groups[key.scheduler], owner, key.name, uid, patch)
            case actions.DeletePodGroup(_, key, uid):
                await self._delete(caches.pod_groups[key.scheduler], owner, key.name, uid)
            case actions.CreateService(_, name, body):
                await self._create(caches.services, owner, name, body)
            case actions.PatchService(_, name, uid, patch):
                await self._patch(caches.services, owner, name, uid, patch)
            case actions.DeleteService(_, name, uid):
                await self._delete(caches.services, owner, name, uid)
            case actions.CreatePod(identity, name, revision, incarnation):
                pod = manifests.pod_body(owner, revision, identity, incarnation)
                await self._create(caches.pods, owner, name, pod)
            case actions.PatchPodMetadata(_, name, uid, labels, annotations):
                metadata = {"labels": labels, "annotations": annotations}
                await self._patch(caches.pods, owner, name, uid, {"metadata": metadata})
            case actions.DeletePod(_, name, uid, reason):
                log.info("Deleting pod", pod=name, uid=uid, reason=reason)
                await self._delete(caches.pods, owner, name, uid)
            case _:
                assert_never(action)

    async def _create(self, children: OwnedCache[T], owner: OwnerIdentity, name: str, body: Body) -> None:
        try:
            created = await self._client.create(children.resource, owner.namespace, body)
        except AlreadyExists:
            created = await self._existing(children, owner, name)
        children.expectations.created(created)

    async def _existing(self, children: OwnedCache[T], owner: OwnerIdentity, name: str) -> T:
        """The object that bears the name, if it is ours: an earlier request of ours, or one that lost its labels.

        Raises Collision if it is another's, and NotFound if it has just gone, which the retry makes good.
        """
        found = await self._client.get(children.resource, owner.namespace, name)
        if controller_uid(found) != owner.uid:
            raise Collision(describe_bearer(children.resource.kind, found))
        own_labels = owner.child_metadata(name, {})["labels"]
        if own_labels.items() <= found.metadata.labels.items():
            return found
        # Without our label it is invisible to the cache; the plan repairs the rest once it is seen.
        metadata = {"uid": found.metadata.uid, "labels": own_labels}
        return await self._client.patch(children.resource, owner.namespace, name, {"metadata": metadata})

    async def _patch(
        self, children: OwnedCache[T], owner: OwnerIdentity, name: str, uid: str, patch: Mapping[str, Any]
    ) -> None:
        guarded = {**patch, "metadata": {**patch.get("metadata", {}), "uid": uid}}
        try:
            patched = await self._client.patch(children.resource, owner.namespace, name, guarded)
        except (NotFound, Conflict, Invalid) as error:
            if not is_gone(error):
                raise
            return  # the cache will say so
        children.expectations.written(patched)

    async def _delete(self, children: OwnedCache[T], owner: OwnerIdentity, name: str, uid: str) -> None:
        try:
            await self._client.delete(children.resource, owner.namespace, name, uid=uid)
        except (NotFound, Conflict) as error:
            if not is_gone(error):
                raise
        children.expectations.deleted(uid)


class Turns:
    """Who comes when: the stages that each group of a plan takes part in, one after the other."""

    def __init__(self) -> None:
        self._last: dict[int | None, asyncio.Event] = {}

    def of_next_stage(self, groups: Iterable[int | None]) -> "Turn":
        """groups: that of each action."""
        left = Counter(groups)
        before = {group: self._last[group] for group in left if group in self._last}
        turn = Turn(left, before, {group: asyncio.Event() for group in left})
        self._last |= turn.over
        return turn


@dataclass
class Turn:
    """One stage. left: actions that are not done, by group; before, over: the ends of the stage before and of this."""

    left: Counter[int | None]
    before: Mapping[int | None, asyncio.Event]
    over: Mapping[int | None, asyncio.Event]
    held_up: dict[int | None, bool] = field(default_factory=dict)

    async def has_come(self, group: int | None, failures: Mapping[int | None, Failure]) -> bool:
        """Waits for the group's turn; False if something that it builds on has failed: of its group, or a revision."""
        if group in self.before:
            await self.before[group].wait()
        # What fails in this stage holds up the next, not the rest of this one.
        return not self.held_up.setdefault(group, None in failures or group in failures)

    def done(self, group: int | None) -> None:
        self.left[group] -= 1
        if not self.left[group]:
            self.over[group].set()

    def end(self) -> None:
        """Nothing more of this stage is going to be done."""
        for over in self.over.values():
            over.set()


def is_gone(error: ApiError) -> bool:
    """Whether a request with a UID precondition failed because that very object is no more.

    Of a delete, another UID is a Conflict; of a patch, an attempt to change the immutable metadata.uid.
    """
    match error:
        case NotFound():
            return True
        case Invalid():
            return "metadata.uid" in error.message
        case _:
            return "UID" in error.message


def _failure(action: Action, error: Exception) -> Failure:
    reason, message = _reason_and_message(error)
    return Failure(reason, f"{type(action).__name__} {getattr(action, 'name', '')}: {message}".replace(" :", ":"))


def _reason_and_message(error: Exception) -> tuple[str, str]:
    match error:
        case Forbidden() if error.is_quota:
            return "QuotaExceeded", str(error)
        case ApiError():
            return error.reason or type(error).__name__, str(error)
        case TransportError():
            return "ApiServerUnreachable", str(error)
        case _:
            return type(error).__name__, str(error)
