"""`explain`: why groups are not available, and what the controller does next, when, and for which rule."""

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from itertools import groupby
from typing import assert_never

from modelinfer_controller.api import well_known
from modelinfer_controller.api.core import Pod
from modelinfer_controller.api.modelinfer import RecoveryPolicy
from modelinfer_controller.api.reasons import Reason
from modelinfer_controller.api.status import ApiFailure
from modelinfer_controller.controller.pacing import LONGEST_WAIT, NAME_WAIT
from modelinfer_controller.kubectl.model.api_failures import api_failures
from modelinfer_controller.kubectl.model.diagnostics import Diagnostics
from modelinfer_controller.kubectl.model.document import Document
from modelinfer_controller.kubectl.model.humanize import clock_time, counted, groups, listed, span
from modelinfer_controller.kubectl.model.kubeconfig import failure
from modelinfer_controller.kubectl.model.remarks import CHOSEN, remarks_of
from modelinfer_controller.kubectl.model.snapshot import Snapshot
from modelinfer_controller.planning.actions import Action, CreatePod, DeletePod, PatchPodMetadata, Plan, group_of
from modelinfer_controller.planning.cause import cause_of
from modelinfer_controller.planning.conditions import waiting_text
from modelinfer_controller.planning.decide import Decision
from modelinfer_controller.planning.group import Group, available_since
from modelinfer_controller.planning.pod_view import PodView
from modelinfer_controller.planning.recovery import backoff_after
from modelinfer_controller.planning.recovery_types import DelayedRecreate, scope_text
from modelinfer_controller.planning.replacement import Outdated, ReplacementReason, reason_name, reason_text
from modelinfer_controller.planning.update import Waiting
from modelinfer_controller.planning.update_rules import Rule

NAMED_PODS = 3
KUBELET_BACK_OFF = "BackOff"  # the reason of the kubelet's Events


class Next(Document, frozen=True):
    """One thing that the controller does, or waits for.

    at: when, where a clock decides it. rule: what makes it wait (a value of `Rule`, "back-off", "grace period" or
    "retry"), "" where nothing does; count and limit are the numbers that the rule compares. reason: why the group is
    replaced, one of REPLACEMENT_REASONS, "" where it is not.
    """

    text: str
    rule: str = ""
    at: datetime | None = None
    count: int | None = None
    limit: int | None = None
    reason: str = ""


class GroupExplanation(Document, frozen=True):
    """since: when the first of what is missing went, None where nothing tells. details: what else is known.

    log: the last lines of the container that died first, after a line that names its pod; () where it may not be read.
    """

    ordinal: int
    revision: str
    since: datetime | None
    reason: str
    message: str
    details: tuple[str, ...]
    next: tuple[Next, ...]
    log: tuple[str, ...] = ()


class WaitingGroups(Document, frozen=True):
    """Groups of an older revision that wait for the same rule."""

    ordinals: tuple[int, ...]
    next: Next


class Explanation(Document, frozen=True):
    """Why a ModelInfer is as it is, and what happens next.

    is_well: every group is available and nothing is left to do. summary is one sentence. remarks: what concerns the
    whole ModelInfer, such as an invalid spec or a controller that has not looked yet.
    """

    namespace: str
    name: str
    time: datetime
    is_well: bool
    summary: str
    replicas: int
    available_groups: int
    max_unavailable: int
    remarks: tuple[str, ...]
    groups: tuple[GroupExplanation, ...]
    waiting: tuple[WaitingGroups, ...]
    other_next: tuple[Next, ...]


def explain(snapshot: Snapshot, diagnostics: Diagnostics, only: int | None = None) -> Explanation:
    """only: the ordinal of the one group to explain. Raises Exit where there is no such group."""
    found = snapshot.decision
    if only is not None and only not in (there := sorted({*found.groups, *range(found.budget.replicas)})):
        raise failure(f"{snapshot.owner.name} has no group {only}; it has {groups(there) if there else 'none'}")
    planned = found.plan
    failures = api_failures(found)
    unavailable = [o for o in range(found.budget.replicas) if not found.is_available(o)]
    chosen = [o for o in unavailable if only in (None, o)]
    explained = tuple(_group(o, snapshot, planned, diagnostics, failures) for o in chosen)
    waiting = tuple(_waiting(snapshot, unavailable, only)) if not snapshot.violations else ()
    remarks = remarks_of(snapshot)
    others = tuple(_elsewhere(found, planned, unavailable)) if only is None and not snapshot.violations else ()
    is_hindered = any(remark.reason not in CHOSEN for remark in remarks)
    is_well = not (explained or others or is_hindered or any(each.next.rule != Rule.PARTITION for each in waiting))
    return Explanation(
        namespace=snapshot.owner.namespace,
        name=snapshot.owner.name,
        time=snapshot.now,
        is_well=is_well,
        summary=_summary(found, unavailable, waiting, only),
        replicas=found.budget.replicas,
        available_groups=found.budget.replicas - len(unavailable),
        max_unavailable=found.budget.max_unavailable,
        remarks=tuple(remark.message for remark in remarks),
        groups=explained,
        waiting=waiting,
        other_next=others,
    )


def _summary(found: Decision, unavailable: list[int], waiting: Iterable[WaitingGroups], only: int | None) -> str:
    replicas, budget = found.budget.replicas, found.budget
    if only is not None and only not in unavailable:
        return f"group {only} is available"
    if unavailable:
        few = counted(len(unavailable), "group")
        return f"{few} of {replicas} not available (maxUnavailable {budget.max_unavailable})"
    at = f"revision {found.rules.goal}"
    everyone = f"all {replicas} groups are available" if replicas else "no groups are requested"
    if not (old := [o for each in waiting for o in each.ordinals]):
        return f"{everyone} at {at}" if replicas else everyone
    return f"{everyone}; {counted(len(old), 'group')} not yet at {at}"


# -- one group ---------------------------------------------------------------------------------------------------------


def _group(
    ordinal: int, snapshot: Snapshot, planned: Plan, diagnostics: Diagnostics, failures: Mapping[int | None, ApiFailure]
) -> GroupExplanation:
    found = snapshot.decision
    group = found.group(ordinal)
    cause = cause_of(found, ordinal, failures)
    return GroupExplanation(
        ordinal=ordinal,
        revision=group.revision.name,
        since=since(group, snapshot, diagnostics, is_alone=_is_alone(ordinal, found)),
        reason=cause.reason,
        message=cause.message,
        details=tuple(dict.fromkeys(_details(group, snapshot, diagnostics, cause.message))),
        next=tuple(_next(ordinal, snapshot, planned, failures)) if not snapshot.violations else (),
        log=_log(group, diagnostics, cause.message),
    )


def _log(group: Group, diagnostics: Diagnostics, message: str) -> tuple[str, ...]:
    """That of the pod that the cause names, else of the group's first that has one."""
    known = [pod.name for pod in group.pods if pod.name in diagnostics.last_words]
    name = next((name for name in known if name in message), known[0] if known else None)
    return (f"pod {name} ended with:", *diagnostics.last_words[name]) if name is not None else ()


def _is_alone(ordinal: int, found: Decision) -> bool:
    """Whether no other group is unavailable, so that the condition tells of this one."""
    return [o for o in range(found.budget.replicas) if not found.is_available(o)] == [ordinal]


def since(group: Group, snapshot: Snapshot, diagnostics: Diagnostics, *, is_alone: bool) -> datetime | None:
    """The earliest moment at which something that the group lacks now went or failed to come.

    A pod's own times start anew with each restart of a container. The condition of the only group that is not
    available does not, and neither does the first time that a repeated Event of the pod was seen.
    """
    unavailable = unavailable_since(snapshot)
    if unavailable is not None and (is_alone or not group.pods):
        return unavailable
    missing = [pod for pod in group.pods if not pod.is_ready]
    moments = [_lost_at(pod, snapshot.pods[pod.name]) for pod in missing]
    moments += [one.at for one in group.record.recreations.values() if one.at and not one.is_complete]
    moments += _recreated_since(group, unavailable)
    moments += [began for pod in missing if (began := _backs_off_since(pod, snapshot, diagnostics)) is not None]
    return min(moments, default=None)


def _recreated_since(group: Group, unavailable: datetime | None) -> Iterator[datetime]:
    """When what is recreated again and again failed first, by the back-offs that it has waited for since.

    Never before the condition says that a group is missing.
    """
    for waiting in group.recovery.delayed:
        record = group.record.recreations.get(waiting.scope)
        if waiting.is_backoff and unavailable is not None and record is not None and record.at is not None:
            waited = sum((backoff_after(attempt) for attempt in range(1, record.attempt)), timedelta(0))
            yield max(record.at - waited, unavailable)


def _backs_off_since(view: PodView, snapshot: Snapshot, diagnostics: Diagnostics) -> datetime | None:
    """When the kubelet's back-off that still goes on began."""
    warning = diagnostics.warnings.get(view.uid)
    is_under_way = warning is not None and warning.when >= _lost_at(view, snapshot.pods[view.name])
    return warning.began if warning is not None and warning.reason == KUBELET_BACK_OFF and is_under_way else None


def unavailable_since(snapshot: Snapshot) -> datetime | None:
    """When the condition Available became False, that is when the first of the groups went; None while it is True."""
    available = next((c for c in snapshot.stored.status.conditions if c.type == "Available"), None)
    return available.last_transition_time if available is not None and available.status == "False" else None


def _lost_at(view: PodView, pod: Pod) -> datetime:
    ready = pod.condition("Ready")
    if view.is_terminating and pod.metadata.deletion_timestamp is not None:
        return pod.metadata.deletion_timestamp  # the grace period's end: close enough, and never before the deletion
    if ready is not None and ready.status != "True" and ready.last_transition_time is not None:
        return ready.last_transition_time
    return view.created_at


def _details(group: Group, snapshot: Snapshot, diagnostics: Diagnostics, message: str) -> Iterator[str]:
    """Beyond the first cause: other troubled pods, what keeps terminating ones, nodes that are not well, Events."""
    troubled = [pod for pod in group.live_pods if pod.cause is not None and pod.name not in message]
    for reason, pods in groupby(troubled, key=lambda pod: pod.cause.reason if pod.cause else ""):
        found = list(pods)
        words = found[0].cause.message if found[0].cause and reason not in message else ""
        yield f"also {reason}: {_some([pod.name for pod in found])}{f': {words}' if words else ''}"
    for view in group.pods:
        pod = snapshot.pods[view.name]
        if view.is_terminating:
            yield from _termination(pod, snapshot, diagnostics)
        elif not view.is_ready:
            yield from _hints(view, pod, diagnostics, message)


def _termination(pod: Pod, snapshot: Snapshot, diagnostics: Diagnostics) -> Iterator[str]:
    name, finalizers, node = pod.metadata.name, pod.metadata.finalizers, pod.spec.node_name
    if finalizers:
        yield f"pod {name} is kept by the finalizer{'s' * (len(finalizers) > 1)} {', '.join(finalizers)}"
    if what := diagnostics.sick_nodes.get(node):
        yield f"pod {name} cannot end: its node {node} {what}"
    deadline = pod.metadata.deletion_timestamp
    if not finalizers and deadline is not None and snapshot.now > deadline + timedelta(seconds=1):
        late = span(snapshot.now - deadline)
        yield f"pod {name} was to be gone {late} ago, and its node {node or '-'} has not said so"


def _hints(view: PodView, pod: Pod, diagnostics: Diagnostics, message: str) -> Iterator[str]:
    node = pod.spec.node_name
    if what := diagnostics.sick_nodes.get(node):
        yield f"node {node} of pod {view.name} {what}"
    elif node and view.name in message:
        yield f"pod {view.name} is on node {node}"
    warning = diagnostics.warnings.get(view.uid)
    if warning is not None and warning.message not in message:
        yield f"event of pod {view.name}: {warning.reason}: {warning.message}"


def _some(names: list[str]) -> str:
    shown = names[:NAMED_PODS]
    return ", ".join(shown) + (f" and {len(names) - NAMED_PODS} more" if len(names) > NAMED_PODS else "")


# -- what happens next -------------------------------------------------------------------------------------------------


def _next(ordinal: int, snapshot: Snapshot, planned: Plan, failures: Mapping[int | None, ApiFailure]) -> Iterator[Next]:
    found = snapshot.decision
    waiting = found.update.waiting_by_ordinal().get(ordinal)
    steps = [*_postponed(ordinal, found), *_doing(ordinal, found, planned, failures)]
    if waiting is not None:
        steps.append(_rule(found, [waiting], snapshot))
    yield from steps or [Next(_nothing(found, found.group(ordinal))), *_way_back(ordinal, snapshot)]


def _way_back(ordinal: int, snapshot: Snapshot) -> Iterator[Next]:
    """Where an update has brought a group down, what undoes it."""
    found, group = snapshot.decision, snapshot.decision.group(ordinal)
    is_new = group.revision.name == found.revisions.update.name
    has_older = any(each.revision.name != group.revision.name for each in found.groups.values())
    if is_new and has_older and any(pod.cause is not None and pod.is_scheduled for pod in group.live_pods):
        yield Next(f"to go back: `kubectl modelinfer rollout undo {found.owner.name}` (--plan shows what it does)")


def _doing(ordinal: int, found: Decision, planned: Plan, failures: Mapping[int | None, ApiFailure]) -> Iterator[Next]:
    actions = [action for action in planned.actions if group_of(action) == ordinal]
    text = actions_text(actions)
    if ordinal in failures and text:
        at_most = timedelta(seconds=NAME_WAIT if failures[ordinal].reason == Reason.NAME_COLLISION else LONGEST_WAIT)
        yield Next(f"tries again, at least every {span(at_most)}, to {text}", rule="retry")
        return
    if found.group(ordinal).is_draining and not text:
        ends_at = min(pod.drain_deadline for pod in found.group(ordinal).live_pods if pod.drain_deadline is not None)
        pods = counted(len(found.group(ordinal).live_pods), "pod")
        wait = f"in {span(ends_at - found.now)} at the latest, earlier if its entry pods say that they are drained"
        yield Next(f"deletes {pods} at {clock_time(ends_at)}, {wait}", rule="drain", at=ends_at)
        return
    if ordinal in found.update.replaced and found.group(ordinal).pods:
        text = text or f"wait until {counted(len(found.group(ordinal).pods), 'pod')} are gone"
        reason = reason_name(found.update.reasons[ordinal][0])
        yield Next(f"replaces the group by revision {found.rules.goal}, and begins now: {text}", reason=reason)
        return
    if (move := found.group(ordinal).move) is not None:
        yield Next(f"{reason_text(move)}, and begins now: {text}", reason=reason_name(move))
        return
    causes = found.needs[ordinal].causes if ordinal in found.needs else ()
    if any(cause.reason == Reason.NAME_COLLISION for cause in causes):
        yield Next("goes on as soon as the name is free", rule="retry")
    if text:
        yield Next(f"now: {text}")
    if blocked := _blocked(found, ordinal, actions):
        yield Next(blocked)


def _blocked(found: Decision, ordinal: int, actions: Iterable[Action]) -> str:
    """Pods that are to be made, and cannot be while others are going away."""
    group = found.group(ordinal)
    if ordinal not in found.needs or any(isinstance(action, CreatePod) for action in actions):
        return ""
    leaving = [pod.name for pod in group.pods if pod.is_terminating or pod.uid in group.condemned]
    staying = sum(pod.uid not in group.condemned for pod in group.live_pods)
    missing = group.shape.pod_count - staying
    if not leaving or missing <= 0:
        return ""
    return f"creates {counted(missing, 'pod')} when {_some(leaving)} {'is' if len(leaving) == 1 else 'are'} gone"


def actions_text(actions: Iterable[Action]) -> str:
    """What they do, in few words: "delete 2 pods (...), create 3 pods and 1 service"."""
    found = list(actions)
    deletions: dict[str, int] = {}
    for action in found:
        if isinstance(action, DeletePod):
            deletions[action.reason] = deletions.get(action.reason, 0) + 1
    parts = [
        f"delete {counted(count, 'pod')} ({'each' if count > 1 else 'it'} {why})" for why, count in deletions.items()
    ]
    others: dict[str, int] = {}
    for action in found:
        if not isinstance(action, DeletePod):
            words = _words(action)
            others[words] = others.get(words, 0) + 1
    for words, count in others.items():
        verb, _, noun = words.partition(" ")
        parts.append(f"{verb} {counted(count, noun)}")
    return listed(parts)


def _words(action: Action) -> str:
    if isinstance(action, PatchPodMetadata) and well_known.DRAIN_DEADLINE in action.annotations:
        return "drain pod" if action.annotations[well_known.DRAIN_DEADLINE] else "stop the drain of pod"
    return _ACTION_WORDS[type(action).__name__]


_ACTION_WORDS: Mapping[str, str] = {
    "CreateRevision": "store revision",
    "RenumberRevision": "renumber revision",
    "DeleteRevision": "forget revision",
    "CreateDisruptionBudget": "create PodDisruptionBudget",
    "PatchDisruptionBudget": "change PodDisruptionBudget",
    "DeleteDisruptionBudget": "delete PodDisruptionBudget",
    "CreatePodGroup": "create PodGroup",
    "PatchPodGroup": "change PodGroup",
    "DeletePodGroup": "delete PodGroup",
    "CreateService": "create Service",
    "PatchService": "repair Service",
    "DeleteService": "delete Service",
    "CreatePod": "create pod",
    "PatchPodMetadata": "annotate pod",
}


def _postponed(ordinal: int, found: Decision) -> Iterator[Next]:
    for waiting in found.group(ordinal).recovery.delayed:
        yield _postponed_text(ordinal, waiting, found)


def _postponed_text(ordinal: int, waiting: DelayedRecreate, found: Decision) -> Next:
    policy, rule = found.owner.spec.recovery_policy.value, "back-off" if waiting.is_backoff else "grace period"
    when = f"at {clock_time(waiting.due)}, in {span(waiting.due - found.now)}"
    text = f"recreates {scope_text(ordinal, waiting.scope)} {when}: {rule} before attempt {waiting.attempt}"
    unless = "" if waiting.is_backoff else "; not if it is ready by then"
    return Next(f"{text} ({policy}){unless}", rule=rule, at=waiting.due, count=waiting.attempt)


def _nothing(found: Decision, group: Group) -> str:
    troubled = next((pod for pod in group.live_pods if pod.cause is not None), None)
    waits_for_nodes = not all(pod.is_scheduled for pod in group.live_pods)
    if waits_for_nodes and (troubled is None or not troubled.is_scheduled):
        return "the controller waits until the scheduler finds room for the pods"
    since = available_since(group)
    if troubled is None and since is not None and since + group.desired.min_ready > found.now:
        return f"the group is available in {span(since + group.desired.min_ready - found.now)} (minReadySeconds)"
    if troubled is None:
        return "the controller waits until the pods are ready"
    if found.owner.spec.recovery_policy is RecoveryPolicy.NONE and troubled.restart_count:
        return "the controller leaves restarts to the kubelet (recoveryPolicy None)"
    return "the kubelet tries again; the controller replaces the group when the template changes"


def _waiting(snapshot: Snapshot, unavailable: list[int], only: int | None) -> Iterator[WaitingGroups]:
    """Groups that are available and wait to be replaced, by rule; others tell so themselves."""
    found = snapshot.decision
    waiting = [w for w in found.update.waiting if w.ordinal not in unavailable and only in (None, w.ordinal)]
    for rule in Rule:
        if same := sorted((w for w in waiting if w.rule is rule), key=lambda w: w.ordinal):
            yield WaitingGroups(tuple(w.ordinal for w in same), _rule(found, same, snapshot))


def _rule(found: Decision, waiting: list[Waiting], snapshot: Snapshot) -> Next:
    first = waiting[0]
    why = _why_it_goes(found, first)
    goes = f"to be updated to {found.rules.goal}" if isinstance(why, Outdated) else reason_text(why)
    match first.rule:
        case Rule.PARTITION:
            paused = well_known.PAUSED_PARTITION in snapshot.stored.metadata.annotations
            text = f"partition {first.limit} keeps ordinals below it at their revision"
            text += "; the rollout is paused" if paused else ""
        case Rule.AVAILABILITY | Rule.PACE:
            text = f"{goes}; this waits: {waiting_text(first)}"
        case Rule.PAUSED:
            text = f"{goes}; this waits: the rollout is paused (spec.paused)"
        case Rule.HALTED:
            text = f"{goes}; this waits: the update has failed (progressDeadlineSeconds)"
        case Rule.ONE_AT_A_TIME:
            text = f"{goes}; another role instance of the group moves first"
        case _:
            assert_never(first.rule)
    return Next(text, rule=first.rule.value, count=first.count, limit=first.limit, reason=reason_name(why))


def _why_it_goes(found: Decision, waiting: Waiting) -> ReplacementReason:
    """A group that is due for both waits for the one or the other."""
    return found.update.reasons[waiting.ordinal][-1 if waiting in found.update.moves_waiting else 0]


def _elsewhere(found: Decision, planned: Plan, unavailable: list[int]) -> Iterator[Next]:
    """What goes on in groups that are available, or that are not to be."""
    rest: dict[str, list[int]] = {}
    own: list[Action] = []
    for action in planned.actions:
        ordinal = group_of(action)
        if ordinal is None:
            own.append(action)
        elif ordinal not in unavailable:
            rest.setdefault("", []).append(ordinal)
    if own:
        yield Next(f"now: {actions_text(own)}")
    replacing = [o for o in found.update.replaced if o not in unavailable]
    if replacing:
        yield Next(f"replaces {groups(replacing)} by revision {found.rules.goal} now")
    leaving = [o for o in found.update.removed if found.groups[o].pods]
    if leaving:
        yield Next(f"removes {groups(leaving)}, beyond spec.replicas")
    busy = sorted(set(rest.get("", ())) - set(replacing) - set(leaving))
    for ordinal in busy:
        text = actions_text(action for action in planned.actions if group_of(action) == ordinal)
        yield Next(f"group {ordinal}, now: {text}")
    for ordinal in range(found.budget.replicas):
        if ordinal not in unavailable:
            yield from _postponed(ordinal, found)
