"""The one status patch: nothing where nothing differs, and what may wait for the next pass."""

import asyncio
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import UTC, datetime

import msgspec
import pytest
from structlog.testing import capture_logs

from modelinfer_controller.api.core import Condition
from modelinfer_controller.api.status import GroupRecord, ModelInfer, ModelInferStatus, RecreationRecord
from modelinfer_controller.controller.resources import MODEL_INFERS
from modelinfer_controller.controller.status_writer import MAX_IN_FLIGHT, StatusWriter, status_patch
from modelinfer_controller.kube.client import Client
from modelinfer_controller.kube.errors import InternalError
from modelinfer_controller.kube.transport import Request, Response, StreamResponse, Transport, TransportError
from modelinfer_controller.simulator.faults.transport import Faults, Rates
from tests.unit.controller.conftest import Shell

WRITTEN = ModelInferStatus(
    observed_generation=1,
    replicas=2,
    conditions=(
        Condition(
            type="Available",
            status="False",
            reason="Starting",
            message="group 1 is starting",
            last_transition_time=datetime(2026, 1, 1, tzinfo=UTC),
        ),
    ),
    groups={"0": GroupRecord(revision="demo-a", instances={"decode": 1}), "1": GroupRecord(revision="demo-a")},
)


@dataclass(frozen=True)
class Change:
    name: str
    after: ModelInferStatus
    patch: dict[str, object]


replace = msgspec.structs.replace
CHANGES = [
    Change("nothing", WRITTEN, {}),
    Change("a count", replace(WRITTEN, replicas=3), {"replicas": 3}),
    Change("a group that is gone", replace(WRITTEN, groups={"0": WRITTEN.groups["0"]}), {"groups": {"1": None}}),
    Change(
        "one group of many",
        replace(WRITTEN, groups=WRITTEN.groups | {"1": GroupRecord(revision="demo-b")}),
        {"groups": {"1": {"revision": "demo-b"}}},
    ),
    Change(
        "what a group no longer has",
        replace(WRITTEN, groups=WRITTEN.groups | {"0": GroupRecord(revision="demo-a")}),
        {"groups": {"0": {"complete": None}}},
    ),
]


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.name)
def test_only_what_differs_is_patched(change: Change) -> None:
    assert status_patch(WRITTEN, change.after) == change.patch


def test_the_first_status_is_written_whole_zeros_included() -> None:
    patch = status_patch(ModelInferStatus(), ModelInferStatus(observed_generation=1))
    assert patch["replicas"] == 0
    assert patch["availableReplicas"] == 0


SLOW = Rates(latency=0.02)
ONE_WRITE = 0.1  # seconds: more than a write takes


def writer_of(shell: Shell, faults: Faults | None = None) -> StatusWriter:
    client = Client((faults or Faults(0, SLOW)).wrap(shell.cluster.transport("shell")))
    return StatusWriter(client, shell.caches)


async def written(shell: Shell, writer: StatusWriter) -> ModelInfer:
    """A ModelInfer whose status was written a while ago."""
    stored = await shell.model_infer()
    await writer.write(stored, WRITTEN)
    await shell.sleep(5)
    shell.writes()
    return await shell.get("demo")


async def replicas(shell: Shell) -> int:
    """What the server says."""
    return (await shell.get("demo")).status.replicas


async def test_counts_wait_for_the_pass_that_follows_but_a_second_at_most(shell: Shell) -> None:
    writer = writer_of(shell)
    stored = await written(shell, writer)
    for number in range(5, 14):
        writer.enqueue(stored, replace(WRITTEN, replicas=number), is_superseded=True)
        await shell.sleep(0.1)
        assert await replicas(shell) == WRITTEN.replicas
    await shell.sleep(0.1 + ONE_WRITE)
    assert await replicas(shell) == 13
    assert len(shell.writes()) == 1


async def test_a_pass_that_nothing_follows_writes_what_waited(shell: Shell) -> None:
    writer = writer_of(shell)
    stored = await written(shell, writer)
    writer.enqueue(stored, replace(WRITTEN, replicas=5), is_superseded=True)
    await shell.sleep(0.1)
    writer.enqueue(stored, replace(WRITTEN, replicas=5))
    await shell.sleep(ONE_WRITE)
    assert await replicas(shell) == 5


async def test_counts_that_nothing_follows_are_written_at_once_and_then_once_a_second(shell: Shell) -> None:
    writer = writer_of(shell)
    stored = await written(shell, writer)
    writer.enqueue(stored, replace(WRITTEN, replicas=5))
    await shell.sleep(ONE_WRITE)
    assert await replicas(shell) == 5
    for number in range(6, 14):
        writer.enqueue(stored, replace(WRITTEN, replicas=number))
        await shell.sleep(0.1)
    assert await replicas(shell) == 5
    await shell.sleep(0.1 + ONE_WRITE)
    assert await replicas(shell) == 13
    assert len(shell.writes()) == 2


async def test_a_first_status_waits_only_for_a_pass_that_follows(shell: Shell) -> None:
    writer = writer_of(shell)
    stored = await shell.model_infer()
    writer.enqueue(stored, WRITTEN, is_superseded=True)
    await shell.sleep(0.9)
    assert (await shell.get("demo")).status != WRITTEN
    writer.enqueue(stored, WRITTEN)
    await shell.sleep(ONE_WRITE)
    assert (await shell.get("demo")).status == WRITTEN


COMPLETED = replace(WRITTEN, groups=WRITTEN.groups | {"1": GroupRecord(revision="demo-a", instances={"decode": 1})})


async def test_what_was_complete_may_wait_and_the_next_pass_knows_it(shell: Shell) -> None:
    """Else a pod that is lost within that second would be one that was never there."""
    writer = writer_of(shell)
    stored = await written(shell, writer)
    writer.enqueue(stored, COMPLETED, is_superseded=True)
    await shell.sleep(0.9)
    assert writer.with_pending_status(stored).status == COMPLETED
    assert (await shell.get("demo")).status == WRITTEN
    await writer.drain()


async def test_a_namesake_does_not_inherit_what_was_deferred(shell: Shell) -> None:
    writer = writer_of(shell)
    predecessor = await shell.model_infer()
    writer.enqueue(predecessor, WRITTEN, is_superseded=True)
    await shell.delete(predecessor)
    namesake = await shell.model_infer()
    assert writer.with_pending_status(namesake) is namesake
    await shell.sleep(5)
    assert (await shell.get("demo")).status.groups == {}


async def test_a_status_that_is_written_already_costs_nothing(shell: Shell) -> None:
    writer = writer_of(shell)
    stored = await written(shell, writer)
    for is_superseded in (True, False):
        writer.enqueue(stored, WRITTEN, is_superseded=is_superseded)
    await writer.write(stored, WRITTEN)
    await shell.sleep(5)
    assert shell.writes() == []


async def test_what_was_deferred_and_is_as_before_again_costs_nothing(shell: Shell) -> None:
    writer = writer_of(shell)
    stored = await written(shell, writer)
    writer.enqueue(stored, replace(WRITTEN, replicas=5), is_superseded=True)
    writer.enqueue(stored, WRITTEN)
    assert writer.with_pending_status(stored).status == WRITTEN
    await shell.sleep(5)
    assert shell.writes() == []


@pytest.mark.parametrize(
    "after",
    [
        replace(WRITTEN, groups={"0": GroupRecord("demo-a", recreations={"*": RecreationRecord(incarnation=1)})}),
        replace(WRITTEN, observed_generation=2),
        replace(WRITTEN, conditions=(replace(WRITTEN.conditions[0], status="True"),)),
        replace(WRITTEN, current_revision="demo-b"),
    ],
    ids=["records", "generation", "verdict", "revision"],
)
async def test_what_is_decided_from_never_waits(shell: Shell, after: ModelInferStatus) -> None:
    writer = writer_of(shell)
    stored = await written(shell, writer)
    writer.enqueue(stored, after, is_superseded=True)
    await shell.sleep(ONE_WRITE)
    assert (await shell.get("demo")).status == after


async def test_the_next_decision_does_not_wait_for_the_server_and_goes_by_what_is_being_written(shell: Shell) -> None:
    """The newest status is what the server has in the end, in as many requests as were needed."""
    writer = writer_of(shell)
    stored = await written(shell, writer)
    for number in (3, 4, 5):
        writer.enqueue(stored, replace(WRITTEN, replicas=number))
        assert writer.with_pending_status(stored).status.replicas == number
    assert await replicas(shell) == WRITTEN.replicas
    await writer.write(stored, replace(WRITTEN, replicas=6))
    assert await replicas(shell) == 6
    assert len(shell.writes()) <= 2


async def test_a_write_that_fails_is_tried_again_at_growing_intervals_and_nobody_waits(shell: Shell) -> None:
    """And nothing is decided from what the server does not have."""
    faults = Faults(0, SLOW)
    writer = writer_of(shell, faults)
    stored = await written(shell, writer)
    faults.rates = Rates(latency=0.02, internal_error=1.0)
    with capture_logs() as logs:
        writer.enqueue(stored, replace(WRITTEN, replicas=3))
        await shell.sleep(10)
    assert [entry["retry_in"] for entry in logs] == [1, 2, 4, 8]
    assert writer.with_pending_status(stored).status == WRITTEN
    writer.enqueue(stored, replace(WRITTEN, replicas=4))
    faults.rates = SLOW
    await shell.sleep(10)
    assert await replicas(shell) == 4
    writer.enqueue(stored, replace(WRITTEN, replicas=5))
    assert writer.with_pending_status(stored).status.replicas == 5
    await writer.drain()
    assert await replicas(shell) == 5


async def test_who_waits_for_a_write_hears_that_it_failed(shell: Shell) -> None:
    faults = Faults(0, SLOW)
    writer = writer_of(shell, faults)
    stored = await written(shell, writer)
    faults.rates = Rates(latency=0.02, internal_error=1.0)
    for _ in range(2):
        with pytest.raises(InternalError):
            await writer.write(stored, replace(WRITTEN, replicas=3))
    faults.rates = SLOW
    await writer.write(stored, replace(WRITTEN, replicas=4))
    assert await replicas(shell) == 4
    await writer.close()


class BreaksOff:
    """A way to the server on which a library cancels, of its own, the first writes that it is asked for."""

    def __init__(self, inner: Transport, count: int) -> None:
        self._inner = inner
        self._count = count

    async def request(self, request: Request) -> Response:
        if request.method == "PATCH" and self._count:
            self._count -= 1
            raise asyncio.CancelledError
        return await self._inner.request(request)

    def stream(self, request: Request) -> AbstractAsyncContextManager[StreamResponse]:
        return self._inner.stream(request)

    async def close(self) -> None: ...


async def test_a_write_that_a_library_breaks_off_has_failed(shell: Shell) -> None:
    stored = await shell.model_infer()
    writer = StatusWriter(Client(BreaksOff(shell.cluster.transport("shell"), count=3)), shell.caches)
    with pytest.raises(TransportError):
        await writer.write(stored, WRITTEN)
    with capture_logs():
        await shell.sleep(10)
    assert (await shell.get("demo")).status == WRITTEN


MANY = 5 * MAX_IN_FLIGHT


async def enqueued_of_many(shell: Shell, writer: StatusWriter) -> list[ModelInfer]:
    """Enqueued at the same time; all but the first few wait in the queue."""
    stored = [await shell.model_infer(f"demo-{number}") for number in range(MANY)]
    for one in stored:
        writer.enqueue(one, WRITTEN)
    return stored


async def test_few_are_written_at_once_and_all_in_the_end(shell: Shell) -> None:
    writer = writer_of(shell, Faults(0, Rates(latency=0.4)))
    stored = await enqueued_of_many(shell, writer)
    shell.writes()
    await shell.sleep(0.4)
    assert 0 < len(shell.writes()) <= 3 * MAX_IN_FLIGHT
    await writer.drain()
    assert [(await shell.get(one.metadata.name)).status for one in stored] == [WRITTEN] * MANY


async def test_what_waits_in_the_queue_takes_in_what_comes(shell: Shell) -> None:
    writer = writer_of(shell)
    stored = await enqueued_of_many(shell, writer)
    shell.writes()
    later = replace(WRITTEN, replicas=9)
    writer.enqueue(stored[-1], later, is_superseded=True)
    await writer.drain()
    assert (await shell.get(stored[-1].metadata.name)).status == later
    assert len(shell.writes()) == MANY


async def test_what_is_waited_for_passes_the_queue(shell: Shell) -> None:
    writer = writer_of(shell, Faults(0, Rates(latency=0.4)))
    stored = await enqueued_of_many(shell, writer)
    shell.writes()
    await writer.write(stored[-1], replace(WRITTEN, replicas=9))
    assert (await shell.get(stored[-1].metadata.name)).status.replicas == 9
    assert len(shell.writes()) <= 3 * MAX_IN_FLIGHT
    await writer.drain()


async def test_what_was_deferred_is_written_before_the_end(shell: Shell) -> None:
    writer = writer_of(shell)
    stored = await written(shell, writer)
    writer.enqueue(stored, COMPLETED, is_superseded=True)
    await writer.drain()
    assert (await shell.get("demo")).status == COMPLETED


async def test_nothing_goes_on_after_the_close(shell: Shell) -> None:
    writer = writer_of(shell)
    stored = await enqueued_of_many(shell, writer)
    before = [(await shell.get(one.metadata.name)).status for one in stored[MAX_IN_FLIGHT:]]
    await writer.close()
    await shell.sleep(5)
    assert [(await shell.get(one.metadata.name)).status for one in stored[MAX_IN_FLIGHT:]] == before
    assert writer.with_pending_status(stored[0]) is stored[0]


async def test_the_status_of_a_namesake_is_not_touched(shell: Shell) -> None:
    predecessor = await shell.model_infer()
    await shell.delete(predecessor)
    await shell.model_infer()
    writer = writer_of(shell)
    await writer.write(predecessor, WRITTEN)
    assert (await shell.get("demo")).status.replicas == 0


async def test_an_own_status_is_read_back_before_the_watch_brings_it(shell: Shell) -> None:
    stored = await shell.model_infer()
    await writer_of(shell).write(stored, WRITTEN)
    seen = shell.caches.model_infer(stored.metadata.object_name)
    assert seen is not None
    assert seen.status.groups == WRITTEN.groups


async def test_records_are_written_though_somebody_took_their_map_away(shell: Shell) -> None:
    stored = await shell.model_infer()
    writer = writer_of(shell)
    await writer.write(stored, WRITTEN)
    bare = await shell.client.patch(MODEL_INFERS, "default", "demo", {"status": {"groups": None}}, subresource="status")
    await shell.sleep(1)
    await writer.write(bare, WRITTEN)
    assert (await shell.get("demo")).status.groups == WRITTEN.groups
