"""How many groups of one ModelInfer began to be replaced, by reason; each once, however long it takes."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from modelinfer_controller.api.reasons import Reason
from modelinfer_controller.planning.decide import Decision
from modelinfer_controller.planning.recovery_types import WHOLE_GROUP
from modelinfer_controller.planning.replacement import reason_name

Scope = tuple[int, str]  # ordinal, and the whole group or one of its role instances


@dataclass
class Replacements:
    """A group that drains first goes in many passes, and its replacement that is undone and begun again counts anew."""

    count_by_reason: Counter[Reason] = field(default_factory=Counter)
    _going: Mapping[Scope, Reason] = field(default_factory=dict)

    def follow(self, decision: Decision) -> None:
        going = dict(_going(decision))
        for scope, reason in going.items():
            if scope not in self._going:
                self.count_by_reason[reason] += 1
        self._going = going

    def begin(self, decision: Decision) -> None:
        """The first look: what drains by then was counted by whoever began it."""
        self._going = {(o, scope): why for (o, scope), why in _going(decision) if decision.groups[o].is_draining}


def _going(decision: Decision) -> Iterator[tuple[Scope, Reason]]:
    """What is taken down now. A group that leaves a node for the update revision is replaced by the update."""
    update = decision.update
    for ordinal in update.replaced:
        if decision.active[ordinal].pods:
            yield (ordinal, WHOLE_GROUP), reason_name(update.reasons[ordinal][0])
    for ordinal in update.moved:
        move = decision.active[ordinal].move
        if move is not None:
            yield (ordinal, move.scope), reason_name(move)
