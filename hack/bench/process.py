"""The controller as its users run it: a process of its own, with what it costs."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

START_TIMEOUT = 60.0
TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Cost:
    """cpu_s: user and system seconds since the start; peak_mb: the largest resident set, in MiB."""

    cpu_s: float
    peak_mb: float


@dataclass(frozen=True)
class ControllerProcess:
    pid: int

    def cost(self) -> Cost:
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        status = Path(f"/proc/{self.pid}/status").read_text()
        peak = next(line for line in status.splitlines() if line.startswith("VmHWM"))
        return Cost((int(fields[11]) + int(fields[12])) / TICKS_PER_SECOND, int(peak.split()[1]) / 1024)


@asynccontextmanager
async def running_controller(kubeconfig: Path, log: Path) -> AsyncIterator[ControllerProcess]:
    """`modelinfer-controller run` against the cluster, its workers started, for as long as the context is open."""
    command = [str(Path(sys.executable).with_name("modelinfer-controller")), "run", f"--kubeconfig={kubeconfig}"]
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(*command, stdout=output, stderr=output)
    try:
        async with asyncio.timeout(START_TIMEOUT):
            while b"Workers started" not in log.read_bytes():  # noqa: ASYNC110, ASYNC240 -- another process
                await asyncio.sleep(0.05)
        yield ControllerProcess(process.pid)
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()
