"""A change of a rollout, when the ModelInfer is written by others between its being read and patched."""

from __future__ import annotations

from typing import Any, cast

import msgspec
import pytest
from clusters import Cluster, role, spec

from modelinfer_controller.api.status import ModelInfer
from modelinfer_controller.exits import Exit
from modelinfer_controller.kube.client import Client
from modelinfer_controller.kube.errors import Conflict
from modelinfer_controller.kubectl.model.rollout_changes import pause
from modelinfer_controller.kubectl.verbs.rollout_change import Asked, _patch


class BusyServer:
    """Others write the object before each of the first `writes` patches; `edits` of them change the spec."""

    def __init__(self, stored: ModelInfer, writes: int, edits: int = 0) -> None:
        self.stored, self._writes, self._edits = stored, writes, edits
        self.patched: dict[str, Any] | None = None

    async def get(self, resource: object, namespace: str, name: str) -> ModelInfer:
        return self.stored

    async def patch(self, resource: object, namespace: str, name: str, body: dict[str, Any], **options: object) -> None:
        if self._writes > 0:
            self._others_write()
        meta = self.stored.metadata
        if body["metadata"]["resourceVersion"] != meta.resource_version:
            raise Conflict(409, "Conflict", "the object has been modified")
        self.patched = body

    def _others_write(self) -> None:
        meta, is_edit = self.stored.metadata, self._edits > 0
        self._writes, self._edits = self._writes - 1, self._edits - is_edit
        version = str(int(meta.resource_version) + 1)
        meta = msgspec.structs.replace(meta, resource_version=version, generation=meta.generation + is_edit)
        self.stored = msgspec.structs.replace(self.stored, metadata=meta)


async def paused(writes: int, edits: int = 0) -> BusyServer:
    snapshot = Cluster(spec(2, role("decode"))).snapshot()
    server = BusyServer(snapshot.stored, writes, edits)
    await _patch(cast(Client, server), snapshot, pause(snapshot.stored), Asked("pause", "qwen"))
    return server


async def test_writes_of_the_status_alone_are_no_hindrance() -> None:
    """As in a crash loop, when the controller writes what it sees at any time."""
    server = await paused(writes=5)
    assert server.patched is not None
    assert server.patched["spec"] != {}


async def test_an_edit_of_the_spec_is_somebody_elses_and_is_told() -> None:
    with pytest.raises(Exit, match="changed meanwhile: try again"):
        await paused(writes=3, edits=1)


async def test_a_status_that_never_rests_ends_in_the_same_words() -> None:
    with pytest.raises(Exit, match="changed meanwhile: try again"):
        await paused(writes=1000)
