"""The controller as its users run it: a process of its own that looks after the cluster."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from controlplane.processes import spawn

from demo.clusters import Cluster
from demo.failure import DemoFailed

_COMMAND = Path(sys.executable).with_name("modelinfer-controller")
_AT_WORK = b"Workers started"  # what its log says from then on
_START_TIMEOUT = 30.0  # seconds
_STOP_TIMEOUT = 5.0


class Controller:
    def __init__(self, process: subprocess.Popen[bytes], log: Path) -> None:
        self._process = process
        self.log = log

    @property
    def pid(self) -> int:
        return self._process.pid

    def check(self) -> None:
        """Raises DemoFailed where it has ended."""
        if self._process.poll() is not None:
            last = self.log.read_text(errors="replace").splitlines()[-1:]
            raise DemoFailed(f"the controller ended with code {self._process.returncode}: {''.join(last)}")


@asynccontextmanager
async def running_controller(cluster: Cluster) -> AsyncIterator[Controller]:
    """`modelinfer-controller run`, its workers started; it ends with the context, and in any case with this process."""
    log = cluster.folder / "controller.log"
    log.touch()
    process = spawn([str(_COMMAND), "run", f"--kubeconfig={cluster.kubeconfig}"], log)
    controller = Controller(process, log)
    try:
        await _until_at_work(controller)
        yield controller
    finally:
        _stop(process)


async def _until_at_work(controller: Controller) -> None:
    try:
        async with asyncio.timeout(_START_TIMEOUT):
            while _AT_WORK not in controller.log.read_bytes():
                controller.check()
                await asyncio.sleep(0.05)
    except TimeoutError:
        raise DemoFailed(f"the controller did not start within {_START_TIMEOUT:.0f} s: {controller.log}") from None


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(_STOP_TIMEOUT)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
