"""`recreate`: one group anew, by deleting its pods; the controller's recovery makes them again."""

from collections.abc import Sequence

from modelinfer_controller.api.core import Pod
from modelinfer_controller.kubectl.model.document import Document
from modelinfer_controller.kubectl.model.humanize import counted
from modelinfer_controller.kubectl.model.kubeconfig import failure
from modelinfer_controller.kubectl.model.snapshot import Snapshot


class Recreation(Document, frozen=True):
    """available_after: groups that stay available while it is down; required: those that maxUnavailable demands."""

    namespace: str
    name: str
    group: int
    revision: str
    pods: tuple[str, ...]
    available_after: int
    required: int
    is_within_budget: bool


def recreation_of(snapshot: Snapshot, group: int, *, force: bool) -> Recreation:
    """Raises Exit where there is nothing to recreate, or, without force, where the budget does not allow it."""
    found, name = snapshot.decision, snapshot.owner.name
    if snapshot.violations or snapshot.stored.metadata.is_terminating:
        raise failure(f"the controller recreates nothing of {name}: its spec is invalid, or it is being deleted")
    if group not in found.groups or not (pods := living(snapshot, group)):
        raise failure(f"group {group} of {name} has no pods to recreate")
    available = sum(one.is_available for ordinal, one in found.groups.items() if ordinal < found.budget.replicas)
    lost = found.is_available(group) and group < found.budget.replicas
    required = found.budget.replicas - found.budget.max_unavailable
    recreation = Recreation(
        namespace=snapshot.owner.namespace,
        name=name,
        group=group,
        revision=found.groups[group].revision.name,
        pods=tuple(pod.metadata.name for pod in pods),
        available_after=available - lost,
        required=required,
        is_within_budget=not lost or available - lost >= required,
    )
    if not recreation.is_within_budget and not force:
        raise failure(
            f"group {group} of {name} is available, and without it {recreation.available_after} of {required} groups "
            f"that must stay available (maxUnavailable {found.budget.max_unavailable}) are left: "
            "--force recreates it anyway"
        )
    return recreation


def living(snapshot: Snapshot, group: int) -> Sequence[Pod]:
    """The group's pods that are not going away."""
    views = (view for view in snapshot.observed.pods if view.identity.group == group and not view.is_terminating)
    return [snapshot.pods[view.name] for view in sorted(views, key=lambda view: view.identity)]


def recreation_text(recreation: Recreation, done: str = "deleted") -> str:
    """What was done, and what follows."""
    pods, group = counted(len(recreation.pods), "pod"), recreation.group
    return (
        f"group {group} recreated: {pods} {done}; the controller creates them again at revision {recreation.revision} "
        f"as soon as they are gone (kubectl modelinfer tree {recreation.name} -w -g {group})"
    )
