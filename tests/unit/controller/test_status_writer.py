"""The one status patch: nothing where nothing differs, and what may wait for the next pass."""

from dataclasses import dataclass
from datetime import UTC, datetime

import msgspec
import pytest

from modelinfer_controller.api.core import Condition
from modelinfer_controller.api.status import GroupRecord, ModelInferStatus
from modelinfer_controller.controller.kinds import MODEL_INFERS
from modelinfer_controller.controller.status_writer import StatusWriter, status_patch
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


async def test_counts_wait_for_the_next_pass_but_a_second_at_most(shell: Shell) -> None:
    stored = await shell.model_infer()
    writer = StatusWriter(shell.client, shell.caches, shell.cluster.clock)
    stored = await writer.write(stored, WRITTEN)
    shell.writes()
    await writer.write(stored, replace(WRITTEN, replicas=5), is_superseded=True)
    assert shell.writes() == []
    await shell.sleep(2)
    written = await writer.write(stored, replace(WRITTEN, replicas=6), is_superseded=True)
    assert written.status.replicas == 6


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
    stored = await shell.model_infer()
    writer = StatusWriter(shell.client, shell.caches, shell.cluster.clock)
    stored = await writer.write(stored, WRITTEN)
    shell.writes()
    await writer.write(stored, after, is_superseded=True)
    assert len(shell.writes()) == 1


async def test_the_status_of_a_namesake_is_not_touched(shell: Shell) -> None:
    predecessor = await shell.model_infer()
    await shell.delete(predecessor)
    await shell.model_infer()
    writer = StatusWriter(shell.client, shell.caches, shell.cluster.clock)
    await writer.write(predecessor, WRITTEN)
    assert (await shell.get("demo")).status.replicas == 0


async def test_an_own_status_is_read_back_before_the_watch_brings_it(shell: Shell) -> None:
    stored = await shell.model_infer()
    await StatusWriter(shell.client, shell.caches, shell.cluster.clock).write(stored, WRITTEN)
    seen = shell.caches.model_infer(stored.metadata.object_name)
    assert seen is not None
    assert seen.status.groups == WRITTEN.groups


async def test_records_are_written_though_somebody_took_their_map_away(shell: Shell) -> None:
    stored = await shell.model_infer()
    writer = StatusWriter(shell.client, shell.caches, shell.cluster.clock)
    await writer.write(stored, WRITTEN)
    bare = await shell.client.patch(MODEL_INFERS, "default", "demo", {"status": {"groups": None}}, subresource="status")
    written = await writer.write(bare, WRITTEN)
    assert written.status.groups == WRITTEN.groups
