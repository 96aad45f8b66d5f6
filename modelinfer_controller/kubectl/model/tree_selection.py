"""Which groups of a tree are shown: --unhealthy and --group."""

from collections.abc import Sequence

import msgspec

from modelinfer_controller.kubectl.model.humanize import counted, groups
from modelinfer_controller.kubectl.model.kubeconfig import failure
from modelinfer_controller.kubectl.model.tree import GroupNode, Tree


def selected(tree: Tree, *, unhealthy: bool = False, only: Sequence[int] = ()) -> Tree:
    """The tree with fewer groups and a remark on those that are left out; its counts stay those of all.

    Raises Exit for a group that is not there.
    """
    there = {group.ordinal for group in tree.groups}
    if missing := sorted(set(only) - there):
        raise failure(f"{tree.name} has no {groups(missing)}; it has {groups(sorted(there)) if there else 'none'}")
    kept = [one for one in tree.groups if (not only or one.ordinal in only) and not (unhealthy and _is_well(one))]
    if len(kept) == len(tree.groups):
        return tree
    left_out = f"{counted(len(tree.groups) - len(kept), 'group')} not shown"
    return msgspec.structs.replace(tree, groups=tuple(kept), remarks=(*tree.remarks, left_out))


def _is_well(group: GroupNode) -> bool:
    return group.is_available and group.state == "Available" and group.ready_pods == group.pod_count
