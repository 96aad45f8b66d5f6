"""The decision: from what is observed of a ModelInfer, and the time, to what is done now and what its status says.

Everything that decides asks this one function: the controller, `plan`, `explain`, `simulate`, the metrics.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cached_property

from modelinfer_controller.planning.actions import GroupPlan, Plan
from modelinfer_controller.planning.at_rest import AtRest, remember_at_rest, still_at_rest
from modelinfer_controller.planning.desired import Desired, desired_of
from modelinfer_controller.planning.group import Group
from modelinfer_controller.planning.group_states import states_of
from modelinfer_controller.planning.identify import identify_groups, new_group
from modelinfer_controller.planning.needs.group_needs import Needs
from modelinfer_controller.planning.needs.group_plans import plan_groups
from modelinfer_controller.planning.observed import Observed, Owner
from modelinfer_controller.planning.plan import plan_of
from modelinfer_controller.planning.progress import Progress, progress_of
from modelinfer_controller.planning.recover_groups import recover_groups
from modelinfer_controller.planning.resolve_revisions import Revisions, resolve_revisions
from modelinfer_controller.planning.rollout_budget import RolloutBudget
from modelinfer_controller.planning.update import Update, plan_update
from modelinfer_controller.planning.update_rules import UpdateRules, update_rules


@dataclass(frozen=True, eq=False)
class Decision:
    """All that was concluded from one snapshot. `events_of` and `status_of` say it to people.

    at_rest: groups of which there is nothing to do or to say. active: every other ordinal of which there is anything,
    and those that are created now; other ordinals below replicas never were. active_needs: of those that live on.
    plan: what to do now.
    """

    observed: Observed
    now: datetime
    desired: Desired
    at_rest: AtRest
    active: Mapping[int, Group]
    rules: UpdateRules
    update: Update
    progress: Progress
    active_needs: Mapping[int, Needs]
    plan: Plan

    @cached_property
    def groups(self) -> Mapping[int, Group]:
        """Every ordinal of which there is anything, at rest or not, in order."""
        return dict(sorted({**self.at_rest.groups, **self.active}.items()))

    @cached_property
    def needs(self) -> Mapping[int, Needs]:
        """Of every group that lives on."""
        at_rest = {ordinal: Needs(GroupPlan(ordinal), is_final=True) for ordinal in self.at_rest.groups}
        return dict(sorted({**at_rest, **self.active_needs}.items()))

    @property
    def owner(self) -> Owner:
        return self.observed.owner

    @property
    def revisions(self) -> Revisions:
        return self.desired.revisions

    @property
    def budget(self) -> RolloutBudget:
        return self.rules.budget

    def group(self, ordinal: int) -> Group:
        """The group of an ordinal below replicas, also if it never was."""
        return self.existing(ordinal) or new_group(self.desired, ordinal)

    def existing(self, ordinal: int) -> Group | None:
        return self.active.get(ordinal) or self.at_rest.groups.get(ordinal)

    def is_available(self, ordinal: int) -> bool:
        group = self.existing(ordinal)
        return group is not None and group.is_available

    def revision_name(self, ordinal: int) -> str:
        """Of the revision that the group is at or, if it never was, is created at."""
        group = self.existing(ordinal)
        return (group.revision if group is not None else self.desired.revision_for_new(ordinal)).name


def decide(observed: Observed, now: datetime) -> Decision:
    """Decide from one snapshot. Pure: the same snapshot and time give the same decision.

    The plan is empty where the world is as specified, and for a ModelInfer that is being deleted. Time and memory are
    bounded by what exists and by what one pass carries out, whatever numbers the spec holds.

    >>> from datetime import UTC
    >>> from modelinfer_controller.api import core, status, validation
    >>> from modelinfer_controller.planning.actions import describe
    >>> pod = '{"spec": {"containers": [{"name": "vllm", "image": "vllm"}]}}'
    >>> role = f'{{"name": "decode", "workerReplicas": 1, "entryTemplate": {pod}, "workerTemplate": {pod}}}'
    >>> spec = f'{{"replicas": 1, "template": {{"roles": [{role}]}}}}'.encode()
    >>> metadata = core.ObjectMeta(name="llama", namespace="default", uid="1")
    >>> llama = Owner(metadata, validation.decode(spec, "llama"), spec, status.ModelInferStatus())
    >>> for action in decide(Observed(llama), datetime(2026, 1, 1, tzinfo=UTC)).plan.actions:
    ...     print(describe(action))
    create ControllerRevision llama-131fc240cc
    create Service llama-0-decode-0-0
    create pod llama-0-decode-0-0
    create pod llama-0-decode-0-1
    """
    revisions = resolve_revisions(observed)
    rules = update_rules(observed.owner, revisions)
    desired = desired_of(observed, revisions, rules)

    at_rest = still_at_rest(observed, desired, rules.budget.replicas)  # counted; from here on `groups` are the others
    groups = identify_groups(observed, desired, at_rest)
    groups = recover_groups(observed, groups, now)

    update = plan_update(states_of(observed, groups), rules, at_rest.count)
    progress = progress_of(observed.owner, groups, at_rest, rules, now)
    if progress.has_just_failed:
        update = replace(update, replaced=())

    plans = plan_groups(observed, desired, at_rest, groups, update, now)
    plan = plan_of(observed, revisions, plans, progress)
    remember_at_rest(observed, at_rest, plans.groups, plans.needs, rules.budget.replicas)
    return Decision(observed, now, desired, at_rest, plans.groups, rules, update, progress, plans.needs, plan)
