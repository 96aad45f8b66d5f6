"""What the API server refuses to the controller, by group: the status names it."""

from collections.abc import Mapping

import msgspec

from modelinfer_controller.api.status import ApiFailure
from modelinfer_controller.planning.actions import describe
from modelinfer_controller.planning.conditions import NAMED_GROUPS
from modelinfer_controller.planning.decide import Decision


def api_failures(decision: Decision) -> Mapping[int | None, ApiFailure]:
    """Those of requests that are still to be sent: what is not wanted any more holds nothing up.

    A status names a few. Where it names as many as it may, what others wait for is refused like the first.
    """
    plan, named = decision.plan, decision.owner.status.api_failures
    wanted = {describe(action) for action in plan.actions}
    found = {one.group: one for one in named if one.action in wanted}
    if found and len(named) >= NAMED_GROUPS:
        first = next(iter(found.values()))
        for group in plan.groups:
            found.setdefault(group.ordinal, msgspec.structs.replace(first, group=group.ordinal))
    return found
