"""From objects as they were read to one frozen snapshot: where the controller's caches and a command's lists meet."""

from collections.abc import Iterable, Mapping

from modelinfer_controller.api.core import KubeObject, PodGroup, Service
from modelinfer_controller.planning.observed import GangSupport, Observed, Owner, PodGroupKey, children_by_group
from modelinfer_controller.planning.pod_view import PodView
from modelinfer_controller.planning.revision import GangScheduler, Revision


def snapshot(
    owner: Owner,
    *,
    views: Iterable[PodView | None],
    services: Iterable[Service],
    revisions: Iterable[Revision],
    pod_groups: Mapping[GangScheduler, Iterable[PodGroup]],
    labelled: Mapping[str, Iterable[KubeObject]],
    gang_support: GangSupport,
) -> Observed:
    """The snapshot of these objects, which are not copied.

    views, services, revisions and pod_groups are what the owner controls; labelled, by Kubernetes kind, whatever
    has the owner's name as label in its namespace: of those, what it does not control has taken a name.
    """
    pods = [view for view in views if view is not None]
    by_key = {
        PodGroupKey(scheduler, stored.metadata.name): stored
        for scheduler, stored_groups in pod_groups.items()
        for stored in stored_groups
    }
    return Observed(
        owner=owner,
        children=children_by_group(owner.name, pods, services, by_key),
        pod_revisions={pod.revision for pod in pods},
        revisions=tuple(revisions),
        name_conflicts=name_conflicts_of(
            {
                kind: [obj for obj in objects if not is_controlled_by(obj, owner.metadata.uid)]
                for kind, objects in labelled.items()
            }
        ),
        gang_support=gang_support,
    )


def name_conflicts_of(others: Mapping[str, Iterable[KubeObject]]) -> dict[tuple[str, str], str]:
    """others: by Kubernetes kind, what has the owner's label and is not its."""
    return {
        (kind, obj.metadata.name): describe_name_conflict(kind, obj) for kind, objs in others.items() for obj in objs
    }


def is_controlled_by(obj: KubeObject, uid: str) -> bool:
    controller = obj.metadata.controller
    return controller is not None and controller.uid == uid


def describe_name_conflict(kind: str, obj: KubeObject) -> str:
    """What is known of an object that has a name in the way, for people, and what to do about it."""
    controller = obj.metadata.controller
    whose = (
        f"is controlled by {controller.kind} {controller.name} (UID {controller.uid})"
        if controller
        else "has no controller"
    )
    if obj.metadata.is_terminating:
        return f"{kind} {obj.metadata.name} is in the way: it {whose} and is being deleted"
    return f"{kind} {obj.metadata.name} is in the way: it {whose}; delete or rename it, or rename the ModelInfer"
