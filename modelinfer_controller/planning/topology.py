"""Spreading groups over topology domains: a group counts once, where its leader runs.

The leader is the entry pod of the first role's instance 0. It carries the constraints, which count leader pods; the
other pods of the group prefer the leader's domain.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from modelinfer_controller.api import well_known
from modelinfer_controller.api.modelinfer import TopologySpreadConstraint
from modelinfer_controller.planning.pod_identity import PodIdentity
from modelinfer_controller.planning.revision import RevisionTemplate

FOLLOWER_WEIGHT = 100  # the highest there is: the group's domain comes before other preferences


def is_leader(identity: PodIdentity, template: RevisionTemplate) -> bool:
    return identity.role == template.roles[0].name.lower() and identity.instance == 0 and identity.worker_index == 0


def add_leader_constraints(spec: dict[str, Any], owner: str, constraints: Sequence[TopologySpreadConstraint]) -> None:
    """Append to the pod spec's own constraints, which are kept."""
    if constraints:
        own = spec.get("topologySpreadConstraints", [])
        spec["topologySpreadConstraints"] = [*own, *(_leader_constraint(owner, c) for c in constraints)]


def _leader_constraint(owner: str, constraint: TopologySpreadConstraint) -> dict[str, Any]:
    return {
        "maxSkew": constraint.max_skew,
        "topologyKey": constraint.topology_key,
        "whenUnsatisfiable": constraint.when_unsatisfiable,
        "labelSelector": _leader_selector(owner, constraint),
    }


def _leader_selector(owner: str, constraint: TopologySpreadConstraint) -> Mapping[str, Any]:
    """The user's selector, narrowed to leaders; without one, the leaders of this ModelInfer."""
    given = constraint.label_selector
    if given is None:
        return {"matchLabels": {well_known.NAME: owner, well_known.GROUP_LEADER: "true"}}
    selector = given.model_dump(by_alias=True, exclude_none=True, mode="json")
    return {**selector, "matchLabels": {**selector.get("matchLabels", {}), well_known.GROUP_LEADER: "true"}}


def add_follower_affinity(
    spec: dict[str, Any], group_name: str, constraints: Sequence[TopologySpreadConstraint]
) -> None:
    """Prefer the domain of the group's leader, after the pod spec's own affinity, which is kept."""
    if not constraints:
        return
    affinity = dict(spec.get("affinity") or {})
    pod_affinity = dict(affinity.get("podAffinity") or {})
    preferred = pod_affinity.get("preferredDuringSchedulingIgnoredDuringExecution") or []
    keys = dict.fromkeys(constraint.topology_key for constraint in constraints)
    pod_affinity["preferredDuringSchedulingIgnoredDuringExecution"] = [
        *preferred,
        *(_follower_term(key, group_name) for key in keys),
    ]
    spec["affinity"] = {**affinity, "podAffinity": pod_affinity}


def _follower_term(topology_key: str, group_name: str) -> dict[str, Any]:
    leader = {well_known.GROUP_NAME: group_name, well_known.GROUP_LEADER: "true"}
    return {
        "weight": FOLLOWER_WEIGHT,
        "podAffinityTerm": {"topologyKey": topology_key, "labelSelector": {"matchLabels": leader}},
    }
