"""The verbs that change a rollout: `rollout undo`, `pause`, `resume` and `restart`."""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from modelinfer_controller.api.merge_patch import merge_patch
from modelinfer_controller.controller.resources import MODEL_INFERS
from modelinfer_controller.kube.client import Client
from modelinfer_controller.kube.clock import SystemClock
from modelinfer_controller.kube.errors import Conflict
from modelinfer_controller.kubectl.model.access import allowed_to, connected, namespace_of
from modelinfer_controller.kubectl.model.forecast import forecast
from modelinfer_controller.kubectl.model.kubeconfig import ClusterFlags
from modelinfer_controller.kubectl.model.manifest import with_spec
from modelinfer_controller.kubectl.model.rollout_changes import (
    RolloutChange,
    earlier_revision,
    pause,
    restart,
    resume,
    undo,
)
from modelinfer_controller.kubectl.model.snapshot import Snapshot, read_children, read_model_infer, snapshot_of
from modelinfer_controller.kubectl.model.spec_diff import spec_changes
from modelinfer_controller.kubectl.render.output import TYPE, WIDE, formatted, say, show
from modelinfer_controller.kubectl.render.plan import forecast_lines

FIELD_MANAGER = "kubectl-modelinfer"
_RETRIES = 10
CHANGES: Mapping[str, Callable[[Snapshot, int | None], RolloutChange]] = {
    "pause": lambda snapshot, _: pause(snapshot.stored),
    "resume": lambda snapshot, _: resume(snapshot.stored),
    "restart": lambda snapshot, _: restart(snapshot.stored, snapshot.now),
    "undo": lambda snapshot, number: undo(
        snapshot.stored, earlier_revision(snapshot.observed.revisions, snapshot.update, number)
    ),
}


@dataclass(frozen=True)
class Asked:
    """verb: of `rollout`. dry_run: "none", "client" (nothing is sent) or "server" (nothing is stored)."""

    verb: str
    name: str
    revision: int | None = None
    dry_run: str = "none"


async def change_rollout(flags: ClusterFlags, asked: Asked, output: str | None) -> None:
    """Patches the ModelInfer, and says what it did and what follows."""
    namespace = namespace_of(flags, os.environ)
    async with connected(flags, os.environ) as client:
        snapshot = await _read(client, namespace, asked.name)
        change = CHANGES[asked.verb](snapshot, asked.revision)
        if asked.dry_run != "client":
            await _patch(client, snapshot, change, asked)
    _tell(change, snapshot, asked, output)


async def _patch(client: Client, snapshot: Snapshot, change: RolloutChange, asked: Asked) -> None:
    """Patch what was read. The controller writes the status at any time: where nothing else has changed, try again."""
    stored, namespace = snapshot.stored, snapshot.owner.namespace
    with allowed_to("patch", MODEL_INFERS, namespace):
        for is_last in (*(False,) * _RETRIES, True):
            try:
                await _patch_once(client, namespace, change.patch(stored.metadata.resource_version), asked)
            except Conflict:
                newer = await read_model_infer(client, namespace, asked.name)
                if is_last or newer.metadata.generation != stored.metadata.generation:
                    raise
                stored = newer
            else:
                return


async def _patch_once(client: Client, namespace: str, body: dict[str, Any], asked: Asked) -> None:
    await client.patch(
        MODEL_INFERS,
        namespace,
        asked.name,
        body,
        field_manager=FIELD_MANAGER,
        dry_run=asked.dry_run == "server",
    )


def _tell(change: RolloutChange, snapshot: Snapshot, asked: Asked, output: str | None) -> None:
    if output not in (None, WIDE):
        say(formatted(change.manifest(snapshot.stored), output or ""))
        return
    suffix = {"client": " (dry run)", "server": " (server dry run)"}.get(asked.dry_run, "")
    say(f"{TYPE}/{asked.name} {change.message}{suffix}\n")


async def plan_change(flags: ClusterFlags, asked: Asked, output: str | None) -> int:
    """What the change would do, and nothing is sent. The exit code is that of `plan`."""
    from modelinfer_controller.kubectl.verbs.plan import exit_code

    async with connected(flags, os.environ) as client:
        namespace = namespace_of(flags, os.environ)
        stored = await read_model_infer(client, namespace, asked.name)
        listed = await read_children(client, namespace)
    now = SystemClock().now()
    before = snapshot_of(stored, listed, {}, now)
    change = CHANGES[asked.verb](before, asked.revision)
    spec: dict[str, Any] = msgspec.json.decode(bytes(stored.spec))
    after = merge_patch(spec, change.spec)
    annotations = {key: value for key, value in change.annotations.items() if value is not None}
    changed = snapshot_of(with_spec(stored, after, asked.name, namespace, annotations), listed, {}, now)
    planned = forecast(changed.observed, before.decision, spec_changes(spec, after))
    show("Plan", planned, output, lambda terminal: forecast_lines(planned, terminal))
    return exit_code([planned])


async def _read(client: Client, namespace: str, name: str) -> Snapshot:
    stored = await read_model_infer(client, namespace, name)
    return snapshot_of(stored, await read_children(client, namespace), {}, SystemClock().now())
