"""Why a group is replaced: one sum type, from which update, conditions, events and commands speak."""

from dataclasses import dataclass
from typing import TypeAlias, assert_never

from modelinfer_controller.api.reasons import Reason


@dataclass(frozen=True, slots=True)
class Outdated:
    """Its pods run another revision than the one that groups are moved to."""

    goal: str


@dataclass(frozen=True, slots=True)
class OnLeavingNode:
    """It has pods on a node that leaves. node: the one of its nodes that most groups are on.

    why: a predicate of the node, as "is cordoned". affected: groups that are due for this node. scope: what moves next,
    the whole group ("*") or a role instance. is_disruptive: whether the group is unavailable meanwhile. waits_for: the
    instance of the group that moves already, or "".
    """

    node: str
    why: str
    affected: int = 1
    scope: str = "*"
    is_disruptive: bool = True
    waits_for: str = ""


ReplacementReason: TypeAlias = Outdated | OnLeavingNode


REPLACEMENT_REASONS = (Reason.ROLLING_UPDATE, Reason.HANDING_OVER)


def reason_name(reason: ReplacementReason) -> Reason:
    """In one word, one of REPLACEMENT_REASONS: the same in conditions, events, metrics and commands.

    >>> reason_name(Outdated("qwen-5d8f")), reason_name(OnLeavingNode("node-3", "is cordoned"))
    (<Reason.ROLLING_UPDATE: 'RollingUpdate'>, <Reason.HANDING_OVER: 'HandingOver'>)
    """
    match reason:
        case Outdated():
            return Reason.ROLLING_UPDATE
        case OnLeavingNode():
            return Reason.HANDING_OVER
        case _:
            assert_never(reason)


def reason_text(reason: ReplacementReason) -> str:
    """What happens to the group, and why, as a predicate.

    >>> reason_text(OnLeavingNode("node-3", "is cordoned"))
    'moves off node node-3, which is cordoned'
    """
    match reason:
        case Outdated(goal):
            return f"is replaced by revision {goal}"
        case OnLeavingNode(node=node, why=why):
            return f"moves off node {node}, which {why}"
        case _:
            assert_never(reason)
