"""What a group is at, in one word: for metrics, the tree, explanations and simulations alike."""

from enum import StrEnum

from modelinfer_controller.planning.decide import Decision
from modelinfer_controller.planning.group import Group


class GroupPhase(StrEnum):
    """Exactly one at a time. The values are the metric's."""

    AVAILABLE = "available"
    STARTING = "starting"  # every pod has its node
    PENDING = "pending"  # pods are to be created, or wait for a node
    RECREATING = "rebuilding"  # after a failure
    BACKING_OFF = "backing_off"  # a recreation waits for its time
    HANDING_OVER = "handing_over"  # it has moved off a node that leaves, and is made anew
    DRAINING = "draining"  # its pods finish their requests before they go
    TERMINATING = "terminating"  # replaced, or not to be any more


def group_phase(decision: Decision, ordinal: int) -> GroupPhase:
    """Of an ordinal among decision.groups; one that never was is pending."""
    if ordinal in decision.at_rest:
        return GroupPhase.AVAILABLE
    group = decision.active.get(ordinal)
    if group is None:
        return GroupPhase.PENDING
    if group.is_draining:
        return GroupPhase.DRAINING
    if ordinal not in decision.active_needs or group.is_going_away:
        return GroupPhase.TERMINATING
    if group.is_available:
        return GroupPhase.AVAILABLE
    recovery = group.recovery
    if not recovery.recreations and _is_handed_over(group):
        return GroupPhase.HANDING_OVER
    if recovery.recreations or any(not one.is_complete for one in recovery.record.recreations.values()):
        return GroupPhase.RECREATING
    if any(delayed.is_backoff for delayed in recovery.delayed):
        return GroupPhase.BACKING_OFF
    if not group.live_pods or not all(pod.is_scheduled for pod in group.live_pods):
        return GroupPhase.PENDING
    return GroupPhase.STARTING


def _is_handed_over(group: Group) -> bool:
    incomplete = [one for one in group.record.recreations.values() if not one.is_complete]
    return bool(incomplete) and all(one.moved_from for one in incomplete)
