"""The tree as lines of text."""

from collections.abc import Iterator, Sequence
from datetime import datetime

from modelinfer_controller.kubectl.model.humanize import age
from modelinfer_controller.kubectl.model.tree import MISSING, GroupNode, InstanceNode, PodNode, RoleNode, Tree
from modelinfer_controller.kubectl.render.columns import Cell, Column, table
from modelinfer_controller.kubectl.render.terminal import Terminal, Tone

WIDE = 120  # from here on pods are shown by their whole names


def tree_lines(tree: Tree, terminal: Terminal) -> list[str]:
    rows = list(_rows(tree, terminal.width is None or terminal.width >= WIDE))
    return [*_headline(tree, terminal), *table(_columns(tree), rows, terminal)]


def _headline(tree: Tree, terminal: Terminal) -> Iterator[str]:
    tone = Tone.GOOD if tree.available_groups >= tree.replicas else Tone.BAD
    count = f"{tree.available_groups} of {tree.replicas} groups available"
    yield f"{terminal.paint(f'{tree.namespace}/{tree.name}', Tone.STRONG)}  {terminal.paint(count, tone)}"
    update = tree.update_revision
    at_update = f"{tree.updated_groups} of {tree.replicas}"
    if tree.is_rolling:
        text = f"rolling {_hash(tree.current_revision)} → {_hash(update)}: {at_update} groups updated"
        yield terminal.paint(terminal.draw(text), Tone.BUSY)
    elif tree.updated_groups < tree.replicas:
        held = f"{at_update} groups at {_hash(update)}, the others held by partition {tree.partition}"
        yield terminal.paint(held, Tone.BUSY)


def _columns(tree: Tree) -> Sequence[Column]:
    return (
        Column("NAME", shortest=20),
        Column("READY", right=True),
        Column("STATUS", shortest=10),
        Column("REVISION", rank=2),
        Column("RESTARTS", rank=3, right=True),
        Column("AGE", rank=1, right=True),
        Column("NODE", rank=4),
        Column(tree.topology_key.rpartition("/")[2].upper(), rank=5),
        Column("GANG", rank=6),
    )


def _hash(revision: str) -> str:
    return revision.rpartition("-")[2]


def _rows(tree: Tree, is_wide: bool) -> Iterator[Sequence[Cell]]:
    for at, group in enumerate(tree.groups):
        bar, below = _branch(at, len(tree.groups))
        yield _group_row(group, bar, tree.time)
        for role_at, role in enumerate(group.roles):
            role_bar, role_below = _branch(role_at, len(group.roles))
            yield _role_row(role, below + role_bar)
            for instance_at, instance in enumerate(role.instances):
                instance_bar, instance_below = _branch(instance_at, len(role.instances))
                prefix = below + role_below
                yield from _instance_rows(
                    instance, group, prefix + instance_bar, prefix + instance_below, is_wide, tree.time
                )


def _branch(at: int, count: int) -> tuple[str, str]:
    return ("└─ ", "   ") if at == count - 1 else ("├─ ", "│  ")


def _group_row(group: GroupNode, bar: str, now: datetime) -> Sequence[Cell]:
    tone = Tone.GOOD if group.is_available else Tone.BAD
    if group.state in ("Replacing", "Removing", "WaitingForTermination", "CreatingPods", "PodsNotReady", "Scheduling"):
        tone = Tone.BUSY
    surge = " (surge)" if group.is_surge else ""
    return (
        Cell(f"{bar}group {group.ordinal}{surge}", Tone.STRONG),
        Cell(f"{group.ready_pods}/{group.pod_count}"),
        Cell(group.state, tone),
        Cell(_hash(group.revision), Tone.PLAIN if group.is_updated else Tone.BUSY),
        _restarts(group.restarts),
        Cell(age(group.created_at, now)),
        Cell(),
        Cell(group.domain),
        Cell(group.gang.state if group.gang is not None else ""),
    )


def _role_row(role: RoleNode, bar: str) -> Sequence[Cell]:
    needs = f"needs {role.minimum}" if role.minimum != role.replicas else ""
    is_short = role.ready_instances < role.minimum
    ready = Cell(f"{role.ready_instances}/{role.replicas}", Tone.BAD if is_short else Tone.PLAIN)
    return (Cell(f"{bar}{role.name}"), ready, Cell(needs, Tone.FAINT), *(Cell() for _ in range(6)))


def _instance_rows(
    instance: InstanceNode, group: GroupNode, bar: str, below: str, is_wide: bool, now: datetime
) -> Iterator[Sequence[Cell]]:
    """An instance of one pod is one line."""
    if len(instance.pods) == 1:
        pod = instance.pods[0]
        yield _pod_row(pod, group, f"{bar}{pod.name if is_wide else instance.id}", now)
        return
    ready = Cell(f"{instance.ready_pods}/{instance.pod_count}")
    yield (Cell(f"{bar}{instance.id}"), ready, *(Cell() for _ in range(7)))
    for at, pod in enumerate(instance.pods):
        short = "entry" if pod.worker_index == 0 else f"worker {pod.worker_index}"
        yield _pod_row(pod, group, f"{below}{_branch(at, len(instance.pods))[0]}{pod.name if is_wide else short}", now)


def _pod_row(pod: PodNode, group: GroupNode, name: str, now: datetime) -> Sequence[Cell]:
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
