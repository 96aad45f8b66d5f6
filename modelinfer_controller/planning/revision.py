"""Revisions: the versions of everything that shapes a pod, their hashes and their history.

The hash is over canonical JSON of the stored spec, written with the standard library: neither a new release of this
controller nor of a dependency changes it. Whatever is added to the payload later must be left out while it has its
default, or every workload restarts on upgrade; `tests/unit/planning/test_revision.py` holds the first release's hashes.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from typing import Any

import msgspec
from pydantic import ConfigDict

from modelinfer_controller.api.core import ControllerRevision
from modelinfer_controller.api.modelinfer import ApiModel, PodTemplateSpec, TopologySpreadConstraint
from modelinfer_controller.api.names import MAX_LABEL_LENGTH
from modelinfer_controller.planning.pod_defaults import without_defaults

HASH_LENGTH = 10
OWNER_HASH_LENGTH = 6
MAX_PREFIX_LENGTH = MAX_LABEL_LENGTH - HASH_LENGTH - 1
KNOWN_COLLISIONS = 8  # hashes of one owner that collide at once; one collision is unheard of
CONSTRAINT_DEFAULTS: Mapping[str, Any] = {"maxSkew": 1, "whenUnsatisfiable": "DoNotSchedule"}
HISTORY_LIMIT = 10  # unused revisions that are kept


class GangScheduler(StrEnum):
    """Which PodGroup API gates the pods of a revision."""

    VOLCANO = "volcano"  # scheduling.volcano.sh
    KUBERNETES = "kubernetes"  # scheduling.k8s.io


class RoleTemplate(ApiModel):
    """A role as a revision knows it: everything but how many instances."""

    name: str
    worker_replicas: int = 0
    entry_template: PodTemplateSpec = PodTemplateSpec()
    worker_template: PodTemplateSpec | None = None

    def template(self, index: int) -> PodTemplateSpec:
        """The template of pod `index`. Workers without a workerTemplate (refused by admission) use the entry's."""
        return self.entry_template if index == 0 or self.worker_template is None else self.worker_template

    @property
    def pod_count(self) -> int:
        """Pods of one instance: the entry and its workers."""
        return self.worker_replicas + 1


class RevisionTemplate(ApiModel):
    """The payload of a revision, decoded."""

    model_config = ConfigDict(ignored_types=(cached_property,))

    roles: tuple[RoleTemplate, ...] = ()
    scheduler_name: str | None = None
    topology_spread_constraints: tuple[TopologySpreadConstraint, ...] = ()
    gang_scheduler: GangScheduler | None = None
    role_replicas: Mapping[str, int] = {}  # when the revision was made; not hashed, for roles the spec has lost

    def role(self, name: str) -> RoleTemplate | None:
        """The role by its lower-case name."""
        return next((role for role in self.roles if role.name.lower() == name), None)


UNUSABLE = RevisionTemplate()


@dataclass(frozen=True, slots=True)
class Revision:
    """A revision that exists as a ControllerRevision or is about to; number orders the history, newest highest.

    >>> payload = payload_of_spec(b'{"template": {"roles": [{"name": "decode", "entryTemplate": {}}]}}', None)
    >>> first = resolve("llama", payload, stored=[], taken_names=[], role_replicas={"decode": 1})
    >>> first.name, first.number, first.is_stored, first.template.roles[0].pod_count
    ('llama-5bc85da7a1', 1, False, 1)
    """

    name: str
    number: int
    payload: str  # canonical JSON of what is hashed
    template: RevisionTemplate
    uid: str = ""  # empty while it is not stored yet
    change_cause: str = ""

    @property
    def is_stored(self) -> bool:
        return bool(self.uid)

    @property
    def is_usable(self) -> bool:
        """Whether pods can be made from it. Not where it is lost, or where somebody has written other data."""
        return bool(self.payload)


def payload_of_spec(spec: bytes, gang_scheduler: GangScheduler | None) -> str:
    """Canonical JSON of what shapes a pod, from the stored bytes of a ModelInfer's spec."""
    stored: dict[str, Any] = msgspec.json.decode(spec)
    payload: dict[str, Any] = {"roles": [_role_payload(role) for role in stored["template"]["roles"]]}
    if scheduler_name := stored.get("schedulerName"):
        payload["schedulerName"] = scheduler_name
    if constraints := stored.get("topologySpreadConstraints"):
        payload["topologySpreadConstraints"] = [{**CONSTRAINT_DEFAULTS, **constraint} for constraint in constraints]
    if gang_scheduler is not None:
        payload["gangScheduler"] = gang_scheduler.value
    return canonical_json(payload)


def _role_payload(role: Mapping[str, Any]) -> dict[str, Any]:
    """A role without its replicas, the same whether or not defaults and empty metadata are spelled out."""
    payload = {"workerReplicas": 0, **role}
    payload.pop("replicas", None)
    for key in ("entryTemplate", "workerTemplate"):
        if template := payload.get(key):
            metadata = {name: value for name, value in (template.get("metadata") or {}).items() if value}
            payload[key] = {**template, "metadata": metadata or None}
    return payload


_CANONICAL = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=True)


def canonical_json(value: Any) -> str:
    """JSON with sorted keys, no white space, and without nulls: an absent field and a null one mean the same."""
    return _CANONICAL.encode(_without_nulls(value))


def _without_nulls(value: Any) -> Any:
    match value:
        case dict():
            return {key: _without_nulls(inner) for key, inner in value.items() if inner is not None}
        case list():
            return [_without_nulls(inner) for inner in value]
        case _:
            return value


def meaning(payload: str) -> str:
    """A digest of the payload as the API server understands it: equal for payloads whose pods are the same.

    The revision's hash stays that of the payload itself, so that revisions of every release keep their names.

    >>> bare = '{"roles":[{"name":"decode","entryTemplate":{"spec":{"containers":[]}}}]}'
    >>> full = '{"roles":[{"name":"decode","entryTemplate":{"spec":{"containers":[],"restartPolicy":"Always"}}}]}'
    >>> meaning(bare) == meaning(full)
    True
    """
    decoded: dict[str, Any] = json.loads(payload)
    return _sha(canonical_json({**decoded, "roles": [_role_meaning(role) for role in decoded["roles"]]}))


def without_spelled_out_defaults(payload: str) -> str:
    """The payload as it was where a definition had not added the API server's defaults yet."""
    decoded: dict[str, Any] = json.loads(payload)
    return canonical_json({**decoded, "roles": [_bare_role(role) for role in decoded["roles"]]})


def _role_meaning(role: Mapping[str, Any]) -> dict[str, Any]:
    meant = _bare_role(role)
    if not meant.get("workerReplicas"):
        meant.pop("workerTemplate", None)  # it shapes no pod
    return meant


def _bare_role(role: Mapping[str, Any]) -> dict[str, Any]:
    meant = dict(role)
    for key in ("entryTemplate", "workerTemplate"):
        if (template := meant.get(key)) is not None:
            meant[key] = {**template, "spec": without_defaults(template.get("spec") or {})}
    return meant


def revision_name(owner: str, payload: str, collisions: int = 0) -> str:
    """`<owner>-<hash>`, which is a label's value too, so a long owner name is cut; collisions salt the hash."""
    return f"{_prefix(owner)}-{_digest(payload, collisions)}"


def _digest(payload: str, collisions: int) -> str:
    return _sha(payload if collisions == 0 else f"{payload}#{collisions}")[:HASH_LENGTH]


def _sha(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _prefix(owner: str) -> str:
    """The owner's name where it fits. One that is cut carries a hash of the whole: others may begin alike."""
    if len(owner) <= MAX_PREFIX_LENGTH:
        return owner
    return f"{owner[: MAX_PREFIX_LENGTH - OWNER_HASH_LENGTH - 1].rstrip('-.')}-{_sha(owner)[:OWNER_HASH_LENGTH]}"


def restore(owner: str, name: str, payloads: Iterable[str], number: int = 1) -> Revision | None:
    """A ControllerRevision that somebody has deleted, made again from the payload whose hash its name is.

    None where no payload is proven. How many instances it had of each role is not known any more.
    """
    for payload in payloads:
        digests = (_digest(payload, collisions) for collisions in range(KNOWN_COLLISIONS))
        if any(name in (f"{_prefix(owner)}-{digest}", f"{_cut(owner)}-{digest}") for digest in digests):
            return Revision(name, number, payload, template_of_payload(payload))
    return None


def _cut(owner: str) -> str:
    """The prefix that the first release gave to a long name."""
    return owner[:MAX_PREFIX_LENGTH].rstrip("-.")


def resolve(
    owner: str,
    payload: str,
    stored: Sequence[Revision],
    taken_names: Iterable[str],
    role_replicas: Mapping[str, int],
) -> Revision:
    """The revision of this payload: a stored one that means the same, or a new one under a name that is free."""
    if same := with_meaning([payload], stored):
        return max((revision for revision, _ in same), key=lambda revision: revision.number)
    taken = {revision.name for revision in stored} | set(taken_names)
    collisions = 0
    while (name := revision_name(owner, payload, collisions)) in taken:
        collisions += 1
    number = max((revision.number for revision in stored), default=0) + 1
    template = template_of_payload(payload).model_copy(update={"role_replicas": dict(role_replicas)})
    return Revision(name, number, payload, template)


def with_meaning(payloads: Sequence[str], stored: Iterable[Revision]) -> list[tuple[Revision, int]]:
    """Revisions whose pods are the same as those of a payload, each with the payload's index.

    Those that are equal to the letter, if there are any: then nothing else has to be worked out.
    """
    usable = [revision for revision in stored if revision.is_usable]
    index_by_payload = {payload: index for index, payload in enumerate(payloads)}
    if equal := [(one, index_by_payload[one.payload]) for one in usable if one.payload in index_by_payload]:
        return equal
    index_by_meaning = {meaning(payload): index for payload, index in index_by_payload.items()} if usable else {}
    return [(one, index_by_meaning[meant]) for one in usable if (meant := meaning(one.payload)) in index_by_meaning]


def data_of(revision: Revision) -> dict[str, Any]:
    """The `data` of its ControllerRevision."""
    return {**json.loads(revision.payload), "roleReplicas": dict(revision.template.role_replicas)}


def revision_of(stored: ControllerRevision, change_cause_key: str) -> Revision:
    """A stored ControllerRevision of ours, decoded. One with data of another shape cannot be used."""
    payload, template = _decode_data(bytes(stored.data))
    return Revision(
        name=stored.metadata.name,
        number=stored.revision,
        payload=payload,
        template=template,
        uid=stored.metadata.uid,
        change_cause=stored.metadata.annotations.get(change_cause_key, ""),
    )


def _decode_data(data: bytes) -> tuple[str, RevisionTemplate]:
    try:
        hashed: dict[str, Any] = json.loads(data)
        template = RevisionTemplate.model_validate(hashed)
    except ValueError:  # pydantic's and json's errors are of that kind
        return "", UNUSABLE
    if not template.roles:
        return "", UNUSABLE
    return canonical_json({key: value for key, value in hashed.items() if key != "roleReplicas"}), template


def template_of_payload(payload: str) -> RevisionTemplate:
    """What a payload says; roleReplicas is no part of it."""
    return RevisionTemplate.model_validate_json(payload)


def expired(stored: Sequence[Revision], used_names: set[str]) -> list[Revision]:
    """Unused revisions beyond the newest HISTORY_LIMIT, oldest first."""
    unused = sorted((r for r in stored if r.name not in used_names), key=lambda revision: revision.number)
    return unused[: max(0, len(unused) - HISTORY_LIMIT)]
