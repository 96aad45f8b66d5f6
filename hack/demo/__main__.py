"""`make demo`, `make demo ARGS=--keep`, `CLUSTER=real make demo`."""

from __future__ import annotations

import argparse
import asyncio
import logging
import signal
import sys
import tempfile
from collections.abc import Coroutine
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import structlog
from controlplane import ControlPlaneError
from controlplane.golang import GoMissing
from controlplane.tools import BuildError
from rich.console import Console

from demo.clusters import real_cluster, simulated_cluster
from demo.failure import DemoFailed
from demo.runner import options_of, run_demo
from modelinfer_controller.exits import Exit
from modelinfer_controller.kube.errors import ApiError
from modelinfer_controller.kube.transport import TransportError


def main() -> int:
    parser = argparse.ArgumentParser(prog="make demo ARGS=", description="The controller at work, live.")
    parser.add_argument("--cluster", choices=["simulated", "real"], default="simulated", help="which control plane")
    parser.add_argument("--keep", action="store_true", help="stay up at the end until Ctrl-C, without asking")
    arguments = parser.parse_args()
    # What goes wrong in a watch is told by what is seen, not by log lines across the picture.
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    console = Console(highlight=False)
    options = options_of(console, keep=arguments.keep)
    try:
        match arguments.cluster:
            case "real":
                with real_cluster() as cluster:
                    return _run(run_demo(nullcontext(cluster), console, options))
            case _:
                with tempfile.TemporaryDirectory(prefix="modelinfer-demo-") as folder:
                    return _run(run_demo(simulated_cluster(Path(folder)), console, options))
    except (DemoFailed, Exit, ApiError, TransportError, ControlPlaneError, BuildError, GoMissing) as error:
        print(f"demo: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 128 + signal.SIGINT


def _run(main: Coroutine[Any, Any, None]) -> int:
    """To its end; SIGTERM, and a terminal that is closed, end it as cleanly as Ctrl-C does."""
    try:
        asyncio.run(_stoppable(main))
    except asyncio.CancelledError:
        return 128 + signal.SIGTERM
    return 0


async def _stoppable(main: Coroutine[Any, Any, None]) -> None:
    task = asyncio.current_task()
    assert task is not None
    for number in (signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    await main


raise SystemExit(main())
