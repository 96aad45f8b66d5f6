"""The PodDisruptionBudget of a ModelInfer that hands over: no eviction of a healthy pod gets through.

A budget counts pods and an outage is of groups, so no number of pods would be right. `minAvailable` above any number of
pods allows no disruption; `maxUnavailable` and percentages would make the disruption controller read the owner's scale,
which counts groups. source: pkg/controller/disruption, getExpectedPodCount
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any

import msgspec

from modelinfer_controller.api import well_known
from modelinfer_controller.api.core import PodDisruptionBudget
from modelinfer_controller.api.modelinfer import NodeDrainPolicy
from modelinfer_controller.api.reasons import Cause, Reason
from modelinfer_controller.planning.actions import (
    Action,
    CreateDisruptionBudget,
    DeleteDisruptionBudget,
    PatchDisruptionBudget,
)
from modelinfer_controller.planning.desired import identity_of
from modelinfer_controller.planning.nodes import LEAVING_TAINTS
from modelinfer_controller.planning.observed import Observed

KIND = "PodDisruptionBudget"
NEVER = 2**31 - 1  # more pods than there can be
IN_FORCE = "evictions of healthy pods wait; no group has pods on a node that leaves"


def disruption_budget_actions(observed: Observed) -> Iterator[Action]:
    """What the budget needs now. It goes where nobody could hand over, since evictions would then wait for ever."""
    owner = observed.owner
    stored = [one for one in observed.disruption_budgets.values() if not one.metadata.is_terminating]
    is_wanted = owner.spec.node_drain_policy is NodeDrainPolicy.HAND_OVER and not observed.nodes.missing_permission
    for one in stored:
        if not is_wanted or one.metadata.name != owner.name:
            yield DeleteDisruptionBudget(one.metadata.name, one.metadata.uid)
    if not is_wanted or not observed.nodes.are_known or not observed.can_write_budgets:
        return
    mine = observed.disruption_budgets.get(owner.name)
    if mine is None:
        if (KIND, owner.name) not in observed.name_conflicts:
            yield CreateDisruptionBudget(owner.name, budget_body(observed))
    elif not mine.metadata.is_terminating and (patch := _patch(mine, observed)):
        yield PatchDisruptionBudget(owner.name, mine.metadata.uid, patch)


def budget_body(observed: Observed) -> Mapping[str, Any]:
    owner = observed.owner
    return {
        "apiVersion": "policy/v1",
        "kind": KIND,
        "metadata": {**identity_of(owner).child_metadata(owner.name, {}), "annotations": _annotations(observed)},
        "spec": _spec(owner.name),
    }


def _annotations(observed: Observed) -> dict[str, str]:
    return {well_known.LEAVING_TAINTS: ",".join(sorted(observed.nodes.leaving_taints))}


def published_taints(stored: Iterable[PodDisruptionBudget]) -> Collection[str]:
    """By which taints the controller that keeps these budgets judges nodes: the defaults where none says so."""
    texts = (one.metadata.annotations.get(well_known.LEAVING_TAINTS) for one in stored if one.metadata.controller)
    text = next((text for text in texts if text is not None), None)
    return LEAVING_TAINTS if text is None else [key for key in text.split(",") if key]


def _spec(owner: str) -> dict[str, Any]:
    return {
        "minAvailable": NEVER,
        "selector": {"matchLabels": {well_known.NAME: owner}},
        "unhealthyPodEvictionPolicy": "AlwaysAllow",
    }


def _patch(stored: PodDisruptionBudget, observed: Observed) -> Mapping[str, Any]:
    """A merge patch, or {} where everything is as it is to be."""
    annotations, patch = _annotations(observed), _spec_patch(stored, observed.owner.name)
    if not annotations.items() <= stored.metadata.annotations.items():
        return {**patch, "metadata": {"annotations": annotations}}
    return patch


def _spec_patch(stored: PodDisruptionBudget, owner: str) -> Mapping[str, Any]:
    spec, wanted = stored.spec, _spec(owner)
    if spec == msgspec.convert(wanted, type(spec)):
        return {}
    strangers = {key: None for key in spec.selector.match_labels if key != well_known.NAME}
    selector = {"matchLabels": {**strangers, well_known.NAME: owner}, "matchExpressions": None}
    return {"spec": {**wanted, "maxUnavailable": None, "selector": selector}}


def problem(observed: Observed) -> Cause | None:
    """Why groups are not handed over though the spec asks for it, and what to do about it."""
    if observed.nodes.missing_permission:
        return Cause(
            Reason.NODES_FORBIDDEN,
            f"{observed.nodes.missing_permission}; pods are evicted as with nodeDrainPolicy Evict until it may: "
            "see docs/node-maintenance.md",
        )
    if taken := observed.name_conflicts.get((KIND, observed.owner.name)):
        return Cause(Reason.NAME_COLLISION, taken)
    if observed.nodes.are_known and not observed.can_write_budgets:
        return Cause(
            Reason.BUDGETS_FORBIDDEN,
            f"{observed.budget_problem or 'poddisruptionbudgets.policy cannot be read'}; evictions do not wait",
        )
    return None
