"""When what the API server refused is tried again.

What is refused waits by itself, and nothing waits with it that could succeed. Refusals of one action, of one group and
of one ModelInfer (of a whole namespace, where a quota is full) each close a gate, for 1 s at first and at most a
minute; a success opens it. This is pacing, not a decision: a restart of the controller forgets it, and tries
everything once more.
"""

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from modelinfer_controller.api.core import ObjectMeta
from modelinfer_controller.api.reasons import Reason
from modelinfer_controller.api.status import ApiFailure
from modelinfer_controller.kube.clock import Clock
from modelinfer_controller.planning.actions import Action, GroupPlan, group_of, name_of

FIRST_WAIT = 1.0  # seconds
LONGEST_WAIT = 60.0  # how long a fixed quota or webhook goes unnoticed at most
NAME_WAIT = 30.0  # a foreign object without our label is gone, and nobody hears of it
REFUSALS_PER_PASS = 4  # of one kind of write: a full quota is not asked ten thousand times


Kind = type[Action]


@dataclass(slots=True)
class Gate:
    """Closed until `due`, in seconds of the loop's clock. failures: since the last success.

    is_exempt: it is of a recreation, which the gates of a whole kind of write do not hold up. is_wanted: by the last
    plan.
    """

    failures: int = 0
    refused_at: float = 0.0
    due: float = 0.0
    failure: ApiFailure | None = None
    is_exempt: bool = False
    is_wanted: bool = True

    def close(self, now: float, failure: ApiFailure, first: float = FIRST_WAIT) -> None:
        self.failures += 1
        self.refused_at = now
        self.due = now + min(first * 2 ** (self.failures - 1), LONGEST_WAIT)
        self.failure = failure

    def is_closed(self, now: float) -> bool:
        return now < self.due


@dataclass
class OwnerPacing:
    """Of one ModelInfer, by UID. actions: what was refused last time; by kind and name of the object."""

    generation: int = 0
    actions: dict[tuple[Kind, str], Gate] = field(default_factory=dict)
    groups: dict[tuple[int | None, Kind], Gate] = field(default_factory=dict)
    kinds: dict[Kind, Gate] = field(default_factory=dict)


@dataclass
class Namespace:
    """kinds: of which a quota is full. ended_at: when a creation was refused because the namespace is being deleted."""

    kinds: dict[Kind, Gate] = field(default_factory=dict)
    ended_at: datetime | None = None


class Pacing:
    """One for the process. now: seconds of a clock that never goes back; clock: the time of day, for people."""

    def __init__(self, now: Callable[[], float], clock: Clock) -> None:
        self._now = now
        self._clock = clock
        self._owners: dict[str, OwnerPacing] = {}
        self._namespaces: dict[str, Namespace] = {}

    def of(self, model_infer: ObjectMeta) -> "PassPacing":
        """For one pass over a ModelInfer. An edit of the spec is a reason to try again at once."""
        owner = self._owners.setdefault(model_infer.uid, OwnerPacing())
        if owner.generation != model_infer.generation:
            owner.generation = model_infer.generation
            owner.kinds.clear()
        namespace = self._namespaces.setdefault(model_infer.namespace, Namespace())
        return PassPacing(owner, namespace, self._now, self._clock, model_infer.creation_timestamp)

    def forget(self, uid: str) -> None:
        self._owners.pop(uid, None)

    def quota_freed(self, namespace: str) -> None:
        """Something that a quota counts is gone."""
        if namespace not in self._namespaces:
            return
        self._namespaces[namespace].kinds.clear()
        for owner in self._owners.values():
            for gates in (owner.actions, owner.groups):
                for gate in gates.values():
                    if gate.failure is not None and gate.failure.reason == Reason.QUOTA_EXCEEDED:
                        gate.due = 0.0


class PassPacing:
    """Says of each action of a pass whether it may be tried, and hears what came of it."""

    def __init__(
        self,
        owner: OwnerPacing,
        namespace: Namespace,
        now: Callable[[], float],
        clock: Clock,
        created_at: datetime | None,
    ) -> None:
        self._owner = owner
        self._namespace = namespace
        self._now = now
        self._clock = clock
        self._created_at = created_at
        self._began = now()
        self._refusals: dict[Kind, int] = {}
        self._successes: set[Kind] = set()
        self._held: set[Kind] = set()

    def deferred_groups(self) -> tuple[int, ...]:
        """Groups of which something was refused, in the order of their next turns: others come before them."""
        last = {group: gate.refused_at for (group, _), gate in self._owner.groups.items() if group is not None}
        return tuple(sorted(last, key=lambda group: (last[group], group)))

    def waits_for_quota(self) -> bool:
        """Whether a quota was full when a pass gave up on a kind of write."""
        return bool(self._namespace.kinds)

    def keep_only(self, actions: Iterable[Action]) -> None:
        """Forget failures of what is not wanted any more.

        Not at once: a pod that a webhook spoils is deleted before it is wanted again, and goes on waiting longer each
        time.
        """
        wanted: set[object] = set()
        for action in actions:
            wanted |= {(type(action), name_of(action)), (group_of(action), type(action))}
        tables: list[dict[Any, Gate]] = [self._owner.actions, self._owner.groups]
        for table in tables:
            for key, gate in list(table.items()):
                gate.is_wanted = key in wanted
                if not gate.is_wanted and self._now() > gate.due + LONGEST_WAIT:
                    del table[key]

    def refusal_of(self, action: Action, plan: GroupPlan | None) -> ApiFailure | None:
        """Why the action is not tried now: what was refused; or None where it may be tried. plan: its group's."""
        now, kind = self._now(), type(action)
        own = self._owner.actions.get((kind, name_of(action)))
        if own is not None and plan is not None:
            own.is_exempt = plan.is_recreating
        gates: list[Gate | None] = [own, self._owner.groups.get((group_of(action), kind))]
        if plan is not None and not plan.is_recreating:
            gates += [self._owner.kinds.get(kind), self._namespace.kinds.get(kind)]
            if self._refusals.get(kind, 0) >= REFUSALS_PER_PASS:
                self._held.add(kind)
                return self._last(kind)
        return next((gate.failure for gate in gates if gate is not None and gate.is_closed(now)), None)

    def _last(self, kind: Kind) -> ApiFailure | None:
        refused = [gate.failure for (one, _), gate in self._owner.actions.items() if one is kind]
        return refused[-1] if refused else None

    def succeeded(self, action: Action) -> None:
        kind = type(action)
        self._owner.actions.pop((kind, name_of(action)), None)
        self._owner.groups.pop((group_of(action), kind), None)
        self._owner.kinds.pop(kind, None)
        self._namespace.kinds.pop(kind, None)
        self._successes.add(kind)

    def refused(self, action: Action, plan: GroupPlan, failure: ApiFailure) -> bool:
        """Whether this is news: the action was not refused before."""
        now, kind, name = self._now(), type(action), name_of(action)
        gate = self._owner.actions.setdefault((kind, name), Gate())
        first = NAME_WAIT if failure.reason == Reason.NAME_COLLISION else FIRST_WAIT
        gate.close(now, _since(gate, failure), first)
        gate.is_exempt, gate.is_wanted = plan.is_recreating, True
        if failure.reason != Reason.NAME_COLLISION:
            self._owner.groups.setdefault((group_of(action), kind), Gate()).close(now, failure)
            self._refusals[kind] = self._refusals.get(kind, 0) + 1
        return gate.failures == 1

    def end(self) -> None:
        """The pass is over: a kind of write of which nothing succeeded, and many were refused, waits as a whole."""
        now = self._now()
        for kind, count in self._refusals.items():
            failure = self._last(kind)
            if count < REFUSALS_PER_PASS or kind in self._successes or failure is None:
                continue
            kinds = self._namespace.kinds if failure.reason == Reason.QUOTA_EXCEEDED else self._owner.kinds
            kinds.setdefault(kind, Gate()).close(now, failure)

    def failures(self) -> dict[int | None, ApiFailure]:
        """What is refused and waits to be tried again: the first of each group."""
        found: dict[int | None, ApiFailure] = {}
        for gate in self._owner.actions.values():
            if gate.failure is not None and (gate.is_wanted or gate.failure.reason == Reason.METADATA_REMOVED):
                found.setdefault(gate.failure.group, gate.failure)
        return found

    def until(self, wake_at: datetime | None) -> float | None:
        """Seconds until then; None where nothing is to happen."""
        return max(0.0, (wake_at - self._clock.now()).total_seconds()) if wake_at is not None else None

    def wait(self) -> float | None:
        """Seconds until the next of it may be tried, in whole milliseconds rounded up; None where nothing waits.

        A pass that comes a fraction of a microsecond too early would find the gate closed, and come at once again. What
        might have been tried in this pass, and was not, waits for something else, which has a time of its own: another
        pass at once would not try it either, and so on for ever.
        """
        now = self._now()
        dues = [due for due in self._dues(now) if due > self._began]
        if self._held - {kind for kind, gate in self._all_kinds() if gate.is_closed(now)}:
            dues.append(now)
        return max(0.0, math.ceil((min(dues) - now) * 1000) / 1000) if dues else None

    def _dues(self, now: float) -> Iterator[float]:
        kinds = dict(self._all_kinds())
        for (kind, _), gate in self._owner.actions.items():
            if not gate.is_wanted:
                continue
            group = gate.failure.group if gate.failure is not None else None
            of_group = self._owner.groups.get((group, kind))
            of_kind = None if gate.is_exempt else kinds.get(kind)
            yield max(one.due for one in (gate, of_group, of_kind) if one is not None)
        yield from (gate.due for gate in kinds.values() if gate.is_closed(now))

    def _all_kinds(self) -> Iterator[tuple[Kind, Gate]]:
        yield from self._owner.kinds.items()
        yield from self._namespace.kinds.items()

    @property
    def may_create(self) -> bool:
        """Whether the namespace takes anything new. One that is made again after it ended has newer ModelInfers."""
        ended_at = self._namespace.ended_at
        return ended_at is None or (self._created_at is not None and self._created_at > ended_at)

    def namespace_ends(self) -> bool:
        """A creation was refused because the namespace is being deleted. Whether this is news."""
        is_news, self._namespace.ended_at = self.may_create, self._clock.now()
        return is_news

    def time(self) -> datetime:
        """The time of day, in seconds."""
        return self._clock.now().replace(microsecond=0)


def _since(gate: Gate, failure: ApiFailure) -> ApiFailure:
    """What goes on being refused is so since it was first."""
    if gate.failure is None or gate.failure.reason != failure.reason:
        return failure
    return ApiFailure(failure.reason, failure.message, failure.action, failure.group, gate.failure.since)
