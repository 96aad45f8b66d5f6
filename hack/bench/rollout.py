"""A rolling update of all groups, one at a time, beside a bare loop that deletes, sees gone, creates, sees ready."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from bench.bare import create_all, post_all, replace_group_by_group
from bench.creation import cost_of
from bench.plane import NAMESPACE, Plane, fresh_plane
from bench.process import running_controller
from bench.row import Row
from bench.waiting import until_available, until_stored
from bench.workload import Child, children_of, model_infer
from modelinfer_controller.controller.resources import MODEL_INFERS
from modelinfer_controller.kube.resource import PODS

UPDATES = 3  # in a row: a 99th percentile needs more than 99 steps


async def rolling_update(nodes: int, groups: int) -> list[Row]:
    """All groups, one at a time, UPDATES times; and how soon the next group is taken down after one is available."""
    async with fresh_plane(nodes) as plane:
        floor = await _bare_updates(plane, groups)
    async with fresh_plane(nodes) as plane, running_controller(plane.control_plane.kubeconfig, plane.log) as process:
        await create_all(plane.client, NAMESPACE, [model_infer("m0", groups)])
        await plane.progress.until_ready(groups * 2)
        await until_available(plane, ["m0"], groups)
        updates = [await _update(plane, groups, image=f"inference:{number + 2}") for number in range(UPDATES)]
        details = {**cost_of(process), "calls": dict(plane.calls_of_controller())}
        steps = _step_latencies(plane, updates)
    size = f"{groups} groups of 2"
    ours = [update.seconds for update in updates]
    half, most = (_percentile(steps, share) for share in (0.5, 0.99))
    return [
        Row("rolling update, one group at a time", size, "s", ours, [floor], aim_ratio=1.1, details=details),
        Row("a step of it, p50", size, "ms", [half]),
        Row("a step of it, p99", size, "ms", [most], aim=30.0, details={"steps": len(steps)}),
    ]


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
    await until_stored(
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
