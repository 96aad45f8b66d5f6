"""Gang scheduling: one PodGroup for each group, of Volcano's kind or Kubernetes' own."""

from collections.abc import Iterator, Mapping
from typing import Any

from modelinfer_controller.api import names, well_known
from modelinfer_controller.api.core import PodGroup
from modelinfer_controller.api.modelinfer import GangSchedule
from modelinfer_controller.api.quantity import format_quantity
from modelinfer_controller.planning.manifests import OwnerIdentity
from modelinfer_controller.planning.observed import GangSupport, Owner, PodGroupKey
from modelinfer_controller.planning.resources import Resources, pod_requests, same_resources, total
from modelinfer_controller.planning.revision import (
    GangScheduler,
    Revision,
    RevisionTemplate,
    RoleTemplate,
    payload_of_spec,
    with_meaning,
)

DEFAULT_SCHEDULER = "default-scheduler"
DEFAULT_TOPOLOGY_MODE = "hard"
DEFAULT_QUEUE = "default"  # what Volcano's admission fills in
API_VERSIONS: Mapping[GangScheduler, str] = {
    GangScheduler.VOLCANO: "scheduling.volcano.sh/v1beta1",
    GangScheduler.KUBERNETES: "scheduling.k8s.io/v1beta1",
}

INSTALL_HINTS: Mapping[GangScheduler, str] = {
    GangScheduler.VOLCANO: "Volcano's PodGroup (scheduling.volcano.sh/v1beta1) is not installed: install Volcano",
    GangScheduler.KUBERNETES: "Kubernetes' PodGroup (scheduling.k8s.io/v1beta1) is not served: enable the feature gate "
    "GenericWorkload and that API version on the control plane",
}


def missing_api_message(scheduler: GangScheduler, scheduler_name: str | None, support: GangSupport) -> str:
    """For people: which PodGroup kinds would do that are not there, and how to get them. "" where one is in use."""
    if support.serves(scheduler):
        return ""
    other = next(one for one in GangScheduler if one is not scheduler)
    text = f"the pods run without a gang: {_problem(scheduler, support)}"
    if scheduler_name not in (None, "", DEFAULT_SCHEDULER):
        return text
    if support.serves(other):
        return f"{text}; the next change of the template uses {API_VERSIONS[other]}, which is served"
    return f"{text}; or {_problem(other, support)}"


def _problem(scheduler: GangScheduler, support: GangSupport) -> str:
    return support.problem(scheduler) or INSTALL_HINTS[scheduler]


def in_use_message(scheduler: GangScheduler, template: RevisionTemplate) -> str:
    """For people: the PodGroups that there are, and whether the pods' scheduler knows them."""
    text = f"each group has a PodGroup of {API_VERSIONS[scheduler]}"
    named = {template.scheduler_name, *(spec.get("schedulerName") for spec in _pod_specs(template))}
    if scheduler is GangScheduler.VOLCANO and named <= {None, "", DEFAULT_SCHEDULER}:
        return f"{text}, which {DEFAULT_SCHEDULER} does not read: set schedulerName to Volcano's"
    return text


def choose_scheduler(owner: Owner, support: GangSupport, stored: tuple[Revision, ...]) -> GangScheduler | None:
    """Which PodGroups this ModelInfer's update revision uses, or None without gangSchedule.

    Pods of the default scheduler use Kubernetes' own where it is served, all others Volcano's, installed or not. A
    revision that already says one keeps it, so that upgrading a cluster, or a moment without an API, restarts no pod.
    The next revision is free to use the other.
    """
    if owner.spec.template.gang_schedule is None:
        return None
    if owner.spec.scheduler_name not in (None, "", DEFAULT_SCHEDULER):
        return GangScheduler.VOLCANO
    either = tuple(GangScheduler)
    recorded = with_meaning([payload_of_spec(owner.spec_json, one) for one in either], stored)
    if recorded:
        _, used = max(recorded, key=lambda found: found[0].number)
        return either[used]
    return GangScheduler.KUBERNETES if support.kubernetes else GangScheduler.VOLCANO


def minimum_instances(gang: GangSchedule | None, role: str, replicas: int) -> int:
    """How many instances of a role (name as written) a group cannot do without."""
    minimum = (gang.min_role_replicas or {}).get(role) if gang is not None else None
    return replicas if minimum is None else min(minimum, replicas)


def desired_spec(
    gang: GangSchedule | None,
    queue: str,
    scheduler: GangScheduler,
    template: RevisionTemplate,
    replicas: Mapping[str, int],
) -> dict[str, Any]:
    """The PodGroup's spec for a group of this template with so many instances of each role (lower-case name)."""
    minimum = [(role, minimum_instances(gang, role.name, replicas[role.name.lower()])) for role in template.roles]
    pod_count = sum(role.pod_count * count for role, count in minimum)
    priority_class = _priority_class(template)
    if scheduler is GangScheduler.KUBERNETES:
        # It wants at least 1: with a minimum of no pods at all, every pod may come alone. A preemption of one pod costs
        # the gang: then it is better that all of its pods make room, and at once.
        policy = {"schedulingPolicy": {"gang": {"minCount": max(pod_count, 1)}}, "disruptionMode": {"all": {}}}
        return {**policy, "priorityClassName": priority_class} if priority_class else policy
    spec: dict[str, Any] = {
        "minMember": pod_count,
        "minTaskMember": {
            names.role_id(role.name, instance): role.pod_count for role, count in minimum for instance in range(count)
        },
        "queue": queue or DEFAULT_QUEUE,
    }
    resources = total((_instance_requests(role), count) for role, count in minimum)
    spec["minResources"] = {name: format_quantity(value) for name, value in sorted(resources.items())}
    if priority_class:
        spec["priorityClassName"] = priority_class
    if gang is not None and gang.network_topology is not None:
        spec["networkTopology"] = gang.network_topology.model_dump(by_alias=True, exclude_none=True, mode="json")
    return spec


def _instance_requests(role: RoleTemplate) -> Resources:
    entry, worker = pod_requests(role.template(0).spec), pod_requests(role.template(1).spec)
    return total([(entry, 1), (worker, role.worker_replicas)])


def _priority_class(template: RevisionTemplate) -> str:
    """The first priorityClassName that a template names; a gang has one."""
    named = (spec.get("priorityClassName") for spec in _pod_specs(template))
    return next((str(name) for name in named if name), "")


def _pod_specs(template: RevisionTemplate) -> Iterator[Mapping[str, Any]]:
    """The PodSpecs of all kinds of pods of a group."""
    return (role.template(index).spec for role in template.roles for index in (0, 1))


def body(identity: OwnerIdentity, key: PodGroupKey, spec: Mapping[str, Any]) -> dict[str, Any]:
    metadata = identity.child_metadata(key.name, {well_known.GROUP_NAME: key.name})
    if key.scheduler is GangScheduler.KUBERNETES:
        # Admission fills in the cluster's default class, which must not be taken for one that was requested.
        metadata["annotations"] = {well_known.PRIORITY_CLASS: spec.get("priorityClassName", "")}
    return {"apiVersion": API_VERSIONS[key.scheduler], "kind": "PodGroup", "metadata": metadata, "spec": dict(spec)}


OWN_FIELDS = ("minMember", "minTaskMember", "queue", "minResources", "priorityClassName", "networkTopology")


def patch(stored: PodGroup, scheduler: GangScheduler, desired: Mapping[str, Any]) -> dict[str, Any]:
    """A merge patch that brings a stored PodGroup in step, {} where it means the same already or cannot be changed.

    Fields that are not ours are left alone; ours that are no longer wanted are removed.
    """
    if scheduler is GangScheduler.KUBERNETES:
        policy, wanted = stored.spec.get("schedulingPolicy") or {}, desired["schedulingPolicy"]
        same = (policy.get("gang") or {}).get("minCount") == wanted["gang"]["minCount"]
        return {} if same else {"spec": {"schedulingPolicy": wanted}}
    changed = {
        name: _merge(stored.spec.get(name), desired.get(name))
        for name in OWN_FIELDS
        if not _same(name, stored.spec.get(name), desired.get(name))
    }
    return {"spec": changed} if changed else {}


def is_outdated(stored: PodGroup, scheduler: GangScheduler, desired: Mapping[str, Any]) -> bool:
    """Whether it says something else than it should, be it in fields that cannot be changed."""
    if patch(stored, scheduler, desired):
        return True
    made_with = stored.metadata.annotations.get(well_known.PRIORITY_CLASS, "")
    return scheduler is GangScheduler.KUBERNETES and made_with != desired.get("priorityClassName", "")


def _same(name: str, stored: Any, desired: Any) -> bool:
    match name, stored, desired:
        case "minResources", dict(), dict():
            return same_resources(stored, desired)
        case "networkTopology", dict(), dict():
            return _topology(stored) == _topology(desired)
        case _:
            return bool((stored or None) == (desired or None))


def _topology(given: Mapping[str, Any]) -> dict[str, Any]:
    """The fields that are ours, with the mode that the server fills in."""
    own = {name: given[name] for name in ("highestTierAllowed", "highestTierName") if given.get(name) is not None}
    return {"mode": given.get("mode") or DEFAULT_TOPOLOGY_MODE, **own}


def _merge(stored: Any, desired: Any) -> Any:
    """For a merge patch, keys that a map must lose are set to null."""
    if isinstance(stored, dict) and isinstance(desired, dict):
        return {**dict.fromkeys(stored.keys() - desired.keys()), **desired}
    return desired
