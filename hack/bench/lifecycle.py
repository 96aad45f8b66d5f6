"""A large fleet from its creation on: memory, rest, one pod's event, an edit, repairs, many pods lost, a restart."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import Any

from bench.bare import in_flight
from bench.creation import Fleet, bare_creation, cost_of, create, rows_of
from bench.plane import NAMESPACE, Plane, fresh_plane
from bench.process import ControllerProcess, running_controller
from bench.row import Row
from bench.waiting import until_available
from bench.workload import Child, children_of
from modelinfer_controller.controller.resources import MODEL_INFERS
from modelinfer_controller.kube.resource import PODS

EVENTS = 60
REST_SECONDS = 10.0
LOST_SHARE = 0.1


async def lifecycle(nodes: int, fleet: Fleet) -> list[Row]:
    """All lines of one size; the floor first, on a control plane of its own."""
    size = str(fleet)
    async with fresh_plane(nodes) as plane:
        floor = await bare_creation(plane, fleet)
        floor_lost = await _bare_loss(plane, fleet)
    async with fresh_plane(nodes) as plane:
        async with running_controller(plane.control_plane.kubeconfig, plane.log) as process:
            await asyncio.sleep(2.0)
            idle = process.cost()
            ours = await create(plane, fleet)
            await until_available(plane, fleet.names, fleet.groups)
            spent = process.cost()
            details = cost_of(process) | {"idle_mb": round(idle.mb, 1), "calls": dict(plane.calls_of_controller())}
            rows = [
                *rows_of(fleet, [ours], [floor], details),
                Row("processor time of the controller for it", size, "s", [spent.cpu_s - idle.cpu_s], aim=15.0),
                Row("memory over idle, peak", size, "MB", [spent.peak_mb - idle.mb], aim=60.0),
                *await _at_rest(plane, process, size),
                await _events(plane, process, fleet),
                await _edit(plane, process, fleet),
                await _repair(plane, fleet),
                Row("10 % of all pods deleted at once -> all ready", size, "s", [await _loss(plane, fleet)],
                    [floor_lost], aim_ratio=1.1),
            ]  # fmt: skip
        rows.append(await _restart(plane, fleet))
    return rows


async def _settle(plane: Plane, fleet: Fleet) -> None:
    await until_available(plane, fleet.names, fleet.groups)
    await asyncio.sleep(2.0)


async def _at_rest(plane: Plane, process: ControllerProcess, size: str) -> list[Row]:
    await asyncio.sleep(3.0)
    position, before = plane.control_plane.audit_position(), process.cost()
    await asyncio.sleep(REST_SECONDS)
    spent = process.cost().cpu_s - before.cpu_s
    writes = len(plane.writes_of_controller(position))
    return [
        Row("writes at rest", size, "writes", [writes], aim=0),
        Row("processor time at rest", size, "ms/s", [spent / REST_SECONDS * 1000]),
        Row("resident memory at rest", size, "MB", [process.cost().mb]),
    ]


async def _events(plane: Plane, process: ControllerProcess, fleet: Fleet) -> Row:
    """One annotation of a pod at a time: an event that is to be looked at and changes nothing."""

    async def annotate(number: int) -> None:
        name = f"m{number % fleet.objects}-{number % fleet.groups}-decode-0-0"
        await plane.client.patch(PODS, NAMESPACE, name, {"metadata": {"annotations": {"bench": str(number)}}})
        await asyncio.sleep(0.05)

    spent = await _spent(process, lambda: _one_by_one(annotate, EVENTS))
    return Row("one pod's event", str(fleet), "ms", [spent / EVENTS * 1000], aim=1.0 if fleet.groups <= 100 else 1.5)


async def _one_by_one(work: Callable[[int], Awaitable[None]], count: int) -> None:
    for number in range(count):
        await work(number)
    await asyncio.sleep(1.0)


async def _spent(process: ControllerProcess, work: Callable[[], Awaitable[None]]) -> float:
    """Seconds of the controller's processor."""
    before = process.cost().cpu_s
    await work()
    return process.cost().cpu_s - before


async def _edit(plane: Plane, process: ControllerProcess, fleet: Fleet) -> Row:
    position = plane.control_plane.audit_position()

    async def edit() -> None:
        await plane.client.patch(MODEL_INFERS, NAMESPACE, "m0", {"spec": {"recoveryPolicy": "InferGroupRecreate"}})
        await asyncio.sleep(5.0)

    spent = await _spent(process, edit)
    details = {"writes": len(plane.writes_of_controller(position))}
    return Row("an edit that restarts nothing", str(fleet), "ms", [spent * 1000], aim=100.0, details=details)


async def _repair(plane: Plane, fleet: Fleet) -> Row:
    """From the deletion of a pod until its group is whole again; kwok takes 100 ms for each deletion."""
    ours = []
    for number in range(5):
        await _settle(plane, fleet)
        names = [f"m{number % fleet.objects}-{number % fleet.groups}-decode-0-{k}" for k in range(2)]
        uids = {name: plane.progress.ready[name] for name in names}
        began = time.time()
        await plane.client.delete(PODS, NAMESPACE, names[1], uid=None)
        ours.append(await _until_new(plane, uids) - began)
    return Row("a deleted pod: instance whole again", str(fleet), "s", ours)


async def _until_new(plane: Plane, uids: dict[str, str]) -> float:
    return await plane.progress.until(lambda: _are_new(plane, uids))


def _are_new(plane: Plane, uids: dict[str, str]) -> bool:
    return all(plane.progress.ready.get(name, uid) != uid for name, uid in uids.items())


def _lost(fleet: Fleet) -> list[tuple[str, int]]:
    """Every tenth group of the fleet."""
    groups = [(name, group) for name in fleet.names for group in range(fleet.groups)]
    return groups[:: round(1 / LOST_SHARE)]


async def _loss(plane: Plane, fleet: Fleet) -> float:
    await _settle(plane, fleet)
    return await _delete(plane, fleet, _pods_of(_lost(fleet)))


def _pods_of(groups: Sequence[tuple[str, int]]) -> list[str]:
    return [f"{name}-{group}-decode-0-{k}" for name, group in groups for k in range(2)]


async def _delete(plane: Plane, fleet: Fleet, names: Sequence[str]) -> float:
    """Delete these, and see all pods ready again; seconds."""
    uids = {name: plane.progress.ready[name] for name in names}
    began = time.time()

    async def delete(name: str) -> None:
        await plane.client.delete(PODS, NAMESPACE, name, uid=None)

    await in_flight(delete, names)
    return await plane.progress.until(lambda: _are_new(plane, uids) and _is_whole(plane, fleet)) - began


def _is_whole(plane: Plane, fleet: Fleet) -> bool:
    return len(plane.progress.ready) == fleet.pods


async def _bare_loss(plane: Plane, fleet: Fleet) -> float:
    """The same by a loop that creates each pod anew as soon as it is gone."""
    names = _pods_of(_lost(fleet))
    bodies: dict[str, Child] = {}
    for name in dict.fromkeys(model for model, _ in _lost(fleet)):
        stored = await plane.client.get(MODEL_INFERS, NAMESPACE, name)
        bodies |= {child.name: child for child in children_of(stored) if child.resource is PODS}
    gone = plane.progress.gone_count

    async def refill() -> None:
        await plane.progress.until(lambda: plane.progress.gone_count >= gone + len(names))
        await in_flight(lambda name: plane.client.create(PODS, NAMESPACE, bodies[name].body), names)

    refilling = asyncio.create_task(refill())
    seconds = await _delete(plane, fleet, names)
    await refilling
    return seconds


async def _restart(plane: Plane, fleet: Fleet) -> Row:
    """With everything as specified but one pod, which went while nobody looked: when its repair is sent."""
    await plane.client.delete(PODS, NAMESPACE, "m0-0-decode-0-0", uid=None)
    await plane.progress.until(lambda: "m0-0-decode-0-0" not in plane.progress.ready)
    await asyncio.sleep(1.0)
    position, began = plane.control_plane.audit_position(), time.time()
    log = plane.log.with_suffix(".restarted")
    async with running_controller(plane.control_plane.kubeconfig, log) as process:
        await plane.progress.until(lambda: len(plane.progress.ready) == fleet.pods)
        await asyncio.sleep(3.0)
        details: dict[str, Any] = cost_of(process)
    writes = [event for event in plane.writes_of_controller(position) if event.resource not in _QUESTIONS]
    first = datetime.fromisoformat(writes[0].time).timestamp() - began
    details["writes"] = len(writes)
    return Row("restart -> first repair sent", str(fleet), "s", [first], aim=2.0, details=details)


_QUESTIONS = ("selfsubjectaccessreviews", "events")
