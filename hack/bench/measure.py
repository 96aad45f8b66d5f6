"""One function for each row: the controller, and the bare loop beside it, each on a fresh control plane."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from statistics import median
from typing import Any

from bench.bare import apply_and_post, create_all, post_all, replace_group_by_group
from bench.plane import NAMESPACE, Plane, fresh_plane
from bench.process import Cost, running_controller
from bench.workload import Child, children_of, model_infer
from modelinfer_controller.api.status import ModelInfer
from modelinfer_controller.controller.resources import MODEL_INFERS
from modelinfer_controller.kube.resource import PODS

# In turns: other work on the machine slows one run or another, and the fastest is the least disturbed. The best of
# three still moved by a third from one measurement to the next.
REPEATS = 5
UPDATES = 3  # in a row: a 99th percentile needs more than 99 steps
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
    """So many ModelInfers of so many groups each, from apply to created and to ready; the best of REPEATS of each."""
    names = [f"m{number}" for number in range(objects)]
    pods = objects * groups * 2
    limits, ours = [], []
    details: dict[str, Any] = {}
    for _ in range(REPEATS):
        async with fresh_plane(nodes) as plane:
            limits.append(await _bare_creation(plane, names, groups, pods))
        async with (
            fresh_plane(nodes) as plane,
            running_controller(plane.control_plane.kubeconfig, plane.log) as process,
        ):
            await asyncio.sleep(WARM_UP)
            started = time.time()
            applying = asyncio.create_task(create_all(plane.client, NAMESPACE, _model_infers(names, groups)))
            ours.append(await _times(plane, started, pods))
            await applying
            await _until_available(plane, names, groups)
            details = {**_cost(process.cost()), "calls": dict(plane.calls_of_controller())}
    work = f"{objects} x ModelInfer (a revision) of {groups} x (Service + 2 pods)"
    limit, best = _best(limits), _best(ours)
    return [
        Row(f"{work}: created", best.created, limit.created, 1.3, details | _medians(ours, limits, "created")),
        Row(f"{work}: all ready", best.ready, limit.ready, 1.1, _medians(ours, limits, "ready")),
    ]


def _medians(ours: Sequence[Times], limits: Sequence[Times], until: str) -> dict[str, float]:
    our_median, limit_median = (median(getattr(one, until) for one in times) for times in (ours, limits))
    return {
        "median_ours_s": round(our_median, 2),
        "median_limit_s": round(limit_median, 2),
        "ratio_of_medians": round(our_median / limit_median, 2),
    }


def _best(times: Sequence[Times]) -> Times:
    return Times(min(one.created for one in times), min(one.ready for one in times))


async def _bare_creation(plane: Plane, names: Sequence[str], groups: int, pods: int) -> Times:
    await asyncio.sleep(WARM_UP)
    started = time.time()
    posting = asyncio.create_task(apply_and_post(plane.client, NAMESPACE, _model_infers(names, groups)))
    times = await _times(plane, started, pods)
    await posting
    return times


def _model_infers(names: Sequence[str], groups: int) -> list[dict[str, Any]]:
    return [model_infer(name, groups) for name in names]


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
    """All groups, one at a time, UPDATES times; and how soon the next group is taken down after one is available."""
    async with fresh_plane(nodes) as plane:
        limit = await _bare_updates(plane, groups)
    async with fresh_plane(nodes) as plane, running_controller(plane.control_plane.kubeconfig, plane.log) as process:
        await create_all(plane.client, NAMESPACE, [model_infer("m0", groups)])
        await plane.progress.until_ready(groups * 2)
        await _until_available(plane, ["m0"], groups)
        updates = [await _update(plane, groups, image=f"inference:{number + 2}") for number in range(UPDATES)]
        details = {**_cost(process.cost()), "calls": dict(plane.calls_of_controller())}
        steps = _step_latencies(plane, updates)
    work = f"rolling update of {groups} groups of 2, one at a time"
    details |= {"step_p50_ms": _percentile(steps, 0.5), "step_p99_ms": _percentile(steps, 0.99), "steps": len(steps)}
    return [Row(work, sum(update.seconds for update in updates) / UPDATES, limit, 1.3, details)]


@dataclass(frozen=True)
class Update:
    """One that is done: from the edit of the template until every group was ready, in wall-clock seconds."""

    started: float
    finished: float
    group_ready_at: Sequence[tuple[float, str]]

    @property
    def seconds(self) -> float:
        return self.finished - self.started


async def _update(plane: Plane, groups: int, image: str) -> Update:
    plane.progress.group_ready_at.clear()
    started = time.time()
    change = model_infer("m0", groups, image=image)["spec"]
    await plane.client.patch(MODEL_INFERS, NAMESPACE, "m0", {"spec": change})
    finished = await plane.progress.until(lambda: len(plane.progress.group_ready_at) >= groups)
    await _poll(
        plane, "m0", lambda stored: stored.status.updated_replicas == groups == stored.status.available_replicas
    )
    return Update(started, finished, tuple(plane.progress.group_ready_at))


async def _bare_updates(plane: Plane, groups: int) -> float:
    """Seconds for one update."""
    [stored] = await create_all(plane.client, NAMESPACE, [model_infer("m0", groups)])
    children = list(children_of(stored))
    await post_all(plane.client, NAMESPACE, children)
    await plane.progress.until_ready(groups * 2)
    by_group: dict[int, list[Child]] = {}
    for child in children:
        if child.resource is PODS and child.group is not None:
            by_group.setdefault(child.group, []).append(child)
    from_the_last = [by_group[group] for group in sorted(by_group, reverse=True)]
    started = time.time()
    for _ in range(UPDATES):
        await replace_group_by_group(plane.client, NAMESPACE, from_the_last, plane.progress)
    return (time.time() - started) / UPDATES


def _step_latencies(plane: Plane, updates: Sequence[Update]) -> list[float]:
    """Seconds from each group's becoming ready to the first delete of the next one's pods, as the server received it.

    Below 0 where the controller heard of it sooner than this process did.
    """
    deletes = [
        (datetime.fromisoformat(event.time).timestamp(), event.name)
        for event in plane.writes_of_controller()
        if (event.verb, event.resource) == ("delete", "pods")
    ]
    return sorted(latency for update in updates for latency in _steps_of(update, deletes))


def _steps_of(update: Update, deletes: Sequence[tuple[float, str]]) -> Iterator[float]:
    taken_down: dict[int, float] = {}
    for at, pod in sorted(deletes):
        if update.started <= at <= update.finished:
            taken_down.setdefault(_ordinal(pod), at)
    for at, group in update.group_ready_at:
        if (following := _ordinal(group) - 1) in taken_down:
            yield taken_down[following] - at


def _ordinal(name: str) -> int:
    """Of a group or a pod of it: m0-17, m0-17-decode-0-1."""
    return int(name.split("-")[1])


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
