"""A controller as its users run it: a process of its own, with what it costs."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

START_TIMEOUT = 60.0
TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
COMMAND = Path(sys.executable).with_name("modelinfer-controller")


@dataclass(frozen=True)
class Cost:
    """cpu_s: user and system seconds since the start; peak_mb, mb: the resident set, the largest and now, in MiB."""

    cpu_s: float
    peak_mb: float
    mb: float


@dataclass(frozen=True)
class ControllerProcess:
    pid: int

    def cost(self) -> Cost:
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        status = dict(line.split(":", 1) for line in Path(f"/proc/{self.pid}/status").read_text().splitlines())
        peak, now = (int(status[name].split()[0]) / 1024 for name in ("VmHWM", "VmRSS"))
        return Cost((int(fields[11]) + int(fields[12])) / TICKS_PER_SECOND, peak, now)


@asynccontextmanager
async def running(command: Sequence[str], log: Path, ready: bytes = b"") -> AsyncIterator[ControllerProcess]:
    """The process, once its log holds `ready`, for as long as the context is open. It may be killed meanwhile."""
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(*command, stdout=output, stderr=output)
    try:
        async with asyncio.timeout(START_TIMEOUT):
            while ready not in log.read_bytes():  # noqa: ASYNC110, ASYNC240 # another process writes it
                await asyncio.sleep(0.02)
        yield ControllerProcess(process.pid)
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


@asynccontextmanager
async def running_controller(
    kubeconfig: Path, log: Path, *options: str, ready: bytes = b"Workers started"
) -> AsyncIterator[ControllerProcess]:
    """`modelinfer-controller run` against the cluster, its workers started, for as long as the context is open."""
    command = [str(COMMAND), "run", f"--kubeconfig={kubeconfig}", *options]
    async with running(command, log, ready) as process:
        yield process
