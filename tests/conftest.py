"""Unit and sim tests run in virtual time, and no test leaves a task behind."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path

import pytest
import pytest_asyncio
import structlog

from modelinfer_controller.simulator.virtual_time import VirtualClock, VirtualTimeLoop

# By default an error is drawn with the values of all variables on its way, which takes longer than most tests.
structlog.configure(processors=[structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)])

TESTS = Path(__file__).parent
VIRTUAL = {"unit", "sim"}


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """The folder decides: tests/integration and tests/e2e talk to real servers, the rest knows virtual time only."""
    if item.path.relative_to(TESTS).parts[0] in VIRTUAL:
        return {"virtual": VirtualTimeLoop}
    return {"real": asyncio.new_event_loop}


@pytest.fixture(autouse=True)
def no_task_left_over(request: pytest.FixtureRequest) -> None:
    if pytest_asyncio.is_async_test(request.node):
        request.getfixturevalue("_no_task_left_over")


@pytest_asyncio.fixture
async def _no_task_left_over() -> AsyncIterator[None]:
    """Is set up before the test's own fixtures, thus looks after they have cleaned up."""
    before = asyncio.all_tasks()
    yield
    left_over = asyncio.all_tasks() - before - {asyncio.current_task()}
    if left_over:
        pytest.fail("left over: " + ", ".join(sorted(map(repr, left_over))))


@pytest_asyncio.fixture
async def clock() -> VirtualClock:
    """The wall clock of this test's loop."""
    return VirtualClock(asyncio.get_running_loop())
