"""From a revision to the bodies of pods, Services and ControllerRevisions.

The template of a pod is compiled once for each owner, revision, role and kind of pod: rendered with placeholders where
names and numbers go, and cut there. One more pod is then a join of bytes.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import msgspec

from modelinfer_controller.api import names, well_known
from modelinfer_controller.api.modelinfer import API_VERSION, KIND, Metadata
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


MOST_COMPILED = 32  # 4 roles, entry and worker, leader or not, of two revisions


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


class PodVariables(NamedTuple):
    """The strings in which the pods of one role differ from each other."""

    pod: str
    group: str
    group_index: str
    role_id: str
    entry_address: str
    worker_index: str
    incarnation: str


class PodKind(NamedTuple):
    """What else a pod's body depends on, besides its owner, revision and role."""

    is_entry: bool
    is_leader: bool
    is_serving: bool = False


def pod_variables(owner: OwnerIdentity, role: RoleTemplate, identity: PodIdentity, incarnation: int) -> PodVariables:
    return PodVariables(
        pod=names.pod_name(owner.name, *identity),
        group=names.group_name(owner.name, identity.group),
        group_index=str(identity.group),
        role_id=names.role_id(role.name, identity.instance),
        entry_address=names.entry_address(
            owner.name, owner.namespace, identity.group, identity.role, identity.instance
        ),
        worker_index=str(identity.worker_index),
        incarnation=str(incarnation),
    )


def pod_kind(template: RevisionTemplate, identity: PodIdentity) -> PodKind:
    return PodKind(is_entry=identity.worker_index == 0, is_leader=topology.is_leader(identity, template))


class CompiledPodTemplates:
    """The compiled templates of one ModelInfer; they go with it. The newest few are kept: a revision has some."""

    def __init__(self) -> None:
        self._templates: dict[tuple[object, ...], CompiledPodTemplate] = {}

    def get(self, owner: OwnerIdentity, revision: Revision, role: str, kind: PodKind) -> "CompiledPodTemplate":
        key = (revision.name, role, kind)
        if key not in self._templates:
            if len(self._templates) >= MOST_COMPILED:
                del self._templates[next(iter(self._templates))]
            self._templates[key] = _compiled(owner, revision.name, revision.payload, role, kind)
        return self._templates[key]


def pod_body(
    owner: OwnerIdentity,
    revision: Revision,
    identity: PodIdentity,
    incarnation: int,
    *,
    is_serving: bool = False,
    compiled: CompiledPodTemplates | None = None,
) -> bytes:
    """JSON of the pod of an identity; is_serving: with the label by which traffic is sent to it.

    compiled: templates that are compiled already, of the same ModelInfer. Raises KeyError if the revision has no such
    role.
    """
    role = _role(revision, identity)
    kind = pod_kind(revision.template, identity)._replace(is_serving=is_serving)
    template = (compiled or CompiledPodTemplates()).get(owner, revision, identity.role, kind)
    return template.render(pod_variables(owner, role, identity, incarnation))


def pod_labels(
    owner: OwnerIdentity, revision: Revision, identity: PodIdentity, *, is_serving: bool = False
) -> dict[str, str]:
    """Our labels of a pod; they win over the template's."""
    role = _role(revision, identity)
    kind = pod_kind(revision.template, identity)._replace(is_serving=is_serving)
    return _own_labels(owner, revision.name, role, pod_variables(owner, role, identity, 0), kind)


def _role(revision: Revision, identity: PodIdentity) -> RoleTemplate:
    role = revision.template.role(identity.role)
    if role is None:
        raise KeyError(f"revision {revision.name} has no role {identity.role}")
    return role


def _own_labels(
    owner: OwnerIdentity, revision_name: str, role: RoleTemplate, variables: PodVariables, kind: PodKind
) -> dict[str, str]:
    return {
        well_known.NAME: owner.name,
        well_known.GROUP_NAME: variables.group,
        well_known.GROUP_INDEX: variables.group_index,
        well_known.WORKER_INDEX: variables.worker_index,
        well_known.ROLE: role.name,
        well_known.ROLE_ID: variables.role_id,
        well_known.REVISION: revision_name,
        **({well_known.ENTRY: "true"} if kind.is_entry else {}),
        **({well_known.GROUP_LEADER: "true"} if kind.is_leader else {}),
        **({well_known.SERVING: "true"} if kind.is_serving else {}),
    }


@dataclass(frozen=True, slots=True)
class CompiledPodTemplate:
    """A pod's body cut at its placeholders: literal bytes, and between them which of PodVariables goes there."""

    literals: tuple[bytes, ...]
    slots: tuple[int, ...]

    def render(self, variables: PodVariables) -> bytes:
        encoded = [variable.encode() for variable in variables]
        parts = [self.literals[0]]
        for slot, literal in zip(self.slots, self.literals[1:], strict=True):
            parts += (encoded[slot], literal)
        return b"".join(parts)


def _compiled(
    owner: OwnerIdentity, revision_name: str, payload: str, role_name: str, kind: PodKind
) -> CompiledPodTemplate:
    template = template_of_payload(payload)
    role = template.role(role_name)
    assert role is not None, role_name
    placeholder = "<<modelinfer>>"
    while placeholder in payload:  # what a user wrote must never be taken for a placeholder
        placeholder = f"<{placeholder}>"
    placeholders = PodVariables(*(f"{placeholder}{slot}{placeholder}" for slot in range(len(PodVariables._fields))))
    body = _COMPACT.encode(_pod(owner, revision_name, template, role, placeholders, kind))
    pieces = re.split(f"{re.escape(placeholder)}(\\d){re.escape(placeholder)}", body)
    return CompiledPodTemplate(
        literals=tuple(literal.encode() for literal in pieces[::2]), slots=tuple(int(slot) for slot in pieces[1::2])
    )


def _pod(
    owner: OwnerIdentity,
    revision_name: str,
    template: RevisionTemplate,
    role: RoleTemplate,
    variables: PodVariables,
    kind: PodKind,
) -> dict[str, Any]:
    metadata = role.template(0 if kind.is_entry else 1).metadata
    own_annotations = {well_known.INCARNATION: variables.incarnation}
    if template.gang_scheduler is GangScheduler.VOLCANO:
        own_annotations |= {
            well_known.VOLCANO_GROUP_NAME: variables.group,
            well_known.VOLCANO_TASK_SPEC: variables.role_id,
        }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": variables.pod,
            "namespace": owner.namespace,
            "labels": {**_users(metadata.labels), **_own_labels(owner, revision_name, role, variables, kind)},
            "annotations": {**_users(metadata.annotations), **own_annotations},
            "ownerReferences": [owner.reference()],
        },
        "spec": _pod_spec(owner, template, role, variables, kind),
    }


def _users(template_metadata: Mapping[str, str]) -> dict[str, str]:
    """A template's labels or annotations without those that only the controller may set: they would mislead it."""
    return {key: value for key, value in template_metadata.items() if key not in well_known.OWN_POD_KEYS}


def _pod_spec(
    owner: OwnerIdentity, template: RevisionTemplate, role: RoleTemplate, variables: PodVariables, kind: PodKind
) -> dict[str, Any]:
    pod_template = role.template(0 if kind.is_entry else 1)
    spec = dict(pod_template.spec)
    environment = _environment(role, variables, pod_template.metadata)
    for containers in ("initContainers", "containers"):
        if containers in spec:
            spec[containers] = [_with_environment(container, environment) for container in spec[containers]]
    if template.scheduler_name:
        spec["schedulerName"] = template.scheduler_name
    if template.gang_scheduler is GangScheduler.KUBERNETES:
        spec["schedulingGroup"] = {"podGroupName": variables.group}
    if kind.is_leader:
        topology.add_leader_constraints(spec, owner.name, template.topology_spread_constraints)
    else:
        topology.add_follower_affinity(spec, variables.group, template.topology_spread_constraints)
    return spec


def _with_environment(container: Mapping[str, Any], own: Mapping[str, str]) -> dict[str, Any]:
    """Our variables first, so that the template's own can refer to them; a template cannot redefine ours."""
    first = [{"name": name, "value": value} for name, value in own.items()]
    rest = [variable for variable in container.get("env") or [] if variable.get("name") not in own]
    return {**container, "env": [*first, *rest]}


def _environment(role: RoleTemplate, variables: PodVariables, metadata: Metadata) -> dict[str, str]:
    """In order. With LeaderWorkerSet's where the template asks for them, so that images made for it run unchanged."""
    size = str(role.pod_count)
    own = {
        well_known.ENV_GROUP_SIZE: size,
        well_known.ENV_ENTRY_ADDRESS: variables.entry_address,
        well_known.ENV_WORKER_INDEX: variables.worker_index,
    }
    if metadata.annotations.get(well_known.LWS_ENV) != "true":
        return own
    return own | {
        well_known.ENV_LWS_LEADER_ADDRESS: variables.entry_address,
        well_known.ENV_LWS_GROUP_SIZE: size,
        well_known.ENV_LWS_WORKER_INDEX: variables.worker_index,
    }


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
