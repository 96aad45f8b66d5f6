"""The tree as lines of text, whole or folded."""

from collections.abc import Iterator, Sequence
from datetime import datetime

from modelinfer_controller.kubectl.model.humanize import age, groups
from modelinfer_controller.kubectl.model.tree import MISSING, GroupNode, InstanceNode, PodNode, RoleNode, Tree
from modelinfer_controller.kubectl.render.columns import Cell, Column, table
from modelinfer_controller.kubectl.render.terminal import Terminal, Tone
from modelinfer_controller.kubectl.render.text import display_width
from modelinfer_controller.kubectl.render.tree_folding import Block, blocks_of, foldings

WIDE = 120  # from here on pods are shown by their whole names
NARROW = 60  # below it a level is indented by two columns
BUSY = (
    *("Replacing", "Removing", "Draining", "HandingOver", "WaitingForTermination"),
    *("CreatingPods", "PodsNotReady", "Scheduling"),
)


def tree_lines(tree: Tree, terminal: Terminal) -> list[str]:
    """Everything, with nothing folded."""
    return _drawn(tree, blocks_of(tree.groups), terminal)


def fitted_lines(tree: Tree, terminal: Terminal, room: int | None) -> list[str]:
    """At most `room` lines, where folding what is at rest and what is alike can do it; what moves is always shown."""
    lines = tree_lines(tree, terminal)
    if room is None or len(lines) <= room:
        return lines
    for blocks in foldings(tree.groups):
        lines = _drawn(tree, blocks, terminal)
        if len(lines) <= room:
            break
    return lines


def _drawn(tree: Tree, blocks: Sequence[Block], terminal: Terminal) -> list[str]:
    is_wide = terminal.width is None or terminal.width >= WIDE
    steps = ("├ ", "└ ", "│ ", "  ") if terminal.width is not None and terminal.width < NARROW else LEVEL
    rows = list(_Rows(tree, is_wide, steps).of(blocks))
    return [*_headline(tree, terminal), *(table(_columns(tree), rows, terminal) if rows else ())]


LEVEL = ("├─ ", "└─ ", "│  ", "   ")


def _headline(tree: Tree, terminal: Terminal) -> Iterator[str]:
    tone = Tone.GOOD if tree.available_groups >= tree.replicas else Tone.BAD
    count = f"{tree.available_groups} of {tree.replicas} groups available"
    name = f"{tree.namespace}/{tree.name}"
    if terminal.width is not None and display_width(name) + len(count) + 2 > terminal.width:
        yield terminal.paint(terminal.cut(name, terminal.width), Tone.STRONG)
        yield terminal.paint(count, tone)
    else:
        yield f"{terminal.paint(name, Tone.STRONG)}  {terminal.paint(count, tone)}"
    for text in _update_lines(tree):
        yield from (terminal.paint(terminal.draw(line), Tone.BUSY) for line in terminal.wrap(text))


def _update_lines(tree: Tree) -> Iterator[str]:
    update = _hash(tree.update_revision)
    at_update = f"{tree.updated_groups} of {tree.replicas}"
    if tree.is_rolling:
        yield f"rolling {_hash(tree.current_revision)} → {update}: {at_update} groups updated"
    elif tree.updated_groups < tree.replicas and tree.partition:
        yield f"{at_update} groups at {update}, partition {tree.partition} keeps the others"
    yield from tree.remarks


def _columns(tree: Tree) -> Sequence[Column]:
    return (
        Column("NAME", shortest=16),
        Column("READY", right=True, shortest=15),
        Column("STATUS", shortest=12, wraps=True),
        Column("REVISION", rank=2),
        Column("RESTARTS", rank=3, right=True),
        Column("AGE", rank=1, right=True),
        Column("NODE", rank=4),
        Column(tree.topology_key.rpartition("/")[2].upper(), rank=5),
        Column("GANG", rank=6),
    )


def _hash(revision: str) -> str:
    return revision.rpartition("-")[2]


Row = Sequence[Cell]


class _Rows:
    """steps: what stands before a branch, the last branch, and what is below each."""

    def __init__(self, tree: Tree, is_wide: bool, steps: tuple[str, str, str, str]) -> None:
        self._is_wide = is_wide
        self._now = tree.time
        self._branch, self._last, self._bar, self._space = steps

    def of(self, blocks: Sequence[Block]) -> Iterator[Row]:
        for at, block in enumerate(blocks):
            mark, below = self._step(at, len(blocks))
            yield _block_row(block, mark, self._now)
            if len(block.groups) == 1:
                yield from self._roles(block.groups[0], block, below)

    def _step(self, at: int, count: int) -> tuple[str, str]:
        return (self._last, self._space) if at == count - 1 else (self._branch, self._bar)

    def _roles(self, group: GroupNode, block: Block, prefix: str) -> Iterator[Row]:
        roles = block.roles
        for at, role in enumerate(roles):
            mark, below = self._step(at, len(roles))
            yield _role_row(role, prefix + mark)
            if role.name not in block.folded_roles:
                yield from self._instances(role, group, prefix + below)

    def _instances(self, role: RoleNode, group: GroupNode, prefix: str) -> Iterator[Row]:
        for at, instance in enumerate(role.instances):
            mark, below = self._step(at, len(role.instances))
            yield from self._pods(instance, group, prefix + mark, prefix + below)

    def _pods(self, instance: InstanceNode, group: GroupNode, mark: str, below: str) -> Iterator[Row]:
        """An instance of one pod is one line."""
        if len(instance.pods) == 1:
            pod = instance.pods[0]
            yield _pod_row(pod, group, f"{mark}{pod.name if self._is_wide else instance.id}", self._now)
            return
        ready = Cell(f"{instance.ready_pods}/{instance.pod_count}")
        yield (Cell(f"{mark}{instance.id}"), ready, *(Cell() for _ in range(7)))
        for at, pod in enumerate(instance.pods):
            short = "entry" if pod.worker_index == 0 else f"worker {pod.worker_index}"
            name = f"{below}{self._step(at, len(instance.pods))[0]}{pod.name if self._is_wide else short}"
            yield _pod_row(pod, group, name, self._now)


def _block_row(block: Block, mark: str, now: datetime) -> Row:
    first = block.groups[0]
    tone = Tone.GOOD if first.is_available else Tone.BAD
    if first.state in BUSY:
        tone = Tone.BUSY
    name = groups([group.ordinal for group in block.groups])
    surge = " (surge)" if first.is_surge else ""
    return (
        Cell(f"{mark}{name}{surge}", Tone.STRONG),
        Cell(f"{sum(g.ready_pods for g in block.groups)}/{sum(g.pod_count for g in block.groups)}"),
        Cell(first.state, tone),
        Cell(_hash(first.revision), Tone.PLAIN if first.is_updated else Tone.BUSY),
        _restarts(sum(group.restarts for group in block.groups)),
        Cell(age(min((g.created_at for g in block.groups if g.created_at is not None), default=None), now)),
        Cell(),
        Cell(first.domain if len(block.groups) == 1 else ""),
        Cell(_gangs(block)),
    )


def _gangs(block: Block) -> str:
    states = dict.fromkeys(group.gang.state for group in block.groups if group.gang is not None)
    return ", ".join(states)


def _role_row(role: RoleNode, mark: str) -> Row:
    needs = f"needs {role.minimum}" if role.minimum != role.replicas else ""
    is_short = role.ready_instances < role.minimum
    ready = Cell(f"{role.ready_instances}/{role.replicas}", Tone.BAD if is_short else Tone.PLAIN)
    return (Cell(f"{mark}{role.name}"), ready, Cell(needs, Tone.FAINT), *(Cell() for _ in range(6)))


def _pod_row(pod: PodNode, group: GroupNode, name: str, now: datetime) -> Row:
    return (
        Cell(name),
        Cell("1/1" if pod.is_ready else "0/1"),
        Cell(pod.status, _pod_tone(pod)),
        Cell(_hash(pod.revision) if pod.revision != group.revision else "", Tone.BUSY),
        _restarts(pod.restarts),
        Cell(age(pod.created_at, now)),
        Cell(pod.node),
        Cell(pod.domain),
        Cell(),
    )


def _pod_tone(pod: PodNode) -> Tone:
    if pod.is_ready:
        return Tone.GOOD
    return Tone.BUSY if pod.status in ("Pending", "NotReady", "Terminating", MISSING) else Tone.BAD


def _restarts(count: int) -> Cell:
    return Cell(str(count) if count else "", Tone.BUSY)
