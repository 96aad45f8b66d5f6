"""Recovery of all groups of a ModelInfer: each by itself, as long as a status can remember their recreations."""

from collections.abc import Mapping
from datetime import datetime

from modelinfer_controller.planning.group import Group
from modelinfer_controller.planning.hand_over import forget_returned
from modelinfer_controller.planning.memo import memoized
from modelinfer_controller.planning.observed import Observed
from modelinfer_controller.planning.recovery import recover
from modelinfer_controller.planning.recovery_limit import limit_recreations

_recover = memoized(recover, is_final=lambda group: group.is_final)


def recover_groups(observed: Observed, groups: Mapping[int, Group], now: datetime) -> Mapping[int, Group]:
    """The groups with what recovery decides: recreations that begin now, wait, or are under way."""
    memory, nodes = observed.memory, observed.nodes
    recovered = {o: _recover(memory, o, forget_returned(group, nodes), now=now) for o, group in groups.items()}
    return limit_recreations(recovered, now)
