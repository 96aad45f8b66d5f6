"""The fleet: every ModelInfer in one line, the worst first."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import TypeVar

from modelinfer_controller.api import well_known
from modelinfer_controller.api.core import KubeObject, Node
from modelinfer_controller.api.names import ObjectName
from modelinfer_controller.api.status import ModelInfer
from modelinfer_controller.exits import Exit
from modelinfer_controller.kube.client import Client
from modelinfer_controller.kubectl.model.diagnostics import Diagnostics
from modelinfer_controller.kubectl.model.document import Document
from modelinfer_controller.kubectl.model.explanation import Explanation, explain, unavailable_since
from modelinfer_controller.kubectl.model.kubeconfig import failure
from modelinfer_controller.kubectl.model.remarks import remarks_of
from modelinfer_controller.kubectl.model.rollout_status import RolloutState, RolloutStatus, rollout_status
from modelinfer_controller.kubectl.model.snapshot import (
    Listed,
    Snapshot,
    list_model_infers,
    read_children,
    read_nodes,
    snapshot_of,
)

T = TypeVar("T", bound=KubeObject)


class FleetEntry(Document, frozen=True):
    """One ModelInfer of many.

    reason and message: of its first group that is not available, or of what else is the matter, "" where all is well;
    since: from when on. state: of its rollout. next: what the controller does next.
    """

    namespace: str
    name: str
    is_well: bool
    available_groups: int
    replicas: int
    ready_pods: int
    pod_count: int
    restarts: int
    state: RolloutState
    updated: int
    movable: int
    revision: str
    reason: str
    message: str
    since: datetime | None
    next: str
    created_at: datetime | None


class Fleet(Document, frozen=True):
    """items: the worst first."""

    time: datetime
    items: tuple[FleetEntry, ...]


def fleet_of(snapshots: Iterable[Snapshot], now: datetime) -> Fleet:
    return Fleet(now, tuple(sorted((entry_of(snapshot) for snapshot in snapshots), key=severity)))


def severity(entry: FleetEntry) -> tuple[object, ...]:
    """Sorts the worst first.

    Nothing available, then a rollout that has failed, then the share that is missing, then what is on its way, then by
    name.
    """
    share = entry.available_groups / entry.replicas if entry.replicas else 1.0
    has_failed = entry.state not in (RolloutState.COMPLETE, RolloutState.PROGRESSING)
    is_down = bool(entry.replicas) and not entry.available_groups
    return (entry.is_well, not is_down, not has_failed, share, entry.namespace, entry.name)


def entry_of(snapshot: Snapshot) -> FleetEntry:
    explanation, status, meta = explain(snapshot, Diagnostics()), rollout_status(snapshot), snapshot.stored.metadata
    reason, message, since = _matter(snapshot, explanation, status)
    return FleetEntry(
        namespace=meta.namespace,
        name=meta.name,
        is_well=explanation.is_well,
        available_groups=explanation.available_groups,
        replicas=explanation.replicas,
        ready_pods=sum(pod.is_ready for pod in snapshot.observed.pods),
        pod_count=len(snapshot.observed.pods),
        restarts=sum(pod.restart_count for pod in snapshot.observed.pods),
        state=status.state,
        updated=status.updated,
        movable=status.movable,
        revision=status.revision,
        reason=reason,
        message=message,
        since=since,
        next=_next(explanation),
        created_at=meta.creation_timestamp,
    )


def _matter(snapshot: Snapshot, explanation: Explanation, status: RolloutStatus) -> tuple[str, str, datetime | None]:
    """What is the matter, and since when; the condition tells how long it has been so that groups are missing."""
    if status.reason:
        reason, message, since = status.reason, status.message, status.since
    elif explanation.groups:
        reason, message, since = (
            explanation.groups[0].reason,
            explanation.groups[0].message,
            explanation.groups[0].since,
        )
    elif (remark := next(iter(remarks_of(snapshot)), None)) is not None:
        reason, message, since = remark.reason, remark.message, None
    else:
        return "", "", None
    return reason, message, (unavailable_since(snapshot) if explanation.groups else None) or since


def _next(explanation: Explanation) -> str:
    steps = [*(step for group in explanation.groups for step in group.next), *explanation.other_next]
    steps += [each.next for each in explanation.waiting if each.next.rule != "partition"]
    return steps[0].text if steps else ""


async def read_fleet(
    client: Client, namespace: str | None, names: Sequence[str], selector: str, now: datetime
) -> list[Snapshot]:
    """Of one namespace or, with None, of all. names: only these; raises Exit where one is not there."""
    found, listed, nodes = await asyncio.gather(
        list_model_infers(client, namespace, selector), read_children(client, namespace), read_nodes(client)
    )
    chosen = [one for one in found if not names or one.metadata.name in names]
    if missing := sorted(set(names) - {one.metadata.name for one in chosen}):
        raise failure(f'no ModelInfer "{missing[0]}" in namespace {namespace}')
    children = _by_owner(listed)
    return [
        snapshot
        for stored in chosen
        if (snapshot := _decoded(stored, children.get(stored.metadata.object_name, Listed()), listed, nodes, now))
    ]


def _decoded(
    stored: ModelInfer, own: Listed, listed: Listed, nodes: Mapping[str, Node], now: datetime
) -> Snapshot | None:
    """None for a spec that cannot be read at all, which its own verbs tell of."""
    try:
        return snapshot_of(stored, replace(own, gang_support=listed.gang_support, budgets=listed.budgets), nodes, now)
    except Exit:
        return None


def _by_owner(listed: Listed) -> Mapping[ObjectName, Listed]:
    """What there is by the ModelInfer that its label names."""
    names = {_owner(one) for kind in (listed.pods, listed.services, listed.revisions) for one in kind}
    pods, services = _grouped(listed.pods), _grouped(listed.services)
    revisions = _grouped(listed.revisions)
    groups = {scheduler: _grouped(each) for scheduler, each in (listed.pod_groups or {}).items()}
    names |= {name for each in groups.values() for name in each}
    return {
        name: Listed(
            pods=pods.get(name, ()),
            services=services.get(name, ()),
            revisions=revisions.get(name, ()),
            pod_groups={scheduler: each.get(name, ()) for scheduler, each in groups.items()},
        )
        for name in names
    }


def _grouped(objects: Iterable[T]) -> dict[ObjectName, list[T]]:
    found: dict[ObjectName, list[T]] = {}
    for one in objects:
        found.setdefault(_owner(one), []).append(one)
    return found


def _owner(one: KubeObject) -> ObjectName:
    return ObjectName(one.metadata.namespace, one.metadata.labels.get(well_known.NAME, ""))
