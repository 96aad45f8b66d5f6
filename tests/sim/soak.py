"""Hours of virtual time in which ModelInfers come and go: memory, series and tasks are those of the beginning.

`make soak`, or python -m sim.soak --hours 24 --models 1000. With --real: real time, on a real control plane.
"""

import argparse
import asyncio
import gc
import logging
import random
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import structlog

from modelinfer_controller.app.telemetry import Telemetry
from modelinfer_controller.controller.resources import MODEL_INFERS
from modelinfer_controller.controller.wiring import Components, wire
from modelinfer_controller.kube.client import Client
from modelinfer_controller.kube.errors import NotFound
from modelinfer_controller.kube.resource import PODS
from modelinfer_controller.simulator.control_plane import SimulatedControlPlane
from modelinfer_controller.simulator.virtual_time import run
from sim.world import API_VERSION, CRD, a_role, a_spec, behaviour_of_image

NAMESPACE = "default"
EMPTY_FOR = 1200.0  # seconds without a ModelInfer before each look: longer than anything is kept for a while
TASKS_AT_WORK = 2
HISTORY = 60  # changes of each kind that the simulated server keeps: soon full, and from then on no growth


@dataclass(frozen=True)
class Look:
    """What there is while there is no ModelInfer.

    blocks: of memory, of the whole process, the simulation too; objects: instances of the controller's own types, and
    what its caches hold.
    """

    hour: float
    lived: int
    blocks: int
    objects: int
    series: int
    tasks: int

    def __str__(self) -> str:
        return (
            f"after {self.hour:4.1f} h and {self.lived} ModelInfers: {self.blocks} blocks of memory, "
            f"{self.objects} objects, {self.series} series, {self.tasks} tasks"
        )


@dataclass
class Soak:
    """hours of virtual time, models over all of it, with so many looks at what is left, evenly spread."""

    hours: float
    models: int
    looks: int = 6
    seed: int = 0
    seen: list[Look] = field(default_factory=list)

    async def play(self) -> list[Look]:
        cluster = SimulatedControlPlane(
            self.seed, nodes=3, definitions=[CRD], script=behaviour_of_image, history_limit=HISTORY
        )
        cluster.gc.latency = 0.2
        self._random = random.Random(self.seed)
        async with cluster, _controller(cluster) as (telemetry, components):
            self._client = cluster.client("user")
            await self._wave(0, self.models // self.looks)  # what is kept for good from the first on is no growth
            for number in range(1, self.looks):
                await self._wave(number, self.models // self.looks)
                self.seen.append(await self._look(cluster, telemetry, components, number))
        return self.seen

    async def _wave(self, number: int, models: int) -> None:
        """So many come and go within a share of the time."""
        span = self.hours * 3600 / self.looks - EMPTY_FOR - 600
        async with asyncio.TaskGroup() as lives:
            for index in range(models):
                begins = self._random.uniform(0, max(0.0, span - 900))
                lives.create_task(self._life(f"m{number}-{index}", begins), name=f"life of m{number}-{index}")
        await asyncio.sleep(EMPTY_FOR)

    async def _life(self, name: str, begins: float) -> None:
        """It is created, scaled, updated, loses a pod, and is deleted; each after minutes."""
        await asyncio.sleep(begins)
        body: dict[str, Any] = {"apiVersion": API_VERSION, "kind": "ModelInfer", "metadata": {"name": name}}
        await self._client.create(MODEL_INFERS, NAMESPACE, {**body, "spec": a_spec(2, a_role("decode", 1, workers=1))})
        for change in self._random.sample((self._scale, self._update, self._lose), 2):
            await asyncio.sleep(self._random.uniform(5, 300))
            await change(name)
        await asyncio.sleep(self._random.uniform(5, 300))
        await self._client.delete(MODEL_INFERS, NAMESPACE, name, uid=None)

    async def _scale(self, name: str) -> None:
        await self._client.patch(MODEL_INFERS, NAMESPACE, name, {"spec": {"replicas": self._random.randint(0, 4)}})

    async def _update(self, name: str) -> None:
        image = self._random.choice(("good:2", "good:3", "never:1", "crash:1"))
        spec = a_spec(2, a_role("decode", 1, workers=1, image=image))
        await self._client.patch(MODEL_INFERS, NAMESPACE, name, {"spec": {"template": spec["template"]}})

    async def _lose(self, name: str) -> None:
        try:
            await self._client.delete(PODS, NAMESPACE, f"{name}-0-decode-0-1", uid=None)
        except NotFound:
            return

    async def _look(
        self, cluster: SimulatedControlPlane, telemetry: Telemetry, components: Components, number: int
    ) -> Look:
        cluster.api.audit.clear()
        gc.collect()
        telemetry.metrics.refresh()
        series = sum(len(family.samples) for family in telemetry.metrics.registry.collect())
        caches = components.caches
        owned = (caches.pods, caches.services, caches.revisions)
        cached = len(caches.model_infers.store) + sum(len(one.informer.store) for one in owned)
        hour = asyncio.get_running_loop().time() / 3600
        lived = (number + 1) * (self.models // self.looks)
        return Look(hour, lived, sys.getallocatedblocks(), _own_objects() + cached, series, len(asyncio.all_tasks()))


def _own_objects() -> int:
    modules = (str(type(one).__module__) for one in gc.get_objects())
    return sum(name.startswith("modelinfer_controller") and "simulator" not in name for name in modules)


def faults_of(looks: Sequence[Look], *, share: float = 0.02) -> list[str]:
    """What grew between the first look and the last, by more than that share of it.

    Series not at all; tasks by no more than may be at work at any moment.
    """
    first, last = looks[0], looks[-1]
    found = []
    for name in ("blocks", "objects"):
        before, now = getattr(first, name), getattr(last, name)
        if now > before * (1 + share):
            found.append(f"{name} grew from {before} to {now}")
    if last.series > first.series:
        found.append(f"series grew from {first.series} to {last.series}")
    if last.tasks > first.tasks + TASKS_AT_WORK:
        found.append(f"tasks grew from {first.tasks} to {last.tasks}")
    return found


@asynccontextmanager
async def _controller(cluster: SimulatedControlPlane) -> AsyncIterator[tuple[Telemetry, Components]]:
    """The controller with all of its metrics. Raises what it ended with."""
    telemetry = Telemetry(server="https://simulated", workers=16)
    client = Client(cluster.transport("controller"), on_request=telemetry.requests)
    components = wire(
        client,
        _Silence(),
        clock=cluster.clock,
        random=random.Random(0),
        workers=16,
        observers=telemetry.observers,
    )
    telemetry.watch(components)
    caches = asyncio.create_task(components.run_caches(), name="caches")
    await components.caches.wait_for_sync()
    workers = asyncio.create_task(components.run_workers(), name="workers")
    try:
        yield telemetry, components
    finally:
        for task in (workers, caches):
            task.cancel()
        ended = await asyncio.gather(workers, caches, return_exceptions=True)
    for one in ended:
        if isinstance(one, Exception):
            raise one


class _Silence:
    """An EventSink that tells nobody."""

    def record(self, stored: object, type_: str, reason: str, message: str) -> None: ...


def main() -> int:
    arguments = _arguments()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    if arguments.real:
        from chaos.soak import soak

        return soak(arguments.hours or 1.0, arguments.seed)
    began = time.monotonic()
    soak_ = Soak(arguments.hours or 24.0, arguments.models, seed=arguments.seed)
    looks = run(soak_.play())
    for look in looks:
        print(look)
    found = faults_of(looks)
    print("; ".join(found) or f"flat; {soak_.hours:g} h in {time.monotonic() - began:.0f} s, seed {arguments.seed}")
    return 1 if found else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make soak ARGS=", description=__doc__)
    parser.add_argument(
        "--hours", type=float, help="of virtual time (default 24), of real time with --real (default 1)"
    )
    parser.add_argument("--models", type=int, default=1000, help="ModelInfers over all of it (default 1000)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--real", action="store_true", help="on a real control plane, in real time")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
