"""From a revision to the bodies of pods, Services and ControllerRevisions.

A pod's body is rendered once for each owner, revision, role and kind of pod, with marks where names and numbers go, and
cut at the marks; one more pod is then a join of bytes.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

import msgspec

from modelinfer_controller.api import names, well_known
from modelinfer_controller.api.modelinfer import API_VERSION, KIND
from modelinfer_controller.planning import topology
from modelinfer_controller.planning.pod_identity import InstanceKey, PodIdentity
from modelinfer_controller.planning.revision import (
    GangScheduler,
    Revision,
    RevisionTemplate,
    RoleTemplate,
    data_of,
    template_of_payload,
)

_COMPACT = json.JSONEncoder(separators=(",", ":"))
_COMPACT_SORTED = json.JSONEncoder(separators=(",", ":"), sort_keys=True, ensure_ascii=False)
_ESCAPED_BY_GO = re.compile("[<>&\u2028\u2029]")


class OwnerIdentity(NamedTuple):
    """What children carry of their owner."""

    namespace: str
    name: str
    uid: str

    def reference(self) -> dict[str, Any]:
        return {
            "apiVersion": API_VERSION,
            "kind": KIND,
            "name": self.name,
            "uid": self.uid,
            "controller": True,
            "blockOwnerDeletion": True,
        }

    def child_metadata(self, name: str, own_labels: Mapping[str, str]) -> dict[str, Any]:
        """metadata of a child that is made from no template."""
        return {
            "name": name,
            "namespace": self.namespace,
            "labels": {well_known.NAME: self.name, **own_labels},
            "ownerReferences": [self.reference()],
        }


class PodWords(NamedTuple):
    """The strings in which the pods of one role differ from each other."""

    pod: str
    group: str
    role_id: str
    entry_address: str
    worker_index: str
    incarnation: str


class PodKind(NamedTuple):
    """What else a pod's body depends on, besides its owner, revision and role."""

    is_entry: bool
    is_leader: bool


def pod_words(owner: OwnerIdentity, role: RoleTemplate, identity: PodIdentity, incarnation: int) -> PodWords:
    return PodWords(
        pod=names.pod_name(owner.name, *identity),
        group=names.group_name(owner.name, identity.group),
        role_id=names.role_id(role.name, identity.instance),
        entry_address=names.entry_address(
            owner.name, owner.namespace, identity.group, identity.role, identity.instance
        ),
        worker_index=str(identity.worker_index),
        incarnation=str(incarnation),
    )


def pod_kind(template: RevisionTemplate, identity: PodIdentity) -> PodKind:
    return PodKind(is_entry=identity.worker_index == 0, is_leader=topology.is_leader(identity, template))


def pod_body(owner: OwnerIdentity, revision: Revision, identity: PodIdentity, incarnation: int) -> bytes:
    """JSON of the pod of an identity. Raises KeyError if the revision has no such role."""
    role = _role(revision, identity)
    mould = _mould(owner, revision.name, revision.payload, identity.role, pod_kind(revision.template, identity))
    return mould.cast(pod_words(owner, role, identity, incarnation))


def pod_labels(owner: OwnerIdentity, revision: Revision, identity: PodIdentity) -> dict[str, str]:
    """Our labels of a pod; they win over the template's."""
    role = _role(revision, identity)
    words = pod_words(owner, role, identity, 0)
    return _own_labels(owner, revision.name, role, words, pod_kind(revision.template, identity))


def _role(revision: Revision, identity: PodIdentity) -> RoleTemplate:
    role = revision.template.role(identity.role)
    if role is None:
        raise KeyError(f"revision {revision.name} has no role {identity.role}")
    return role


def _own_labels(
    owner: OwnerIdentity, revision_name: str, role: RoleTemplate, words: PodWords, kind: PodKind
) -> dict[str, str]:
    return {
        well_known.NAME: owner.name,
        well_known.GROUP_NAME: words.group,
        well_known.ROLE: role.name,
        well_known.ROLE_ID: words.role_id,
        well_known.REVISION: revision_name,
        **({well_known.ENTRY: "true"} if kind.is_entry else {}),
        **({well_known.GROUP_LEADER: "true"} if kind.is_leader else {}),
    }


@dataclass(frozen=True, slots=True)
class Mould:
    """A pod's body cut at its marks: literal bytes, and between them which of PodWords goes there."""

    literals: tuple[bytes, ...]
    slots: tuple[int, ...]

    def cast(self, words: PodWords) -> bytes:
        encoded = [word.encode() for word in words]
        parts = [self.literals[0]]
        for slot, literal in zip(self.slots, self.literals[1:], strict=True):
            parts += (encoded[slot], literal)
        return b"".join(parts)


@lru_cache(maxsize=1024)
def _mould(owner: OwnerIdentity, revision_name: str, payload: str, role_name: str, kind: PodKind) -> Mould:
    template = template_of_payload(payload)
    role = template.role(role_name)
    assert role is not None, role_name
    mark = "<<modelinfer>>"
    while mark in payload:  # what a user wrote must never be taken for a mark
        mark = f"<{mark}>"
    marks = PodWords(*(f"{mark}{slot}{mark}" for slot in range(len(PodWords._fields))))
    body = _COMPACT.encode(_pod(owner, revision_name, template, role, marks, kind))
    pieces = re.split(f"{re.escape(mark)}(\\d){re.escape(mark)}", body)
    return Mould(
        literals=tuple(literal.encode() for literal in pieces[::2]), slots=tuple(int(slot) for slot in pieces[1::2])
    )


def _pod(
    owner: OwnerIdentity,
    revision_name: str,
    template: RevisionTemplate,
    role: RoleTemplate,
    words: PodWords,
    kind: PodKind,
) -> dict[str, Any]:
    metadata = role.template(0 if kind.is_entry else 1).metadata
    own_annotations = {well_known.INCARNATION: words.incarnation}
    if template.gang_scheduler is GangScheduler.VOLCANO:
        own_annotations |= {well_known.VOLCANO_GROUP_NAME: words.group, well_known.VOLCANO_TASK_SPEC: words.role_id}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": words.pod,
            "namespace": owner.namespace,
            "labels": {**_foreign(metadata.labels), **_own_labels(owner, revision_name, role, words, kind)},
            "annotations": {**metadata.annotations, **own_annotations},
            "ownerReferences": [owner.reference()],
        },
        "spec": _pod_spec(owner, template, role, words, kind),
    }


def _foreign(template_labels: Mapping[str, str]) -> dict[str, str]:
    """A template's labels but for those that say what a pod is not."""
    return {
        key: value for key, value in template_labels.items() if key not in (well_known.ENTRY, well_known.GROUP_LEADER)
    }


def _pod_spec(
    owner: OwnerIdentity, template: RevisionTemplate, role: RoleTemplate, words: PodWords, kind: PodKind
) -> dict[str, Any]:
    spec = dict(role.template(0 if kind.is_entry else 1).spec)
    for containers in ("initContainers", "containers"):
        if containers in spec:
            spec[containers] = [_with_environment(container, role, words) for container in spec[containers]]
    if template.scheduler_name:
        spec["schedulerName"] = template.scheduler_name
    if template.gang_scheduler is GangScheduler.KUBERNETES:
        spec["schedulingGroup"] = {"podGroupName": words.group}
    if kind.is_leader:
        topology.add_leader_constraints(spec, owner.name, template.topology_spread_constraints)
    else:
        topology.add_follower_affinity(spec, words.group, template.topology_spread_constraints)
    return spec


def _with_environment(container: Mapping[str, Any], role: RoleTemplate, words: PodWords) -> dict[str, Any]:
    """Our variables first, so that the template's own can refer to them; a template cannot redefine ours."""
    own = {
        well_known.ENV_GROUP_SIZE: str(role.pod_count),
        well_known.ENV_ENTRY_ADDRESS: words.entry_address,
        well_known.ENV_WORKER_INDEX: words.worker_index,
    }
    first = [{"name": name, "value": value} for name, value in own.items()]
    rest = [variable for variable in container.get("env") or [] if variable.get("name") not in own]
    return {**container, "env": [*first, *rest]}


def service_spec(owner: OwnerIdentity, role: RoleTemplate, group: int, instance: int) -> dict[str, Any]:
    """What the headless Service must say, other defaults being the server's."""
    return {
        "clusterIP": "None",
        "publishNotReadyAddresses": True,
        "selector": {**_instance_labels(owner, role, group, instance), well_known.ENTRY: "true"},
    }


def service_body(owner: OwnerIdentity, role: RoleTemplate, group: int, key: InstanceKey) -> dict[str, Any]:
    own_labels = _instance_labels(owner, role, group, key.instance)
    name = names.service_name(owner.name, group, role.name, key.instance)
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": owner.child_metadata(name, own_labels),
        "spec": service_spec(owner, role, group, key.instance),
    }


def _instance_labels(owner: OwnerIdentity, role: RoleTemplate, group: int, instance: int) -> dict[str, str]:
    return {
        well_known.NAME: owner.name,
        well_known.GROUP_NAME: names.group_name(owner.name, group),
        well_known.ROLE: role.name,
        well_known.ROLE_ID: names.role_id(role.name, instance),
    }


def revision_body(owner: OwnerIdentity, revision: Revision) -> bytes:
    """JSON of the ControllerRevision."""
    metadata = owner.child_metadata(revision.name, {})
    if revision.change_cause:
        metadata["annotations"] = {well_known.CHANGE_CAUSE: revision.change_cause}
    body = {
        "apiVersion": "apps/v1",
        "kind": "ControllerRevision",
        "metadata": metadata,
        "revision": revision.number,
        "data": msgspec.Raw(server_json(data_of(revision)).encode()),
    }
    return msgspec.json.encode(body)


def server_json(value: Any) -> str:
    """JSON to the byte as kube-apiserver writes it: sorted keys, no white space, and as Go escapes.

    A ControllerRevision's data is kept as it was sent and written anew at each patch, even of the metadata alone, which
    is refused unless both are the same bytes. The garbage collector's removal of an owner is such a patch.
    """
    text = _COMPACT_SORTED.encode(value)
    return _ESCAPED_BY_GO.sub(lambda match: f"\\u{ord(match[0]):04x}", text)
