"""One function for each row: the controller, and the bare loop beside it, each on a fresh control plane."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any

from bench.bare import post_all, replace_group_by_group
from bench.plane import NAMESPACE, Plane, fresh_plane
from bench.process import Cost, running_controller
from bench.workload import Child, children_of, model_infer
from modelinfer_controller.api.status import ModelInfer
from modelinfer_controller.controller.kinds import MODEL_INFERS
from modelinfer_controller.kube.resource import PODS

WARM_UP = 2.0  # seconds for the controller's start and the API server's own settling


@dataclass(frozen=True)
class Row:
    """ours_s and limit_s are seconds of wall time, ratio is ours over the limit, aim what it should not exceed."""

    work: str
    ours_s: float
    limit_s: float
    aim: float | None = None
    details: dict[str, Any] = field(default_factory=dict)

    @property
    def ratio(self) -> float:
        return self.ours_s / self.limit_s

    def as_json(self) -> dict[str, Any]:
        return {**asdict(self), "ratio": self.ratio}


@dataclass(frozen=True)
class Times:
    """Seconds from the start until every pod was created, and until every pod was ready."""

    created: float
    ready: float


async def creation(nodes: int, objects: int, groups: int) -> list[Row]:
    """So many ModelInfers of so many groups each, from apply to created and to ready."""
    names = [f"m{number}" for number in range(objects)]
    pods = objects * groups * 2
    async with fresh_plane(nodes) as plane:
        limit = await _bare_creation(plane, names, groups, pods)
    async with fresh_plane(nodes) as plane, running_controller(plane.control_plane.kubeconfig, plane.log) as process:
        await asyncio.sleep(WARM_UP)
        started = time.time()
        await _apply(plane, names, groups)
        times = await _times(plane, started, pods)
        await _until_available(plane, names, groups)
        details = {**_cost(process.cost()), "calls": dict(plane.calls_of_controller())}
    work = f"{objects} x ModelInfer of {groups} x (Service + 2 pods)"
    return [
        Row(f"{work}: created", times.created, limit.created, 1.3, details),
        Row(f"{work}: all ready", times.ready, limit.ready, 1.1),
    ]


async def _bare_creation(plane: Plane, names: Sequence[str], groups: int, pods: int) -> Times:
    stored = await _apply(plane, names, groups)
    children = [child for model in stored for child in children_of(model)]
    await asyncio.sleep(WARM_UP)
    started = time.time()
    posting = asyncio.create_task(post_all(plane.client, NAMESPACE, children))
    times = await _times(plane, started, pods)
    await posting
    return times


async def _apply(plane: Plane, names: Sequence[str], groups: int) -> list[ModelInfer]:
    stored = []
    for name in names:
        stored.append(await plane.client.create(MODEL_INFERS, NAMESPACE, model_infer(name, groups)))
    return stored


async def _times(plane: Plane, started: float, pods: int) -> Times:
    created = await plane.progress.until(lambda: len(plane.progress.seen) >= pods)
    ready = await plane.progress.until_ready(pods)
    return Times(created - started, ready - started)


async def _until_available(plane: Plane, names: Sequence[str], groups: int) -> None:
    """Until the status says so too: what it costs to tell belongs to the bill."""
    for name in names:
        await _poll(plane, name, lambda stored: stored.status.available_replicas == groups)


async def _poll(plane: Plane, name: str, holds: Callable[[ModelInfer], bool]) -> None:
    async with asyncio.timeout(300):
        while not holds(await plane.client.get(MODEL_INFERS, NAMESPACE, name)):  # noqa: ASYNC110 -- the server's state
            await asyncio.sleep(0.1)


def _cost(cost: Cost) -> dict[str, float]:
    return {"cpu_s": round(cost.cpu_s, 2), "peak_mb": round(cost.peak_mb, 1)}


async def rolling_update(nodes: int, groups: int) -> list[Row]:
    """All groups, one at a time; and how soon the next group is taken down after one is available."""
    async with fresh_plane(nodes) as plane:
        limit = await _bare_update(plane, groups)
    async with fresh_plane(nodes) as plane, running_controller(plane.control_plane.kubeconfig, plane.log) as process:
        await _apply(plane, ["m0"], groups)
        await plane.progress.until_ready(groups * 2)
        await _until_available(plane, ["m0"], groups)
        plane.progress.group_ready_at.clear()
        started = time.time()
        change = model_infer("m0", groups, image="inference:2")["spec"]
        await plane.client.patch(MODEL_INFERS, NAMESPACE, "m0", {"spec": change})
        finished = await plane.progress.until(lambda: len(plane.progress.group_ready_at) >= groups)
        await _poll(plane, "m0", lambda stored: stored.status.updated_replicas == groups)
        details = {**_cost(process.cost()), "calls": dict(plane.calls_of_controller())}
        steps = _step_latencies(plane, started)
    work = f"rolling update of {groups} groups of 2, one at a time"
    details |= {"step_p50_ms": _percentile(steps, 0.5), "step_p99_ms": _percentile(steps, 0.99)}
    return [Row(work, finished - started, limit, 1.3, details)]


async def _bare_update(plane: Plane, groups: int) -> float:
    stored = await _apply(plane, ["m0"], groups)
    children = list(children_of(stored[0]))
    await post_all(plane.client, NAMESPACE, children)
    await plane.progress.until_ready(groups * 2)
    by_group: dict[int, list[Child]] = {}
    for child in children:
        if child.resource is PODS:
            by_group.setdefault(child.group, []).append(child)
    started = time.time()
    await replace_group_by_group(
        plane.client, NAMESPACE, [by_group[g] for g in sorted(by_group, reverse=True)], plane.progress
    )
    return time.time() - started


def _step_latencies(plane: Plane, started: float) -> list[float]:
    """Seconds from each group's becoming ready to the controller's next delete of a pod, as the server received it."""
    deletes = sorted(
        at
        for event in plane.writes_of_controller()
        if (event.verb, event.resource) == ("delete", "pods")
        and (at := datetime.fromisoformat(event.time).timestamp()) >= started
    )
    ready = sorted(at for at, _ in plane.progress.group_ready_at)
    following = ((at, next((delete for delete in deletes if delete > at), None)) for at in ready[:-1])
    return sorted(delete - at for at, delete in following if delete is not None)


def _percentile(values: Sequence[float], share: float) -> float:
    """In milliseconds; of sorted values."""
    return round(values[min(len(values) - 1, int(share * len(values)))] * 1000, 1)


Measurement = Callable[[int, float], Awaitable[list[Row]]]

# scale 1 is what the aims are stated for; less is for a quick look.
MEASUREMENTS: dict[str, Measurement] = {
    "one": lambda nodes, scale: creation(nodes, objects=1, groups=round(500 * scale)),
    "many": lambda nodes, scale: creation(nodes, objects=round(500 * scale), groups=1),
    "rollout": lambda nodes, scale: rolling_update(nodes, groups=round(100 * scale)),
}
