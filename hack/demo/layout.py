"""The tree of `kubectl modelinfer tree`, fitted so that what moves is seen on a terminal of any height."""

from __future__ import annotations

import msgspec

from modelinfer_controller.kubectl.model.tree import GroupNode, Tree
from modelinfer_controller.kubectl.render.terminal import Terminal
from modelinfer_controller.kubectl.render.tree import tree_lines


def fitted_lines(tree: Tree, terminal: Terminal, room: int) -> list[str]:
    """At most `room` lines: groups at rest become one line each where there is no room for all, then the others."""
    lines = tree_lines(tree, terminal)
    for ordinal in _collapse_order(tree):
        if len(lines) <= room:
            return lines
        groups = [msgspec.structs.replace(one, roles=()) if one.ordinal == ordinal else one for one in tree.groups]
        tree = msgspec.structs.replace(tree, groups=tuple(groups))
        lines = tree_lines(tree, terminal)
    if len(lines) <= room:
        return lines
    return [*lines[: max(room - 1, 0)], terminal.draw(f"… {len(lines) - room + 1} more lines")][:room]


def _collapse_order(tree: Tree) -> list[int]:
    return [group.ordinal for group in sorted(tree.groups, key=lambda group: (not _is_at_rest(group), group.ordinal))]


def _is_at_rest(group: GroupNode) -> bool:
    return group.is_available and group.state == "Available" and group.ready_pods == group.pod_count
