"""Which groups there are, and at which revision each is."""

from collections.abc import Iterable, Mapping

from modelinfer_controller.api.status import GroupRecord
from modelinfer_controller.planning.at_rest import AtRest, active_ordinals
from modelinfer_controller.planning.desired import Desired
from modelinfer_controller.planning.group import Group, is_recorded
from modelinfer_controller.planning.memo import memoized
from modelinfer_controller.planning.observed import NO_CHILDREN, NO_RECORD, GroupChildren, Observed
from modelinfer_controller.planning.pod_view import PodView
from modelinfer_controller.planning.revision import Revision


def identify_groups(observed: Observed, desired: Desired, at_rest: AtRest) -> Mapping[int, Group]:
    """Every ordinal of which there is anything, children or a record, but those at rest. In order.

    Complexity: linear in what exists, whatever number spec.replicas is.
    """
    found = {}
    for ordinal in active_ordinals(observed, at_rest):
        record = at_rest.records.get(ordinal, NO_RECORD)
        children = observed.children.get(ordinal, NO_CHILDREN)
        found[ordinal] = _identify(observed.memory, ordinal, desired, ordinal, record, children)
    return found


def identify(desired: Desired, ordinal: int, record: GroupRecord, children: GroupChildren) -> Group:
    """The group at the revision that it has or is to be made at."""
    revision = _revision(desired, ordinal, record, children.pods)
    is_free = not desired.is_held(ordinal) and not desired.holds_updates
    return Group(
        desired=desired,
        ordinal=ordinal,
        revision=revision,
        stored_record=record,
        record=record if record.revision == revision.name else GroupRecord(revision=revision.name),
        pods=children.pods,
        services=children.services,
        pod_groups=children.pod_groups,
        is_waiting=is_free and revision.name != desired.revisions.goal.name,
    )


_identify = memoized(identify)


def new_group(desired: Desired, ordinal: int, like: Group | None = None) -> Group:
    """A group that is to be made from nothing, or anew at the goal revision; `like` says what else there is of it."""
    revision = desired.revision_for_new(ordinal) if like is None else desired.revisions.goal
    return Group(
        desired=desired,
        ordinal=ordinal,
        revision=revision,
        stored_record=NO_RECORD if like is None else like.stored_record,
        record=GroupRecord(revision=revision.name),
        services=() if like is None else like.services,
        pod_groups=() if like is None else like.pod_groups,
    )


def _revision(desired: Desired, ordinal: int, record: GroupRecord, pods: Iterable[PodView]) -> Revision:
    """What its live pods run; with none, what its record says; else what new groups are made at."""
    revisions = desired.revisions
    live = sorted((pod for pod in pods if not pod.is_terminating), key=lambda pod: (pod.created_at, pod.name))
    if live:
        found = [pod.revision for pod in live if pod.revision]
        name = record.revision if record.revision in found or not found else found[0]
        # Pods without the label are taken for what ran before the update, and updated.
        return revisions.named(name) if name else revisions.current
    if not record.revision:
        return desired.revision_for_new(ordinal)
    if is_recorded(record) or desired.is_held(ordinal):
        return revisions.named(record.revision)
    if desired.holds_updates:
        return revisions.current if record.revision == revisions.current.name else revisions.goal
    return revisions.goal  # it was taken down for an update, whose revision may have changed since
