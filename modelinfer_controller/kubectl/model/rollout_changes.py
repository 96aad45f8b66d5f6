"""`rollout undo, pause, resume, restart`: each a merge patch of fields that the API has, and nothing else."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from modelinfer_controller.api import modelinfer, well_known
from modelinfer_controller.api.status import ModelInfer
from modelinfer_controller.kubectl.model.humanize import listed
from modelinfer_controller.kubectl.model.kubeconfig import failure
from modelinfer_controller.planning.revision import Revision

RESTARTED_AT = "kubectl.kubernetes.io/restartedAt"
TEMPLATES = ("entryTemplate", "workerTemplate")


@dataclass(frozen=True)
class RolloutChange:
    """What is changed, as a merge patch: null takes a field away. message: what that means, for people."""

    annotations: Mapping[str, str | None]
    spec: Mapping[str, Any]
    message: str

    def patch(self, resource_version: str) -> dict[str, Any]:
        """Refused by the server if the ModelInfer has changed since."""
        metadata = {"resourceVersion": resource_version, "annotations": dict(self.annotations)}
        return {"metadata": metadata, "spec": dict(self.spec)}

    def manifest(self, stored: ModelInfer) -> dict[str, Any]:
        """The change alone, for a repository: what `kubectl patch --type=merge --patch-file` takes."""
        identity = {"name": stored.metadata.name, "namespace": stored.metadata.namespace}
        annotations = {"annotations": dict(self.annotations)} if self.annotations else {}
        spec = {"spec": dict(self.spec)} if self.spec else {}
        head = {"apiVersion": modelinfer.API_VERSION, "kind": modelinfer.KIND}
        return {**head, "metadata": {**identity, **annotations}, **spec}


def pause(stored: ModelInfer) -> RolloutChange:
    """spec.paused is true. Raises Exit where it is paused already."""
    name = stored.metadata.name
    if _spec(stored).get("paused") or well_known.PAUSED_PARTITION in stored.metadata.annotations:
        raise failure(f"{name} is paused already; `kubectl modelinfer rollout resume {name}` goes on")
    message = "paused: no group is taken down for an update; recovery and scaling go on"
    return RolloutChange({}, {"paused": True}, message)


def resume(stored: ModelInfer) -> RolloutChange:
    """spec.paused goes. Raises Exit where it is not paused.

    Earlier releases raised the partition to pause, and kept the former one in an annotation: that is taken back too.
    """
    former, name = stored.metadata.annotations.get(well_known.PAUSED_PARTITION), stored.metadata.name
    unpaused = {"paused": None} if "paused" in _spec(stored) else {}
    if former is None:
        if not _spec(stored).get("paused"):
            raise failure(f"{name} is not paused")
        return RolloutChange({}, unpaused, "resumed: groups are replaced again, within the budget")
    if not former.isdecimal():
        raise failure(f"the annotation {well_known.PAUSED_PARTITION} is {former!r} and not a number: set the partition")
    message = f"resumed: partition {_partition(_spec(stored))} is {former} again"
    return RolloutChange({well_known.PAUSED_PARTITION: None}, {**unpaused, **_with_partition(int(former))}, message)


def restart(stored: ModelInfer, now: datetime) -> RolloutChange:
    """A new annotation on every template makes a new revision of the same content."""
    roles = _spec(stored)["template"]["roles"]
    restarted_at = {RESTARTED_AT: f"{now:%Y-%m-%dT%H:%M:%SZ}"}
    for role in roles:
        for key in TEMPLATES:
            if role.get(key) is not None:
                metadata = {**(role[key].get("metadata") or {})}
                metadata["annotations"] = {**(metadata.get("annotations") or {}), **restarted_at}
                role[key] = {**role[key], "metadata": metadata}
    return RolloutChange({}, {"template": {"roles": roles}}, "restarted: every group is replaced by a new revision")


def undo(stored: ModelInfer, to: Revision) -> RolloutChange:
    """The templates of an earlier revision; replicas, of roles too, stay as they are."""
    spec, payload = _spec(stored), json.loads(to.payload)
    replicas = {role["name"]: role.get("replicas", 1) for role in spec["template"]["roles"]}
    roles = [
        {**role, "replicas": replicas.get(role["name"], to.template.role_replicas.get(role["name"], 1))}
        for role in payload["roles"]
    ]
    template: dict[str, Any] = {"roles": roles}
    has_gang, had_gang = bool(spec["template"].get("gangSchedule") is not None), "gangScheduler" in payload
    if has_gang != had_gang:
        template["gangSchedule"] = {} if had_gang else None
    rest = {key: payload.get(key) for key in ("schedulerName", "topologySpreadConstraints")}
    changed = {key: value for key, value in rest.items() if (value or None) != (spec.get(key) or None)}
    cause = to.change_cause or None
    differs = (stored.metadata.annotations.get(well_known.CHANGE_CAUSE) or None) != cause
    return RolloutChange(
        {well_known.CHANGE_CAUSE: cause} if differs else {},
        {**changed, "template": template},
        f"rolled back to revision {to.number} ({to.name}){_gang_note(has_gang, had_gang)}",
    )


def _gang_note(has_gang: bool, had_gang: bool) -> str:
    if has_gang == had_gang:
        return ""
    what = "gangSchedule is set, without minRoleReplicas" if had_gang else "gangSchedule is taken away"
    return f"; {what}, as that revision was"


def earlier_revision(revisions: tuple[Revision, ...], current: Revision, number: int | None) -> Revision:
    """The revision of that number, else the newest that is not the current one. Raises Exit."""
    others = sorted((r for r in revisions if r.name != current.name), key=lambda revision: revision.number)
    if number is None:
        if not others:
            raise failure("there is no earlier revision")
        return others[-1]
    found = revision_of_number(revisions, number)
    if found.name == current.name:
        raise failure(f"revision {number} is the current one")
    return found


def revision_of_number(revisions: tuple[Revision, ...], number: int) -> Revision:
    """Raises Exit, with the numbers that there are."""
    found = next((revision for revision in revisions if revision.number == number), None)
    if found is None:
        there = listed([str(revision.number) for revision in sorted(revisions, key=lambda r: r.number)])
        raise failure(f"there is no revision {number}; there are: {there or 'none'}")
    return found


def _spec(stored: ModelInfer) -> dict[str, Any]:
    spec: dict[str, Any] = json.loads(bytes(stored.spec))
    return spec


def _partition(spec: Mapping[str, Any]) -> int:
    strategy = spec.get("rolloutStrategy") or {}
    return int((strategy.get("rollingUpdateConfiguration") or {}).get("partition") or 0)


def _with_partition(partition: int) -> dict[str, Any]:
    return {"rolloutStrategy": {"rollingUpdateConfiguration": {"partition": partition}}}
