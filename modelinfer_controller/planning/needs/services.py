"""One headless Service for each role instance that has workers: they find their entry pod by it."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from modelinfer_controller.api import names
from modelinfer_controller.api.core import Service
from modelinfer_controller.planning.actions import Action, CreateService, DeleteService, PatchService
from modelinfer_controller.planning.group import Group
from modelinfer_controller.planning.manifests import service_body
from modelinfer_controller.planning.pod_identity import InstanceKey, parse_pod_name

NameConflicts = Mapping[tuple[str, str], str]


def service_actions(group: Group, instances: Iterable[InstanceKey], name_conflicts: NameConflicts) -> Iterator[Action]:
    """Creations, repairs and deletions. instances: those that have pods, or are to get some now."""
    stored_by_name = {service.metadata.name: service for service in group.services}
    for key in instances:
        role = group.template.role(key.role)
        if role is None or not role.worker_replicas or not group.shape.has_instance(key):
            continue
        body = service_body(group.desired.identity, role, group.ordinal, key)
        name = body["metadata"]["name"]
        stored = stored_by_name.get(name)
        if stored is None:
            if ("Service", name) not in name_conflicts:
                yield CreateService(group.ordinal, name, body)
        elif not stored.metadata.is_terminating:
            yield from _repair(stored, group.ordinal, body)
    if not group.is_waiting:
        surplus = (service for service in group.services if not _is_wanted(service, group))
        yield from service_deletions(group.ordinal, surplus)


def _is_wanted(service: Service, group: Group) -> bool:
    identity = parse_pod_name(group.owner_name, service.metadata.name)
    if identity is None or not group.shape.has_instance(InstanceKey(identity.role, identity.instance)):
        return False
    role = group.template.role(identity.role)
    return role is not None and bool(role.worker_replicas) and identity.worker_index == 0


def service_name(group: Group, key: InstanceKey) -> str:
    return names.service_name(group.owner_name, group.ordinal, key.role, key.instance)


def service_deletions(ordinal: int, services: Iterable[Service]) -> Iterator[DeleteService]:
    for service in services:
        if not service.metadata.is_terminating:
            yield DeleteService(ordinal, service.metadata.name, service.metadata.uid)


def _repair(stored: Service, ordinal: int, desired: Mapping[str, Any]) -> Iterator[Action]:
    name, uid = stored.metadata.name, stored.metadata.uid
    if stored.spec.cluster_ip != "None":  # immutable: only a new Service can be headless
        yield DeleteService(ordinal, name, uid)
        return
    spec: dict[str, Any] = {}
    selector = desired["spec"]["selector"]
    if stored.spec.selector != selector:
        spec["selector"] = {**dict.fromkeys(stored.spec.selector.keys() - selector.keys()), **selector}
    if not stored.spec.publish_not_ready_addresses:
        spec["publishNotReadyAddresses"] = True
    own = desired["metadata"]["labels"]
    mislabelled = {key: value for key, value in own.items() if stored.metadata.labels.get(key) != value}
    if spec or mislabelled:
        metadata = {"metadata": {"labels": mislabelled}} if mislabelled else {}
        yield PatchService(ordinal, name, uid, {**metadata, **({"spec": spec} if spec else {})})
