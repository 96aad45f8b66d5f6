"""ControllerRevisions to store, to move to the top of the history, and to let go."""

from collections.abc import Iterable, Iterator, Mapping

from modelinfer_controller.planning import revision
from modelinfer_controller.planning.actions import Action, CreateRevision, DeleteRevision, RenumberRevision
from modelinfer_controller.planning.group import Group
from modelinfer_controller.planning.observed import Observed
from modelinfer_controller.planning.resolve_revisions import Revisions


def missing_revisions(observed: Observed, revisions: Revisions, groups: Iterable[Group]) -> Iterator[Action]:
    """The update revision, and revisions in use that somebody has deleted and that are known all the same.

    groups: those that are not at rest; those at rest are at the goal revision.
    """
    update = revisions.update
    used = {revisions.goal.name: revisions.goal, **{group.revision.name: group.revision for group in groups}}
    for one in used.values():
        if one.payload and not one.is_stored and one.name != update.name:
            yield CreateRevision(one)
    if not update.is_stored:
        yield CreateRevision(update)
        return
    newest = max(stored.number for stored in observed.revisions)
    if update.number < newest:
        yield RenumberRevision(update.name, update.uid, newest + 1)


def expired_revisions(observed: Observed, revisions: Revisions, groups: Mapping[int, Group]) -> Iterator[Action]:
    for stored in revision.expired(observed.revisions, used_revision_names(observed, revisions, groups)):
        yield DeleteRevision(stored.name, stored.uid)


def used_revision_names(observed: Observed, revisions: Revisions, groups: Mapping[int, Group]) -> set[str]:
    return {
        revisions.update.name,
        revisions.current.name,
        *(group.revision.name for group in groups.values()),
        *observed.pod_revisions,
        *observed.owner.recorded_revisions,
    }
