"""The one status patch: nothing where nothing differs, and what may wait for the next pass."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from modelinfer_controller.api.core import Condition
from modelinfer_controller.api.names import ObjectName
from modelinfer_controller.api.status import GroupRecord, ModelInfer, ModelInferStatus
from modelinfer_controller.controller.resources import MODEL_INFERS
from modelinfer_controller.controller.status_writer import MAX_IN_FLIGHT, StatusWriter, status_patch
from modelinfer_controller.kube.client import Client
from modelinfer_controller.kube.errors import InternalError
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
    groups={"0": GroupRecord(revision="demo-a", complete={"decode": 1}), "1": GroupRecord(revision="demo-a")},
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


def writer_of(
    shell: Shell, faults: Faults | None = None, on_failure: Callable[[ObjectName], None] = lambda key: None
) -> StatusWriter:
    client = Client((faults or Faults(0, SLOW)).wrap(shell.cluster.transport("shell")))
    return StatusWriter(client, shell.caches, shell.cluster.clock, on_failure)


async def told(shell: Shell, writer: StatusWriter) -> ModelInfer:
    """A ModelInfer whose status was told a while ago."""
    stored = await shell.model_infer()
    await writer.write(stored, WRITTEN)
    await shell.sleep(5)
    shell.writes()
    return await shell.get("demo")


async def test_counts_wait_for_the_pass_that_follows_but_a_second_at_most(shell: Shell) -> None:
    writer = writer_of(shell)
    stored = await told(shell, writer)
    status = replace(WRITTEN, replicas=5)
    assert writer.put_off(stored, status, is_superseded=True) == timedelta(seconds=1)
    await shell.sleep(0.7)
    assert writer.put_off(stored, status, is_superseded=True) == timedelta(seconds=0.3)
    await shell.sleep(0.3)
    assert writer.put_off(stored, status, is_superseded=True) is None


async def test_counts_that_nothing_follows_are_told_at_once_and_then_once_a_second(shell: Shell) -> None:
    writer = writer_of(shell)
    stored = await told(shell, writer)
    assert writer.put_off(stored, replace(WRITTEN, replicas=5), is_superseded=False) is None
    await writer.tell(stored, replace(WRITTEN, replicas=5))
    assert writer.put_off(stored, replace(WRITTEN, replicas=6), is_superseded=False) is not None
    await shell.sleep(1)
    assert writer.put_off(stored, replace(WRITTEN, replicas=6), is_superseded=False) is None


async def test_a_first_status_waits_only_for_a_pass_that_follows(shell: Shell) -> None:
    writer = writer_of(shell)
    stored = await shell.model_infer()
    assert writer.put_off(stored, WRITTEN, is_superseded=True) == timedelta(seconds=1)
    assert writer.put_off(stored, WRITTEN, is_superseded=False) is None


COMPLETED = replace(WRITTEN, groups=WRITTEN.groups | {"1": GroupRecord(revision="demo-a", complete={"decode": 1})})


async def test_what_was_complete_may_wait_and_the_next_pass_knows_it(shell: Shell) -> None:
    """Else a pod that is lost within that second would be one that was never there."""
    writer = writer_of(shell)
    stored = await told(shell, writer)
    assert writer.put_off(stored, COMPLETED, is_superseded=True) == timedelta(seconds=1)
    assert writer.presumed(stored).status == COMPLETED
    assert (await shell.get("demo")).status == WRITTEN


async def test_a_namesake_does_not_inherit_what_was_put_off(shell: Shell) -> None:
    writer = writer_of(shell)
    predecessor = await shell.model_infer()
    assert writer.put_off(predecessor, WRITTEN, is_superseded=True) is not None
    await shell.delete(predecessor)
    namesake = await shell.model_infer()
    assert writer.presumed(namesake) is namesake
    assert writer.put_off(namesake, WRITTEN, is_superseded=True) == timedelta(seconds=1)


async def test_a_status_that_is_told_already_is_not_put_off(shell: Shell) -> None:
    writer = writer_of(shell)
    stored = await told(shell, writer)
    assert writer.put_off(stored, WRITTEN, is_superseded=True) is None
    await writer.tell(stored, WRITTEN)
    assert shell.writes() == []


@pytest.mark.parametrize(
    "after",
    [
        replace(WRITTEN, groups={}),
        replace(WRITTEN, observed_generation=2),
        replace(WRITTEN, conditions=(replace(WRITTEN.conditions[0], status="True"),)),
        replace(WRITTEN, current_revision="demo-b"),
    ],
    ids=["records", "generation", "verdict", "revision"],
)
async def test_what_is_decided_from_never_waits(shell: Shell, after: ModelInferStatus) -> None:
    writer = writer_of(shell)
    stored = await told(shell, writer)
    assert writer.put_off(stored, after, is_superseded=True) is None


async def test_the_next_decision_does_not_wait_for_the_server_and_goes_by_what_is_being_written(shell: Shell) -> None:
    """The newest status is what the server has in the end, in as many requests as were needed."""
    writer = writer_of(shell)
    stored = await told(shell, writer)
    for replicas in (3, 4, 5):
        await writer.tell(stored, replace(WRITTEN, replicas=replicas))
        assert writer.presumed(stored).status.replicas == replicas
    assert (await shell.get("demo")).status.replicas == WRITTEN.replicas
    await writer.write(stored, replace(WRITTEN, replicas=6))
    assert (await shell.get("demo")).status.replicas == 6
    assert len(shell.writes()) <= 2


async def test_a_failure_that_nobody_waited_for_asks_for_another_pass_which_waits_and_raises(shell: Shell) -> None:
    """Until a write succeeds: else each pass would end well, and the retries come without a pause."""
    faults = Faults(0, SLOW)
    failures: list[ObjectName] = []
    writer = writer_of(shell, faults, failures.append)
    stored = await told(shell, writer)
    faults.rates = Rates(latency=0.02, internal_error=1.0)
    await writer.tell(stored, replace(WRITTEN, replicas=3))
    assert not failures
    await shell.sleep(1)
    assert failures == [stored.metadata.object_name]
    assert writer.presumed(stored).status == WRITTEN
    for _ in range(2):
        with pytest.raises(InternalError):
            await writer.tell(stored, replace(WRITTEN, replicas=3))
    assert len(failures) == 1
    faults.rates = SLOW
    await writer.tell(stored, replace(WRITTEN, replicas=3))
    assert (await shell.get("demo")).status.replicas == 3
    await writer.tell(stored, replace(WRITTEN, replicas=4))
    assert (await shell.get("demo")).status.replicas == 3
    await writer.drain()
    assert (await shell.get("demo")).status.replicas == 4


MANY = 5 * MAX_IN_FLIGHT


async def told_of_many(shell: Shell, writer: StatusWriter) -> list[ModelInfer]:
    """Handed in at the same time; all but the first few wait in the line."""
    stored = [await shell.model_infer(f"demo-{number}") for number in range(MANY)]
    for one in stored:
        await writer.tell(one, WRITTEN)
    return stored


async def test_few_are_written_at_once_and_all_in_the_end(shell: Shell) -> None:
    writer = writer_of(shell, Faults(0, Rates(latency=1.0)))
    stored = await told_of_many(shell, writer)
    shell.writes()
    await shell.sleep(1)
    assert 0 < len(shell.writes()) <= 2 * MAX_IN_FLIGHT
    await writer.drain()
    assert [(await shell.get(one.metadata.name)).status for one in stored] == [WRITTEN] * MANY


async def test_what_waits_in_the_line_takes_in_what_comes(shell: Shell) -> None:
    writer = writer_of(shell)
    stored = await told_of_many(shell, writer)
    shell.writes()
    later = replace(WRITTEN, replicas=9)
    assert writer.put_off(stored[-1], later, is_superseded=True) is None
    await writer.tell(stored[-1], later)
    await writer.drain()
    assert (await shell.get(stored[-1].metadata.name)).status == later
    assert len(shell.writes()) == MANY


async def test_what_is_waited_for_passes_the_line(shell: Shell) -> None:
    writer = writer_of(shell, Faults(0, Rates(latency=1.0)))
    stored = await told_of_many(shell, writer)
    shell.writes()
    await writer.write(stored[-1], replace(WRITTEN, replicas=9))
    assert (await shell.get(stored[-1].metadata.name)).status.replicas == 9
    assert len(shell.writes()) <= 2 * MAX_IN_FLIGHT
    await writer.drain()


async def test_what_was_put_off_is_written_before_the_end(shell: Shell) -> None:
    writer = writer_of(shell)
    stored = await told(shell, writer)
    assert writer.put_off(stored, COMPLETED, is_superseded=True) is not None
    await writer.drain()
    assert (await shell.get("demo")).status == COMPLETED


async def test_nothing_goes_on_after_the_close(shell: Shell) -> None:
    writer = writer_of(shell)
    stored = await told_of_many(shell, writer)
    await writer.close()
    await shell.sleep(5)
    assert [(await shell.get(one.metadata.name)).status for one in stored] == [ModelInferStatus()] * MANY
    assert writer.presumed(stored[0]) is stored[0]


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
