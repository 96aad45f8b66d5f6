"""What the server last refused to the controller, read back from the status: no pod is there to say it."""

import re
from collections.abc import Mapping

from modelinfer_controller.api.core import Condition
from modelinfer_controller.planning.actions import (
    Action,
    CreatePod,
    CreatePodGroup,
    CreateRevision,
    CreateService,
    DeletePod,
    group_of,
)
from modelinfer_controller.planning.assess import Assessment, condition_of
from modelinfer_controller.planning.cause import Failure, cause_of
from modelinfer_controller.planning.plan import plan
from modelinfer_controller.planning.status import AVAILABLE

_GROUP = re.compile(r"(?:^|: |; )group (\d+): ")
_REST = re.compile(r"; and \d+ more$")


def refusals(assessment: Assessment) -> Mapping[int | None, Failure]:
    """By group, for groups in which there is still to be done what was refused.

    A condition's reason is that of the first group that its message names; what the planner says of a group by itself
    is no refusal.
    """
    condition = condition_of(assessment.owner.status.conditions, AVAILABLE)
    pending = {group_of(action) for action in plan(assessment).actions if _can_be_refused(action)}
    if not pending or condition is None or condition.status == "True":
        return {}
    told = _told(condition)
    own = {ordinal: cause_of(assessment, ordinal, {}) for ordinal in told if ordinal in assessment.groups}
    refused = {o: text for o, text in told.items() if o in own and own[o].message != text and _sounds_refused(text)}
    if not refused:
        return {}
    first = next(iter(refused.values()))
    return {
        ordinal: Failure(_reason(condition, refused.get(ordinal, first)), refused.get(ordinal, first))
        for ordinal in pending
        if ordinal is not None and (ordinal in refused or ordinal not in told)
    }


def _can_be_refused(action: Action) -> bool:
    return isinstance(action, CreatePod | CreatePodGroup | CreateService | CreateRevision | DeletePod)


def _told(condition: Condition) -> Mapping[int, str]:
    """The message's sentences by group: "2 of 3 groups are not available: group 0: ...; group 1: ...; and 3 more"."""
    parts = _GROUP.split(_REST.sub("", condition.message))
    return {int(ordinal): text for ordinal, text in zip(parts[1::2], parts[2::2], strict=False)}


_ACTION = re.compile(r"(Create|Patch|Delete|Renumber)\w+ ")
_REFUSAL = re.compile(r"forbidden|exceeded quota|is in the way|denied|admission webhook|is invalid|timed? ?out|refused")


def _sounds_refused(text: str) -> bool:
    return bool(_ACTION.match(text) or _REFUSAL.search(text))


def _reason(condition: Condition, text: str) -> str:
    if "exceeded quota" in text:
        return "QuotaExceeded"
    if "is in the way" in text:
        return "NameCollision"
    return condition.reason if _told(condition) and next(iter(_told(condition).values())) == text else "Refused"
