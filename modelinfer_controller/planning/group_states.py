"""What the update knows of each group: at which revision it is, whether it is available, and whether it has to move."""

from collections.abc import Mapping

from modelinfer_controller.planning.group import Group
from modelinfer_controller.planning.hand_over import is_moving, moves_due
from modelinfer_controller.planning.observed import Observed
from modelinfer_controller.planning.replacement import OnLeavingNode
from modelinfer_controller.planning.update import GroupState


def states_of(observed: Observed, groups: Mapping[int, Group]) -> Mapping[int, GroupState]:
    moves = moves_due(observed.owner, groups, observed.nodes)
    return {ordinal: state_of(group, moves.get(ordinal)) for ordinal, group in groups.items()}


def state_of(group: Group, leaving: OnLeavingNode | None = None) -> GroupState:
    return GroupState(
        ordinal=group.ordinal,
        revision=group.revision.name,
        exists=group.exists,
        is_available=group.is_available,
        is_draining=group.is_draining,
        leaving=leaving,
        is_moving=is_moving(group),
    )
