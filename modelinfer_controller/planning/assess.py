"""From a snapshot to what there is to decide about: revisions, groups at their revisions, the rollout's verdicts.

The plan, the status, the dry run and the explanation all read the same Assessment, so they cannot disagree.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from functools import lru_cache

from modelinfer_controller.api import well_known
from modelinfer_controller.api.core import Condition
from modelinfer_controller.api.status import GroupRecord
from modelinfer_controller.planning import gang, revision, rollout, scale
from modelinfer_controller.planning.group import Group, GroupPlan, plan_group
from modelinfer_controller.planning.observed import NO_RECORD, Observed, Owner
from modelinfer_controller.planning.pod_view import PodView
from modelinfer_controller.planning.recovery import is_settled
from modelinfer_controller.planning.revision import Revision
from modelinfer_controller.planning.rollout import GroupState, Rollout
from modelinfer_controller.planning.scale import Budget
from modelinfer_controller.planning.terms import NOTHING, Belongings, Evidence, Terms, terms_of

UPDATE_IN_PROGRESS = "UpdateInProgress"


@dataclass(frozen=True)
class Assessment:
    """Everything that was concluded from one snapshot.

    groups: every ordinal that is to exist or has pods, at the revision it has or is to be made at.
    plans: for the groups that live on, what each needs. A group in rollout.replace that still has pods has none.
    """

    observed: Observed
    now: datetime
    update: Revision
    current: Revision
    budget: Budget
    groups: Mapping[int, Group]
    states: Mapping[int, GroupState]
    rollout: Rollout
    plans: Mapping[int, GroupPlan]

    @property
    def owner(self) -> Owner:
        return self.observed.owner

    @property
    def removed_ordinals(self) -> tuple[int, ...]:
        """Ordinals outside the target of which anything is left, highest first."""
        target = set(self.rollout.target)
        left = {*self.groups, *self.observed.services_by_group, *_pod_group_ordinals(self.observed)}
        return tuple(sorted(left - target, reverse=True))

    def record(self, ordinal: int) -> GroupRecord:
        """What is to be remembered of a target group from now on."""
        return self.plans[ordinal].recovery.record if ordinal in self.plans else NO_RECORD


def _pod_group_ordinals(observed: Observed) -> Iterable[int]:
    prefix = f"{observed.owner.name}-"
    for key in observed.pod_groups:
        if key.name.startswith(prefix) and key.name[len(prefix) :].isdecimal():
            yield int(key.name[len(prefix) :])


def assess(observed: Observed, now: datetime) -> Assessment:
    owner = observed.owner
    update = _update_revision(observed)
    current = _current_revision(observed, update)
    known = {**observed.revision_by_name, update.name: update, current.name: current}
    terms = terms_of(owner, observed.gang_support, known, update.name, current.name)
    budget = scale.budget_of(owner.spec)
    groups = {o: _group(o, observed, terms) for o in sorted({*range(budget.replicas), *observed.pods_by_group})}
    plans = {ordinal: _plan(group, observed, now) for ordinal, group in groups.items()}
    states = {ordinal: _state(group, plans[ordinal]) for ordinal, group in groups.items()}
    surge = rollout.surge_of(states, update.name, budget) if _is_rolling(owner) else 0
    for ordinal in range(budget.replicas, budget.replicas + surge):
        if ordinal not in groups:
            groups[ordinal] = _group(ordinal, observed, terms)
            plans[ordinal] = _plan(groups[ordinal], observed, now)
            states[ordinal] = _state(groups[ordinal], plans[ordinal])
    decided = rollout.decide(states, update.name, budget, surge)
    for ordinal in decided.replace:
        if groups[ordinal].pods:
            del plans[ordinal]  # its pods go first
        else:
            plans[ordinal] = _plan(_judged(Evidence(terms, ordinal, (), NO_RECORD)), observed, now)
    living = {ordinal: plans[ordinal] for ordinal in decided.target if ordinal in plans}
    return Assessment(observed, now, update, current, budget, groups, states, decided, living)


def _plan(group: Group, observed: Observed, now: datetime) -> GroupPlan:
    return plan_group(group, belongings_of(group.ordinal, observed), observed.reserved, now)


def belongings_of(ordinal: int, observed: Observed) -> Belongings:
    services, pod_groups = observed.services_by_group.get(ordinal, ()), observed.all_pod_groups_of(ordinal)
    return Belongings(services, tuple(pod_groups)) if services or pod_groups else NOTHING


def _is_rolling(owner: Owner) -> bool:
    """Whether a rollout had begun by the last status, which tells its surge groups from those that are scaled away."""
    condition = condition_of(owner.status.conditions, UPDATE_IN_PROGRESS)
    return condition is not None and condition.status == "True"


def condition_of(conditions: Iterable[Condition], type_: str) -> Condition | None:
    return next((condition for condition in conditions if condition.type == type_), None)


def _update_revision(observed: Observed) -> Revision:
    owner = observed.owner
    scheduler = gang.choose_scheduler(owner, observed.gang_support, observed.revisions)
    resolved = revision.resolve(
        owner.name,
        revision.payload_of_spec(owner.spec_json, scheduler),
        observed.revisions,
        [name for kind, name in observed.reserved if kind == "ControllerRevision"],
        {role.name: role.replicas for role in owner.spec.template.roles},
    )
    cause = owner.metadata.annotations.get(well_known.CHANGE_CAUSE, "")
    return resolved if resolved.is_stored else replace(resolved, change_cause=cause)


def _current_revision(observed: Observed, update: Revision) -> Revision:
    """The revision that the running rollout started from, or the update revision where none is under way.

    The status remembers it; where it does not, it is the oldest that pods still run.
    """
    stored = observed.revision_by_name.get(observed.owner.status.current_revision)
    if stored is not None:
        return stored
    running = {pod.revision for pod in observed.pods} & observed.revision_by_name.keys()
    oldest = sorted((observed.revision_by_name[name] for name in running), key=lambda one: one.number)
    return oldest[0] if oldest else update


def _group(ordinal: int, observed: Observed, terms: Terms) -> Group:
    pods = observed.pods_by_group.get(ordinal, ())
    return _judged(Evidence(terms, ordinal, pods, observed.owner.record(ordinal)))


@lru_cache(maxsize=16384)
def _judged(evidence: Evidence) -> Group:
    terms, record, pods = evidence.terms, evidence.record, evidence.pods
    is_held = evidence.ordinal < terms.spec.rollout_strategy.rolling_update_configuration.partition
    own = _group_revision(pods, record, terms, terms.current if is_held else terms.update)
    is_waiting = own.name != terms.update_name and not is_held
    kept = record if record.revision == own.name else GroupRecord(revision=own.name)
    replicas = scale.role_replicas(terms.spec, own.template, kept, pods, follows_spec=not is_waiting)
    return Group(terms, evidence.ordinal, own, replicas, pods, kept, is_waiting)


def _group_revision(pods: Iterable[PodView], record: GroupRecord, terms: Terms, default: Revision) -> Revision:
    """What its live pods run; with none, what a settled group's record says; else what new groups are made at."""
    live = sorted((pod for pod in pods if not pod.is_terminating), key=lambda pod: (pod.created_at, pod.name))
    if live:
        found = [pod.revision for pod in live if pod.revision]
        name = record.revision if record.revision in found or not found else found[0]
        if not name:
            return terms.current  # pods without the label: taken for what ran before the rollout, and rolled
        # A revision that somebody deleted cannot be built from any more; the pods are told apart by its name alone.
        return terms.known.get(name) or Revision(name, 0, "", default.template)
    if is_settled(record):
        return terms.known.get(record.revision, default)
    return default


def _state(group: Group, planned: GroupPlan) -> GroupState:
    """A group whose rebuild starts now is as good as down: the rollout must not count on it."""
    is_rebuilt = bool(planned.recovery.rebuilds)
    rebuilt = replace(group, record=planned.recovery.record) if is_rebuilt else group
    return GroupState(
        ordinal=group.ordinal,
        revision=group.revision.name,
        exists=bool(group.live_pods) or is_settled(group.record),
        is_available=rebuilt.is_available,
    )
