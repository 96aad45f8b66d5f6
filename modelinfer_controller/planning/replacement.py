"""Why a group is replaced: one sum type, from which update, conditions, events and commands speak."""

from dataclasses import dataclass
from typing import TypeAlias, assert_never


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
