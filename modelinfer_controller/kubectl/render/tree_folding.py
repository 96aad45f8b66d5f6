"""How a tree is folded to fit: first what is at rest, then what is alike. What moves is never left out."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from modelinfer_controller.kubectl.model.tree import GroupNode, RoleNode


@dataclass(frozen=True)
class Block:
    """One line of the tree and what stands below it: a group, or several that are alike."""

    groups: tuple[GroupNode, ...]
    roles: tuple[RoleNode, ...] = ()
    folded_roles: frozenset[str] = frozenset()


def blocks_of(groups: Sequence[GroupNode]) -> list[Block]:
    """Nothing folded."""
    return [Block((group,), group.roles) for group in groups]


def foldings(groups: Sequence[GroupNode]) -> Iterator[list[Block]]:
    """Ever shorter forms of the tree; each step folds no more than it must.

    Groups at rest one after the other, then runs of them in one line, then roles at rest within groups that move, then
    groups of the same state. Every group stays named.
    """
    blocks = blocks_of(groups)
    for at, group in enumerate(groups):
        if is_at_rest(group):
            blocks[at] = Block((group,))
            yield list(blocks)
    blocks = _merged(blocks, lambda block: _likeness(block.groups[0]) if is_at_rest(block.groups[0]) else None)
    yield blocks
    blocks = [replace(block, folded_roles=_roles_at_rest(block)) for block in blocks]
    yield blocks
    yield _with_examples(blocks)
    yield _merged([Block(block.groups) for block in blocks], lambda block: _likeness(block.groups[0]))


def is_at_rest(group: GroupNode) -> bool:
    return group.is_available and group.state == "Available" and group.ready_pods == group.pod_count


def _with_examples(blocks: Sequence[Block]) -> list[Block]:
    """The first group of each state whole, the others of that state in one line."""
    seen: set[object] = set()
    marked: list[tuple[Block, object]] = []
    for block in blocks:
        its = _likeness(block.groups[0])
        is_example = its not in seen and bool(block.roles)
        seen.add(its)
        marked.append((block, None) if is_example else (Block(block.groups), its))
    keys = {id(block): key for block, key in marked}
    return _merged([block for block, _ in marked], lambda block: keys[id(block)])


def _likeness(group: GroupNode) -> object:
    """What two groups share that stand in one line."""
    return (group.state, group.revision, group.is_surge)


def _merged(blocks: Sequence[Block], key: Callable[[Block], object]) -> list[Block]:
    """Blocks of the same key as one, in the place of the first; those whose key is None stay by themselves."""
    found: dict[object, Block] = {}
    for at, block in enumerate(blocks):
        its = key(block)
        name: object = ("alone", at) if its is None else its
        if name in found:
            found[name] = Block((*found[name].groups, *block.groups))
        else:
            found[name] = block
    return list(found.values())


def _roles_at_rest(block: Block) -> frozenset[str]:
    return frozenset(
        role.name
        for role in block.roles
        if role.ready_instances == role.replicas and all(instance.is_ready for instance in role.instances)
    )
