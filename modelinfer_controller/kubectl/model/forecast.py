"""`plan`: what the controller would do, in order, and what it would cost."""

from collections.abc import Iterable, Iterator
from datetime import timedelta
from statistics import median

from modelinfer_controller.kubectl.model.api_failures import api_failures
from modelinfer_controller.kubectl.model.document import Document
from modelinfer_controller.kubectl.model.explanation import actions_text
from modelinfer_controller.kubectl.model.humanize import groups
from modelinfer_controller.kubectl.model.spec_diff import Change
from modelinfer_controller.planning.actions import Action, CreatePod, DeletePod, group_of
from modelinfer_controller.planning.cause import cause_of
from modelinfer_controller.planning.conditions import waiting_text
from modelinfer_controller.planning.decide import Decision
from modelinfer_controller.planning.observed import Observed
from modelinfer_controller.planning.pod_identity import PodIdentity
from modelinfer_controller.planning.preview import Preview, Step, preview
from modelinfer_controller.planning.replacement import reason_name
from modelinfer_controller.planning.update_rules import Rule

UNKNOWN_START = timedelta(minutes=1)


class ForecastStep(Document, frozen=True):
    """after: seconds from now; available: groups before the step. reasons: why groups begin to be replaced."""

    after: float
    groups: tuple[int, ...]
    available: int
    deleted_pods: int
    created_pods: int
    text: str
    reasons: tuple[str, ...] = ()


class Forecast(Document, frozen=True):
    """What a change would do.

    restarted: groups that lose pods and get them anew, in the order in which that begins; moved: those of them that are
    handed over from nodes that leave; unchanged: groups that
    live on without; created and removed: by ordinal; surge: groups that are there only on the way.

    start_seconds: how long a group took to become available so far, None where none has; seconds: the estimate of the
    whole, None likewise. obstacle: why it would not end, "" where it would.
    """

    namespace: str
    name: str
    changes: tuple[Change, ...]
    restarts: bool
    restarted: tuple[int, ...]
    moved: tuple[int, ...]
    unchanged: tuple[int, ...]
    created: tuple[int, ...]
    removed: tuple[int, ...]
    surge: tuple[int, ...]
    held: tuple[int, ...]
    pods_deleted: int
    pods_created: int
    available_now: int
    lowest_available: int
    replicas: int
    start_seconds: float | None
    seconds: float | None
    revision: str
    is_new_revision: bool
    steps: tuple[ForecastStep, ...]
    obstacle: str


class Forecasts(Document, frozen=True):
    """Of several ModelInfers, in the order of the files."""

    items: tuple[Forecast, ...]


def forecast(observed: Observed, first: Decision, changes: tuple[Change, ...]) -> Forecast:
    """observed: the world with the ModelInfer as it would be; first: what is concluded of the world as it is."""
    starting = start_time(first)
    seen = preview(observed, first.now, UNKNOWN_START if starting is None else starting)
    before, after = _ordinals(seen.first), set(range(seen.last.budget.replicas))
    restarted = tuple(o for o in _restarted(observed, seen) if o in after)
    created = {o for o in _created_groups(seen) if o not in before}
    deleted, made = _count(seen, DeletePod), _count(seen, CreatePod)
    return Forecast(
        namespace=observed.owner.namespace,
        name=observed.owner.name,
        changes=changes,
        restarts=bool(restarted),
        restarted=restarted,
        moved=tuple(dict.fromkeys(ordinal for step in seen.steps for ordinal in step.moved)),
        unchanged=tuple(sorted((before & after) - set(restarted))),
        created=tuple(sorted(created & after)),
        removed=tuple(sorted(before - after)),
        surge=tuple(sorted(created - after)),
        held=tuple(o for o in range(min(seen.last.budget.partition, len(after))) if _is_old(seen.last, o)),
        pods_deleted=deleted,
        pods_created=made,
        available_now=sum(group.is_available for group in first.groups.values()),
        lowest_available=seen.lowest_available,
        replicas=seen.last.budget.replicas,
        start_seconds=None if starting is None else starting.total_seconds(),
        seconds=None if starting is None else (seen.ended_at - first.now).total_seconds(),
        revision=seen.first.revisions.update.name,
        is_new_revision=not seen.first.revisions.update.is_stored,
        steps=tuple(_step(step, first) for step in seen.steps),
        obstacle=_deletion(observed) or (_refusal(first) if seen.is_finished else _obstacle(seen.last)),
    )


def start_time(found: Decision) -> timedelta | None:
    """The median of how long available groups took from their first pod's creation to their last one's readiness."""
    times = [
        max(pod.ready_since for pod in group.live_pods if pod.ready_since) - min(p.created_at for p in group.live_pods)
        for ordinal, group in found.groups.items()
        if found.is_available(ordinal)
        and group.live_pods
        and all(pod.ready_since and not pod.restart_count for pod in group.live_pods)
    ]
    return timedelta(seconds=median(time.total_seconds() for time in times)) if times else None


def _ordinals(found: Decision) -> set[int]:
    return {ordinal for ordinal, group in found.groups.items() if group.pods}


def _is_old(found: Decision, ordinal: int) -> bool:
    return found.revision_name(ordinal) != found.revisions.update.name


def _restarted(observed: Observed, seen: Preview) -> list[int]:
    """Groups that are replaced, or of which a pod is made again where one was deleted; in order."""
    there = {pod.identity for pod in observed.pods}
    lost: set[PodIdentity] = {pod.identity for pod in observed.pods if pod.is_terminating}
    order: dict[int, None] = {}
    for step in seen.steps:
        order |= dict.fromkeys((*step.replaced, *step.moved))
        for action in step.actions:
            if isinstance(action, DeletePod):
                lost.add(action.identity)
            elif isinstance(action, CreatePod) and action.identity in lost & there:
                order[action.identity.group] = None
    return list(order)


def _created_groups(seen: Preview) -> set[int]:
    return {action.identity.group for step in seen.steps for action in step.actions if isinstance(action, CreatePod)}


def _count(seen: Preview, kind: type[Action]) -> int:
    return sum(isinstance(action, kind) for step in seen.steps for action in step.actions)


def _step(step: Step, first: Decision) -> ForecastStep:
    touched: Iterable[int | None] = dict.fromkeys(group_of(action) for action in step.actions)
    return ForecastStep(
        after=(step.at - first.now).total_seconds(),
        groups=tuple(ordinal for ordinal in touched if ordinal is not None),
        available=step.available,
        deleted_pods=sum(isinstance(action, DeletePod) for action in step.actions),
        created_pods=sum(isinstance(action, CreatePod) for action in step.actions),
        text=actions_text(step.actions),
        reasons=tuple(dict.fromkeys(_reasons(step))),
    )


def _reasons(step: Step) -> Iterator[str]:
    yield from (reason_name(step.reasons[ordinal][0]) for ordinal in step.replaced)
    yield from (reason_name(step.reasons[ordinal][-1]) for ordinal in step.moved)


def _deletion(observed: Observed) -> str:
    return "the ModelInfer is being deleted, and gets no new pods" if observed.owner.metadata.is_terminating else ""


def _refusal(first: Decision) -> str:
    """What the server has just refused of what is to be done, "" where it refused nothing."""
    for ordinal, failure in api_failures(first).items():
        return f"group {ordinal}: the server refuses it: {failure.message}"
    return ""


_WHY_THEY_WAIT = {
    Rule.PAUSED: "the rollout is paused",
    Rule.HALTED: "the update has failed (progressDeadlineSeconds)",
}


def _obstacle(last: Decision) -> str:
    for ordinal in range(last.budget.replicas):
        if not last.is_available(ordinal):
            cause = cause_of(last, ordinal, {})
            text = cause.message if cause.reason in cause.message else f"{cause.reason}: {cause.message}"
            return f"group {ordinal} would not become available: {text}"
    for waits in last.update.moves_waiting:
        return f"group {waits.ordinal} would stay on a node that leaves: {waiting_text(waits)}"
    if (waiting := next(iter(last.update.waiting), None)) is not None:
        few = groups([each.ordinal for each in last.update.waiting])
        return f"{few} would stay at an older revision: {_WHY_THEY_WAIT.get(waiting.rule, waiting.rule.value)}"
    return "some groups would not be moved to the new revision"
