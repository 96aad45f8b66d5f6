"""The controller as a process that can be killed between any two of its calls and started again."""

import asyncio
import random
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from modelinfer_controller.api.status import ModelInfer
from modelinfer_controller.controller.wiring import Components, wire
from modelinfer_controller.kube.client import Client
from modelinfer_controller.kube.clock import Clock
from modelinfer_controller.kube.transport import Transport
from modelinfer_controller.simulator.faults.crash_points import CrashingTransport


@dataclass(frozen=True)
class Told:
    """An Event about a ModelInfer."""

    type: str
    reason: str
    message: str


MOST_AT_ONCE = 2000  # questions for the processor time in one instant: two for each decision


class ControllerProcess:
    """Nothing survives a kill but what is in the cluster. `connect` makes a new way to the server for each life."""

    def __init__(
        self, connect: Callable[[], Transport], clock: Clock, seed: int, *, decision_time: float = 0.0
    ) -> None:
        """decision_time: the seconds of processor that each decision is said to take."""
        self._connect = connect
        self._clock = clock
        self._seed = seed
        self._decision_time = decision_time
        self._processor_time = 0.0
        self._asked, self._asked_at = 0, -1.0
        self._life: asyncio.Task[None] | None = None
        self._transport: CrashingTransport | None = None
        self.told: list[Told] = []
        self.starts = 0
        self.died: list[BaseException] = []

    @property
    def is_running(self) -> bool:
        return self._life is not None

    @property
    def call_count(self) -> int:
        """Calls of this life."""
        return self._transport.call_count if self._transport is not None else 0

    def record(self, stored: ModelInfer, type_: str, reason: str, message: str) -> None:
        """EventSink."""
        self.told.append(Told(type_, reason, message))

    def start(self) -> None:
        if self._life is not None:
            return
        self.starts += 1
        transport = self._transport = CrashingTransport(self._connect())
        self._life = asyncio.create_task(self._live(transport), name="controller")

    async def kill(self) -> None:
        """At once, without a word to anybody."""
        life, self._life = self._life, None
        if life is None:
            return
        life.cancel()
        with suppress(asyncio.CancelledError):
            await life

    def crash_after(self, calls: int, *, is_committed: bool) -> None:
        """So many calls from now the process dies, before or after that call is carried out; it is started again."""
        if self._transport is not None:
            self._transport.crash_after(calls, is_committed=is_committed)

    async def _live(self, transport: CrashingTransport) -> None:
        """One life after the other until killed; each ends at its crash point."""
        while True:
            parts = asyncio.create_task(self._run(transport), name="controller-parts")
            crash = asyncio.create_task(transport.crashed.wait(), name="controller-crash")
            try:
                await asyncio.wait((parts, crash), return_when=asyncio.FIRST_COMPLETED)
            finally:
                for task in (parts, crash):
                    task.cancel()
                await asyncio.gather(parts, crash, return_exceptions=True)
            if parts.done() and not parts.cancelled() and (error := parts.exception()) is not None:
                self.died.append(error)
                return
            self.starts += 1
            transport = self._transport = CrashingTransport(self._connect())

    def _spent(self) -> float:
        """Asked before and after each decision. Ends a process that decides again and again while no time passes."""
        now = asyncio.get_running_loop().time()
        self._asked = self._asked + 1 if now == self._asked_at else 0
        self._asked_at = now
        if self._asked == MOST_AT_ONCE:
            self.died.append(AssertionError(f"it spins: {MOST_AT_ONCE // 2} decisions at {now:.3f} s"))
            if self._life is not None:
                self._life.cancel()
        self._processor_time += self._decision_time
        return self._processor_time

    async def _run(self, transport: Transport) -> None:
        components = wire(
            Client(transport),
            self,
            clock=self._clock,
            random=random.Random(f"{self._seed}-{self.starts}"),
            processor_time=self._spent,
        )
        async with asyncio.TaskGroup() as parts:
            parts.create_task(components.run_caches(), name="controller-caches")
            parts.create_task(_work(components), name="controller-workers")


async def _work(components: Components) -> None:
    await components.caches.wait_for_sync()
    await components.run_workers()
