"""The fleet as a table, the worst first."""

from collections.abc import Iterator

from modelinfer_controller.kubectl.model.fleet import Fleet, FleetEntry
from modelinfer_controller.kubectl.model.humanize import age, counted
from modelinfer_controller.kubectl.model.rollout_status import RolloutState
from modelinfer_controller.kubectl.render.columns import Cell, Column, table
from modelinfer_controller.kubectl.render.terminal import Terminal, Tone

NARROW = 60


def fleet_lines(fleet: Fleet, terminal: Terminal, *, has_namespaces: bool) -> list[str]:
    if not fleet.items:
        if has_namespaces:
            return ["there are no ModelInfers"]
        return terminal.wrap("this namespace has no such ModelInfers: `kubectl modelinfer list -A` shows those of all")
    columns = (
        Column("NAMESPACE" if has_namespaces else "", shortest=6) if has_namespaces else Column("", rank=9),
        Column("NAME", shortest=8),
        Column("READY", right=True, shortest=15),
        Column("ROLLOUT", rank=2),
        Column("REASON", shortest=12, wraps=True),
        Column("SINCE", rank=1, right=True),
        Column("NEXT", rank=3, wraps=True, shortest=20),
        Column("AGE", rank=4, right=True),
    )  # fmt: skip
    rows = [
        (
            Cell(entry.namespace if has_namespaces else ""),
            Cell(entry.name, Tone.STRONG),
            Cell(f"{entry.available_groups}/{entry.replicas}", _tone(entry)),
            Cell(rollout_text(entry)),
            Cell(entry.reason or ("" if entry.is_well else entry.state), _tone(entry)),
            Cell(age(entry.since, fleet.time)),
            Cell(entry.next),
            Cell(age(entry.created_at, fleet.time)),
        )
        for entry in fleet.items
    ]
    return table(columns, rows, terminal)


def top_lines(fleet: Fleet, terminal: Terminal, *, has_namespaces: bool) -> list[str]:
    """The sums of the fleet above its table."""
    return [*_sums(fleet, terminal), "", *fleet_lines(fleet, terminal, has_namespaces=has_namespaces)]


def _sums(fleet: Fleet, terminal: Terminal) -> Iterator[str]:
    items = fleet.items
    well = sum(entry.is_well for entry in items)
    text = (
        f"{counted(len(items), 'ModelInfer')}, {len(items) - well} not well; "
        f"{sum(e.available_groups for e in items)} of {sum(e.replicas for e in items)} groups available; "
        f"{sum(e.ready_pods for e in items)} of {sum(e.pod_count for e in items)} pods ready; "
        f"{counted(sum(e.state is RolloutState.PROGRESSING for e in items), 'rollout')} under way"
    )
    tone = Tone.GOOD if well == len(items) else Tone.BAD
    yield from (terminal.paint(line, tone) for line in terminal.wrap(text))


def rollout_text(entry: FleetEntry) -> str:
    if entry.state is RolloutState.COMPLETE:
        return ""
    return f"{entry.state} {entry.updated}/{entry.movable}"


def _tone(entry: FleetEntry) -> Tone:
    if entry.is_well:
        return Tone.GOOD
    is_moving = entry.available_groups >= entry.replicas or entry.state is RolloutState.PROGRESSING
    return Tone.BUSY if is_moving and entry.available_groups else Tone.BAD
