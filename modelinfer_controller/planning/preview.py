"""What the planner would do from here, step by step, if everything that is under way goes well.

A plan is carried out on the snapshot itself, in the order in which the controller acts; pods that are made become
ready after the time that such groups took so far, pods that go are gone at once. Nothing is decided here: each step is
asked of `decide` and `status_of`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, assert_never

import msgspec

from modelinfer_controller.api import well_known
from modelinfer_controller.api.core import PodDisruptionBudget, PodGroup, Service
from modelinfer_controller.api.merge_patch import merge_patch
from modelinfer_controller.planning import manifests
from modelinfer_controller.planning.actions import (
    Action,
    CreateDisruptionBudget,
    CreatePod,
    CreatePodGroup,
    CreateRevision,
    CreateService,
    DeleteDisruptionBudget,
    DeletePod,
    DeletePodGroup,
    DeleteRevision,
    DeleteService,
    PatchDisruptionBudget,
    PatchPodGroup,
    PatchPodMetadata,
    PatchService,
    RenumberRevision,
)
from modelinfer_controller.planning.decide import Decision, decide
from modelinfer_controller.planning.desired import identity_of
from modelinfer_controller.planning.observed import Observed, PodGroupKey, children_by_group
from modelinfer_controller.planning.pod_view import PodView
from modelinfer_controller.planning.replacement import ReplacementReason
from modelinfer_controller.planning.revision import GangScheduler, Revision
from modelinfer_controller.planning.status import status_of

MAX_PASSES = 20_000
MAX_WAITS = 50  # for a grace period or back-off, before it is called endless


@dataclass(frozen=True, slots=True)
class Step:
    """One pass of the controller that did something. available counts groups before it, surge groups among them."""

    at: datetime
    actions: tuple[Action, ...]
    replaced: tuple[int, ...]  # groups whose pods it began to take down for the update revision
    available: int
    moved: tuple[int, ...] = ()  # groups that it moves off leaving nodes, from the drain on
    reasons: Mapping[int, tuple[ReplacementReason, ...]] = field(default_factory=dict)  # of all that are due


@dataclass(frozen=True)
class Preview:
    """first and last: what is concluded before the first step and after the last.

    is_finished: everything is as specified in the end, but for what the partition holds back. lowest_available: groups,
    over the whole way, the beginning and the end included. ended_at: when the last group had become available.
    """

    steps: tuple[Step, ...]
    first: Decision
    last: Decision
    is_finished: bool
    lowest_available: int
    ended_at: datetime


def preview(observed: Observed, now: datetime, starting: timedelta) -> Preview:
    """starting: how long a new pod takes to be ready. Pods that are in trouble now stay so until they are replaced."""
    world = _World(observed, now, starting)
    steps: list[Step] = []
    first: Decision | None = None
    lowest, ended_at, waits = 10**9, now, 0
    for _ in range(MAX_PASSES):
        found = decide(world.observed, world.now)
        first = first or found
        available = sum(group.is_available for group in found.groups.values())
        lowest = min(lowest, available)
        planned = found.plan
        status = status_of(found, {})
        if planned.actions:
            replaced = tuple(o for o in found.update.replaced if found.groups[o].live_pods)
            moved = tuple(found.update.moved)
            steps.append(Step(world.now, planned.actions, replaced, available, moved, found.update.reasons))
            ended_at = world.now
        has_moved = world.carry_out(planned.actions)
        is_told = status == world.observed.owner.status
        world.remember(status)
        if has_moved or not is_told:
            continue
        if world.let_start():
            ended_at = world.now
            waits = 0
            continue
        if planned.wake_at is None or is_as_specified(found) or waits >= MAX_WAITS:
            return Preview(tuple(steps), first, found, is_as_specified(found), lowest, ended_at)
        world.now = max(planned.wake_at, world.now)
        waits += 1
    assert first is not None
    return Preview(tuple(steps), first, found, False, lowest, ended_at)


def is_as_specified(found: Decision) -> bool:
    """Every group is available, and all that the partition lets go are at the update revision."""
    budget, groups = found.budget, found.groups
    if found.update.moved or found.update.moves_waiting:
        return False
    is_leaving = any(groups[ordinal].exists for ordinal in found.update.removed)
    if is_leaving or any(ordinal not in groups for ordinal in range(budget.replicas)):
        return False
    return all(
        groups[o].is_available and (o < budget.partition or groups[o].revision.name == found.rules.goal)
        for o in range(budget.replicas)
    )


class _World:
    """The snapshot as it changes. `now` moves by `let_start` and by its user."""

    def __init__(self, observed: Observed, now: datetime, starting: timedelta) -> None:
        self.observed = observed
        self.now = now
        self._starting = starting
        self._identity = identity_of(observed.owner)
        self._made = 0
        self._pods = {pod.name: pod for pod in observed.pods}
        self._services = {one.metadata.name: one for each in observed.children.values() for one in each.services}
        self._pod_groups = {key: one for each in observed.children.values() for key, one in each.pod_groups}
        self._budgets = dict(observed.disruption_budgets)
        self._revisions = {revision.name: revision for revision in observed.revisions}
        soonest = now + timedelta(seconds=1)
        self._due = {
            pod.name: max(pod.created_at + starting, soonest)
            for pod in observed.pods
            if not (pod.is_ready or pod.is_terminating or pod.finished_phase or pod.cause is not None)
        }

    def remember(self, status: Any) -> None:
        self.observed = replace(self.observed, owner=replace(self.observed.owner, status=status))

    def let_start(self) -> bool:
        """Time passes until the next pods are ready. Whether there are any."""
        if not self._due:
            return False
        self.now = max(min(self._due.values()), self.now)
        for name in [name for name, due in self._due.items() if due <= self.now]:
            del self._due[name]
            self._pods[name] = replace(
                self._pods[name], is_ready=True, ready_since=self.now, is_scheduled=True, cause=None
            )
        self._show()
        return True

    def carry_out(self, actions: Sequence[Action]) -> bool:
        """The actions, and the end of what is going away. Whether anything has changed."""
        for action in actions:
            self._perform(action)
        gone = [name for name, pod in self._pods.items() if pod.is_terminating]
        for name in gone:
            del self._pods[name]
            self._due.pop(name, None)
        self._services = {k: v for k, v in self._services.items() if not v.metadata.is_terminating}
        self._pod_groups = {k: v for k, v in self._pod_groups.items() if not v.metadata.is_terminating}
        if actions or gone:
            self._show()
        return bool(actions or gone)

    def _show(self) -> None:
        name, pods = self._identity.name, self._pods.values()
        self.observed = replace(
            self.observed,
            children=children_by_group(name, pods, self._services.values(), self._pod_groups, self.observed.memory),
            pod_revisions={pod.revision for pod in pods},
            disruption_budgets=dict(self._budgets),
            revisions=tuple(self._revisions.values()),
        )

    def _uid(self) -> str:
        self._made += 1
        return f"preview-{self._made}"

    def _perform(self, action: Action) -> None:  # noqa: C901 # one case for each action
        match action:
            case CreateRevision(revision):
                self._revisions[revision.name] = replace(revision, uid=self._uid())
            case RenumberRevision(name, _, number):
                self._revisions[name] = replace(self._revisions[name], number=number)
            case DeleteRevision(name):
                self._revisions.pop(name, None)
            case CreatePodGroup(_, key, body):
                self._pod_groups[key] = self._born(msgspec.convert(body, PodGroup))
            case PatchPodGroup(_, key, _, patch):
                stored = self._pod_groups[key]
                self._pod_groups[key] = msgspec.structs.replace(stored, spec=merge_patch(stored.spec, patch["spec"]))
            case DeletePodGroup(_, key):
                self._end_pod_group(key)
            case CreateDisruptionBudget(name, body):
                self._budgets[name] = self._born(msgspec.convert(body, PodDisruptionBudget))
            case PatchDisruptionBudget(name, _, patch):
                changed = merge_patch(msgspec.to_builtins(self._budgets[name]), patch)
                self._budgets[name] = msgspec.convert(changed, PodDisruptionBudget)
            case DeleteDisruptionBudget(name):
                self._budgets.pop(name, None)
            case CreateService(_, name, body):
                self._services[name] = self._born(msgspec.convert(body, Service))
            case PatchService(_, name, _, patch):
                patched = merge_patch(msgspec.to_builtins(self._services[name]), patch)
                self._services[name] = msgspec.convert(patched, Service)
            case DeleteService(_, name):
                self._services.pop(name, None)
            case CreatePod():
                self._pods[action.name] = self._new_pod(action)
                self._due[action.name] = self.now + self._starting
            case PatchPodMetadata():
                self._pods[action.name] = _annotated(self._pods[action.name], action)
            case DeletePod(_, name):
                self._pods[name] = replace(self._pods[name], is_terminating=True, is_ready=False, ready_since=None)
            case _:
                assert_never(action)

    def _end_pod_group(self, key: PodGroupKey) -> None:
        """Kubernetes' own goes with the group's last pod."""
        has_pods = any(f"{self._identity.name}-{pod.identity.group}" == key.name for pod in self._pods.values())
        if key.scheduler is GangScheduler.KUBERNETES and has_pods:
            stored = self._pod_groups[key]
            metadata = msgspec.structs.replace(stored.metadata, deletion_timestamp=self.now)
            self._pod_groups[key] = msgspec.structs.replace(stored, metadata=metadata)
        else:
            self._pod_groups.pop(key, None)

    def _born(self, obj: Any) -> Any:
        metadata = msgspec.structs.replace(obj.metadata, uid=self._uid(), creation_timestamp=self.now)
        return msgspec.structs.replace(obj, metadata=metadata)

    def _new_pod(self, action: CreatePod) -> PodView:
        revision: Revision = action.revision
        return PodView(
            name=action.name,
            uid=self._uid(),
            identity=action.identity,
            revision=revision.name,
            incarnation=action.incarnation,
            is_terminating=False,
            is_ready=False,
            finished_phase="",
            restart_count=0,
            acknowledged_restarts=0,
            failed_at=None,
            has_failure_note=False,
            ready_since=None,
            created_at=self.now,
            is_scheduled=True,
            cause=None,
            labels=manifests.pod_labels(self._identity, revision, action.identity, is_serving=action.is_serving),
        )


def _annotated(pod: PodView, action: PatchPodMetadata) -> PodView:
    """What the repaired labels and the notes mean to the planner."""
    labels: Mapping[str, str] = merge_patch(pod.labels, action.labels)
    notes = action.annotations
    patched = replace(pod, labels=labels, revision=labels.get(well_known.REVISION, ""))
    if well_known.ACKNOWLEDGED_RESTARTS in notes:
        patched = replace(patched, acknowledged_restarts=pod.restart_count)
    if well_known.FAILED_AT in notes:
        failed_at = _moment(notes[well_known.FAILED_AT])
        patched = replace(patched, failed_at=failed_at or pod.failed_at, has_failure_note=failed_at is not None)
    if well_known.DRAIN_DEADLINE in notes:
        patched = replace(patched, drain_deadline=_moment(notes[well_known.DRAIN_DEADLINE]))
    return replace(patched, is_drained=pod.is_drained and well_known.DRAINED not in notes)


def _moment(note: str | None) -> datetime | None:
    return datetime.fromisoformat(note) if note else None
